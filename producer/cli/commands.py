"""The list of commands, by purpose, and the group that loads only the one that is asked for.

Exit status: 0 every job succeeded, 1 some failed, 2 wrong use or bad input, 3 a service is missing,
4 jobs left waiting, 130 Ctrl-C.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Grade": {
        "run": "Grade INPUT (file, folder or ZIP) on this machine, from enqueue to results.",
        "enqueue": "Put INPUT into the store and return; workers grade it.",
        "init": "Make the course kit KIT: a folder that says how an assignment is graded.",
        "estimate": "Estimate tokens and cost of grading INPUT. Nothing is enqueued.",
    },
    "Inspect": {
        "status": "Show the progress of BATCH, or of every batch.",
        "results": "Write the results of BATCH in input order, as JSON lines or CSV.",
        "failures": "Show the failed jobs of BATCH, why they failed and what to do.",
        "explain": "Show the life of one grade: requests, waits, flags, decisions and cost.",
        "schemas": "List the built-in schemas, or show one as it is sent to the model.",
        "bill": "Show what is due to the provider by day, batch, model and purpose.",
        "models": "List the known models: prices, limits, reasoning efforts, shutdown dates.",
    },
    "Review": {
        "review": "List the grades of BATCH, the most doubtful first, with what people decided.",
        "approve": "Make grades of BATCH official as the model gave them.",
        "override": "Correct one grade of BATCH, or give one by hand; its points are computed again.",
        "hold": "Keep grades of BATCH from being official until someone decides again.",
        "undo": "Take back the last decision about items of BATCH; the one before it holds again.",
        "release": "Mark the official grades of BATCH as ones that students may see.",
        "apply": "Make the grades of REGRADE official for the same items of BATCH.",
        "rescore": "Compute the grades of BATCH again by changed points, levels or weights; no call.",
        "agreement": "Compare the model's grades of BATCH with a person's, in total and by criterion.",
        "gradebook": "Write the grades of BATCH where the course system takes them.",
        "audit": "Show who decided, released, downloaded and changed what, oldest first.",
    },
    "Control": {
        "retry": "Start another round for the failed jobs of BATCH; earlier outcomes are kept.",
        "cancel": "Cancel the unfinished jobs of BATCH; results are kept.",
        "limits": "Set limits of a model, or the weight of a batch, while workers run; or list them.",
        "pause": "Let nothing more of NAME start: a batch, a model, an account or a queue.",
        "resume": "Resume what waits: NAME (a batch, model, account or queue), or every parked account.",
    },
    "Regrade": {
        "regrade": "Grade the submissions of BATCH again, as a new batch; the old grades are kept.",
        "drift": "Compare two batches: per field, what changed, and whether that is a shift or noise.",
        "beat": "Regrade at night what a TOML file selects, until stopped.",
    },
    "Serve": {
        "serve": "Start everything on this machine: store, broker, workers and the page, and open it.",
        "worker": "Serve queues until stopped, one worker process per queue.",
        "dashboard": "Serve the page: upload, grade, watch, download.",
        "standin": "Run the stand-in provider (standin --help lists its options).",
    },
    "Maintain": {
        "doctor": "Show each setting and its source, and test each service.",
        "upgrade": "Bring the store to this version's tables; run once, before its workers start.",
        "migrate": "Move a store from a SQLite file to PostgreSQL: every row, compared at the end.",
        "export": "Write all outcomes or all requests of batches, as JSON lines or CSV.",
        "purge": "Remove prompts, answers and metadata of old jobs; counts and costs are kept.",
    },
}
"""Section -> command -> the first line of the command's own help, so that `--help` loads no command."""
COMMANDS: Mapping[str, str] = {name: line for section in SECTIONS.values() for name, line in section.items()}


class LazyGroup(click.Group):
    """A group whose commands are loaded by name: the command `purge` is `purge` in `producer.cli.purge`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names, section by section."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command, loaded now; None when there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"producer.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """One section per purpose, from the table alone."""
        widest = max(map(len, COMMANDS))
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(widest), line) for name, line in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names from the table; options as click completes them."""
        names = [CompletionItem(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gradequeue")
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings file (NAME=value lines), read after the environment and before any other file.",
)
def cli(env_file: Path | None) -> None:
    """Grade submissions with a language model: one validated result or one typed failure each.

    Shell completion: eval "$(_GRADEQUEUE_COMPLETE=bash_source gradequeue)" (or zsh_source, fish_source).
    """
    if env_file is not None:
        from workers.settings.files import ENV_FILE

        os.environ[ENV_FILE] = str(env_file.absolute())
