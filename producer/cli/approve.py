from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with
from producer.cli.reviewing import about_items

if TYPE_CHECKING:
    from pathlib import Path


@command_with(
    "gradequeue approve week3-1f2e3d4c s17 s18",
    "gradequeue approve week3-1f2e3d4c --unflagged",
)
@about_items
@click.option("--unflagged", is_flag=True, help="Every item that has neither a flag nor a decision.")
def approve(
    batch: str,
    item_ids: tuple[str, ...],
    *,
    take_all: bool,
    unflagged: bool,
    by: str | None,
    reason: str,
    data_dir: Path | None,
) -> int:
    """Make grades of BATCH official as the model gave them.

    Approving again changes nothing; `gradequeue undo` takes it back.
    """
    from producer.cli.reviewing import after_approval, chosen_items, opened_review, report, reviewer

    with opened_review(data_dir, batch) as review:
        if unflagged:
            done = review.approve_unflagged(by=reviewer(by), reason=reason)
        else:
            chosen = chosen_items(review, item_ids, take_all=take_all)
            done = review.approve(chosen, by=reviewer(by), reason=reason)
        return report(done, "approved", next_step=after_approval(review))
