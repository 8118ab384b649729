"""What every command's declaration shares: the help with examples, common options, errors as one line.

Imports click and the light parts of the contract, because every `--help` and every completion loads it.
"""

from __future__ import annotations

import json
import os
import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.local.exit_status import ExitStatus, error_code_of, exit_status_of
from workers.contract.errors import GradequeueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STOPPED_NOTICE = "Stopped. Run the same command to resume."


class CommandWithExamples(click.Command):
    """A command whose help ends with examples, each on a line of its own however long it is."""

    def __init__(self, *args: Any, examples: Sequence[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Written without wrapping, so that a line can be copied."""
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        super().format_epilog(ctx, formatter)


def command_with(*examples: str) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a click command with these examples, whose errors become one line and an exit status."""

    def declare(function: Callable[..., int | None]) -> click.Command:
        return click.command(cls=CommandWithExamples, examples=examples)(_reports_errors(function))

    return declare


def _reports_errors(command: Callable[..., int | None]) -> Callable[..., None]:
    """One clear line and an exit status; never a traceback for what the caller or operator can correct."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            _check_out(kwargs)
            status = command(*args, **kwargs) or ExitStatus.SUCCEEDED
            sys.stdout.flush()
        except KeyboardInterrupt:
            _say(STOPPED_NOTICE)
            status = ExitStatus.INTERRUPTED
        except BrokenPipeError:  # `gradequeue results | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = ExitStatus.SUCCEEDED
        except Exception as error:
            if not _is_expected(error):
                raise
            _say(f"error: {error}", style="red")
            if kwargs.get("as_json"):
                click.echo(json.dumps({"error": {"code": error_code_of(error), "message": str(error)}}))
            status = exit_status_of(error)
        sys.exit(int(status))

    return wrapped


def _check_out(given: Mapping[str, object]) -> None:
    if given.get("out_path") is not None:
        from producer.cli.overwriting import refuse_overwriting

        refuse_overwriting(given)


def _is_expected(error: Exception) -> bool:
    if isinstance(error, GradequeueError):
        return True
    from workers.settings import SettingsError

    return isinstance(error, SettingsError)


def _say(line: str, style: str | None = None) -> None:
    from producer.terminal.console import err

    err.print(line, style=style, soft_wrap=True)


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    help="Folder of the embedded services [default: the user's data folder].",
)
kind_option = click.option(
    "--kind",
    type=click.Choice(["batch", "model", "account", "queue"]),
    help="What NAME is, where several have it or no job names it yet.",
)
account_option = click.option(
    "--account",
    metavar="NAME",
    help="Account that pays, of those in GRADEQUEUE_ACCOUNTS [default: GRADEQUEUE_ACCOUNT, else OPENAI_API_KEY's].",
)
steered_account_option = click.option("--account", metavar="NAME", help="An account, in place of NAME.")
json_option = click.option("--json", "as_json", is_flag=True, help="JSON for scripts.")
out_option = click.option(
    "--out",
    "out_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file [default: standard output].",
)
format_option = click.option(
    "--format",
    "file_format",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="JSON lines, or CSV for spreadsheets.",
)
input_argument = click.argument("input_path", metavar="INPUT", type=click.Path(path_type=Path))
batch_argument = click.argument("batch")
concurrency_option = click.option(
    "--concurrency", type=click.IntRange(1, 5000), help="Jobs in flight per process [default: 400]."
)
