"""The command line. Each command translates words into one use case and its ending into an exit status.

0 every job succeeded   1 some failed   2 wrong use or bad input   3 a service is missing
4 jobs left waiting     130 Ctrl-C
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from producer.commands.checking import doctor, estimate
from producer.commands.dashboard import dashboard
from producer.commands.grading import enqueue, run
from producer.commands.keeping import export, purge
from producer.commands.looking import failures, results, schemas, status
from producer.commands.nightly import beat, drift, regrade
from producer.commands.serving import standin, worker
from producer.commands.steering import cancel, resume, retry

COMMANDS: tuple[click.Command, ...] = (
    run,
    enqueue,
    status,
    results,
    failures,
    retry,
    cancel,
    resume,
    regrade,
    drift,
    schemas,
    estimate,
    doctor,
    export,
    purge,
    worker,
    beat,
    dashboard,
    standin,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gradequeue")
def cli() -> None:
    """Grade submissions with a language model: one validated result or one typed failure each.

    Shell completion: eval "$(_GRADEQUEUE_COMPLETE=bash_source gradequeue)" (or zsh_source, fish_source).
    """


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Entry point of `gradequeue`."""
    sys.path.insert(0, str(Path.cwd()))  # a schema given as module:Model stands beside the caller
    cli(prog_name="gradequeue")


if __name__ == "__main__":
    main()
