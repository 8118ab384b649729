"""`purge` and `export`: how long student work is kept, and how the records leave the store."""

from __future__ import annotations

from pathlib import Path

import click

from producer.commands.files import check_writable, csv_lines, result_lines, write_atomically
from producer.commands.shared import data_dir_option, err, out, reports_errors, store_only
from producer.inputs.columns import duration_seconds
from producer.retention import exported
from producer.run import ExitStatus
from workers.contract.errors import InvalidInput
from workers.store.retention import count_aged
from workers.store.retention import purge as purge_store


@click.command()
@click.option("--older-than", required=True, help="Age of the outcome at which its texts go, such as 180d.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_dir_option
@reports_errors
def purge(older_than: str, *, dry_run: bool, yes: bool, data_dir: Path | None) -> int:
    """Remove prompts, answers and metadata of jobs that ended long ago. Counts, costs and hashes stay.

    \b
    gradequeue purge --older-than 180d --dry-run
    gradequeue purge --older-than 180d --yes
    """  # noqa: D301 - click's mark for lines to keep
    seconds = _seconds(older_than)
    with store_only(data_dir) as client:
        with client.store.snapshot() as connection:
            aged = count_aged(connection, older_than_seconds=seconds)
        if aged.unfinished:
            err.print(
                f"{aged.unfinished} jobs older than that have not ended and are left alone; "
                "end them with: gradequeue cancel BATCH",
                style="yellow",
                highlight=False,
                soft_wrap=True,
            )
        if not aged.finished or dry_run:
            out.print(f"{aged.finished} jobs ended more than {older_than} ago", highlight=False)
            return ExitStatus.SUCCEEDED
        if not yes:
            click.confirm(f"Remove the texts of {aged.finished} jobs for good?", abort=True, err=True)
        purged = purge_store(client.store, older_than_seconds=seconds)
    out.print(f"the texts of {purged} jobs were removed", highlight=False)
    return ExitStatus.SUCCEEDED


def _seconds(age: str) -> float:
    try:
        return duration_seconds(age)
    except InvalidInput as error:
        raise InvalidInput(error.message, where="--older-than") from None


@click.command()
@click.argument("batches", nargs=-1, metavar="[BATCH]...")
@click.option("--ledger", is_flag=True, help="The requests to the provider, with their cost, instead of the outcomes.")
@click.option("--out", "out_path", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not to stdout.")
@click.option("--format", "file_format", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@data_dir_option
@reports_errors
def export(
    batches: tuple[str, ...], *, ledger: bool, out_path: Path | None, file_format: str, data_dir: Path | None
) -> int:
    """Write the records of each BATCH, or of all: every outcome of every round, or every request that was sent.

    \b
    gradequeue export --out outcomes.jsonl
    gradequeue export week3-1f2e3d4c --ledger --format csv --out costs.csv
    """  # noqa: D301 - click's mark for lines to keep
    check_writable(out_path)
    with store_only(data_dir) as client:
        exported(client.store, batches)  # a batch that does not exist is named before a file is begun
        if file_format == "csv":
            lines = csv_lines(lambda: exported(client.store, batches, ledger=ledger))
        else:
            lines = result_lines(exported(client.store, batches, ledger=ledger))
        if out_path is not None:
            write_atomically(out_path, lines, encoding="utf-8-sig" if file_format == "csv" else "utf-8")
            return ExitStatus.SUCCEEDED
        for line in lines:
            click.echo(line, nl=False)
    return ExitStatus.SUCCEEDED
