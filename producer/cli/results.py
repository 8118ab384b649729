from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.downloading import taken_by_option
from producer.cli.options import batch_argument, command_with, data_dir_option, format_option, out_option
from workers.contract.flag import FlagKind

if TYPE_CHECKING:
    from pathlib import Path


@command_with(
    "gradequeue results week3-1f2e3d4c --out grades.jsonl",
    "gradequeue results week3-1f2e3d4c --format csv --out grades.csv",
    "gradequeue results week3-1f2e3d4c --flag evidence_not_found",
)
@batch_argument
@click.option(
    "--flag",
    "flags",
    type=click.Choice([str(kind) for kind in FlagKind]),
    multiple=True,
    help="Only results that carry this flag; may be given more than once.",
)
@out_option
@format_option
@taken_by_option
@data_dir_option
def results(
    batch: str,
    *,
    flags: tuple[str, ...],
    out_path: Path | None,
    file_format: str,
    by: str | None,
    data_dir: Path | None,
) -> None:
    """Write the results of BATCH in input order, as JSON lines or CSV.

    CSV begins with id, name, and the model's points, band and flags; official_points and the five columns behind it
    hold what a person decided. Then come the input's own columns under their own names, and one per field of the
    results. The audit log keeps who took them.
    """
    from producer.batch import Batch
    from producer.cli.downloading import note_taken
    from producer.cli.session import opened_store
    from producer.cli.writing import write_csv, write_lines
    from producer.gradebook.result_files import check_writable
    from producer.review.plain_rows import plain_rows

    check_writable(out_path)
    with opened_store(data_dir) as store:
        note_taken(store, [batch], f"results, {file_format}", by=by)
        view = Batch(store, batch)
        if file_format == "csv":
            write_csv(lambda: plain_rows(view, flags=flags), out_path=out_path)
        else:
            write_lines(view.lines(flags=flags), out_path=out_path)
