from __future__ import annotations

import os
import sys

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def standin(options: tuple[str, ...]) -> None:
    """Run the stand-in provider (standin --help lists its options)."""
    from producer.local.child_processes import Role, child_environment
    from producer.local.inherited import python_module

    sys.stdout.flush()
    command = python_module("ops.standin", *options)
    # in our place, not as our child: a signal that is sent to this process reaches the server
    os.execve(command[0], command, child_environment(Role.STANDIN))  # noqa: S606 - our own program
