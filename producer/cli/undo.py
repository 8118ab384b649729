from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with
from producer.cli.reviewing import about_items

if TYPE_CHECKING:
    from pathlib import Path


@command_with(
    "gradequeue undo week3-1f2e3d4c s17",
    'gradequeue undo week3-1f2e3d4c --from week3-1f2e3d4c-gpt-6-luna --reason "the regrade used the wrong rubric"',
)
@click.option("--from", "source", metavar="REGRADE", help="Only grades that `apply` took from this batch.")
@click.option("--further", is_flag=True, help="Also where the last decision was undone already: one more.")
@about_items
def undo(
    batch: str,
    item_ids: tuple[str, ...],
    *,
    source: str | None,
    further: bool,
    take_all: bool,
    by: str | None,
    reason: str,
    data_dir: Path | None,
) -> int:
    """Take back the last decision about items of BATCH; the one before it holds again.

    Undoing is a decision itself: the record keeps both. The same command twice undoes once.
    """
    from producer.cli.reviewing import chosen_items, opened_review, report, reviewer

    with opened_review(data_dir, batch) as review:
        chosen = chosen_items(review, item_ids, take_all=take_all or source is not None)
        done = review.undo(chosen, by=reviewer(by), reason=reason, source=source, goes_further=further)
        return report(done, "undone")
