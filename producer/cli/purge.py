from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with, data_dir_option

if TYPE_CHECKING:
    from pathlib import Path


@command_with("gradequeue purge --older-than 180d --dry-run", "gradequeue purge --older-than 180d --yes")
@click.option("--older-than", required=True, help="Remove texts of jobs finished longer ago than this, e.g. 180d.")
@click.option("--dry-run", is_flag=True, help="Only count what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@data_dir_option
def purge(older_than: str, *, dry_run: bool, yes: bool, data_dir: Path | None) -> None:
    """Remove prompts, answers and metadata of old jobs; counts and costs are kept.

    Hashes are kept too. Unfinished jobs are never purged.
    """
    from producer.cli.session import opened_store
    from producer.terminal.console import err, out
    from producer.terminal.words import counted
    from workers.store.retention import count_aged, forget_for_good
    from workers.store.retention import purge as purge_store

    seconds = _seconds(older_than)
    with opened_store(data_dir) as store:
        with store.snapshot() as connection:
            aged = count_aged(connection, older_than_seconds=seconds)
        if aged.unfinished:
            err.print(
                f"{aged.unfinished} older jobs are unfinished and were skipped; end them with: gradequeue cancel BATCH",
                style="yellow",
                soft_wrap=True,
            )
        if not aged.finished or dry_run:
            out.print(f"{counted(aged.finished, 'job')} ended more than {older_than} ago")
            if not dry_run:
                forget_for_good(store)  # a purge that was stopped may have ended before it
            return
        if not yes:
            click.confirm(f"Remove the texts of {counted(aged.finished, 'job')} for good?", abort=True, err=True)
        purged = purge_store(store, older_than_seconds=seconds)
    out.print(f"the texts of {counted(purged, 'job')} were removed")


def _seconds(age: str) -> float:
    from producer.inputs.columns import duration_seconds
    from workers.contract.errors import InvalidInput

    try:
        return duration_seconds(age)
    except InvalidInput as error:
        raise InvalidInput(error.message, where="--older-than") from None
