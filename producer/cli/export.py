from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.downloading import taken_by_option
from producer.cli.options import command_with, data_dir_option, format_option, out_option

if TYPE_CHECKING:
    from pathlib import Path


@command_with(
    "gradequeue export --out outcomes.jsonl",
    "gradequeue export week3-1f2e3d4c --ledger --format csv --out costs.csv",
)
@click.argument("batches", nargs=-1, metavar="[BATCH]...")
@click.option("--ledger", is_flag=True, help="Write the requests to the provider, with their cost, not the outcomes.")
@out_option
@format_option
@taken_by_option
@data_dir_option
def export(
    batches: tuple[str, ...],
    *,
    ledger: bool,
    out_path: Path | None,
    file_format: str,
    by: str | None,
    data_dir: Path | None,
) -> None:
    """Write all outcomes or all requests of batches, as JSON lines or CSV.

    Of each BATCH named, or of every batch; outcomes of every round. The audit log keeps who took them.
    """
    from producer.cli.downloading import note_taken
    from producer.cli.session import opened_store
    from producer.cli.writing import write_csv, write_lines
    from producer.gradebook.export import chosen_batches, exported, exported_lines
    from producer.gradebook.result_files import check_writable

    check_writable(out_path)
    with opened_store(data_dir) as store:
        names = chosen_batches(store, batches)  # one that does not exist is named before a file is begun
        note_taken(store, names, f"{'requests' if ledger else 'outcomes'} of every round, {file_format}", by=by)
        if file_format == "csv":
            write_csv(lambda: exported(store, names, ledger=ledger), out_path=out_path)
        else:
            write_lines(exported_lines(store, names, ledger=ledger), out_path=out_path)
