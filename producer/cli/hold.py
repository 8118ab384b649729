from __future__ import annotations

from typing import TYPE_CHECKING

from producer.cli.options import command_with
from producer.cli.reviewing import about_items

if TYPE_CHECKING:
    from pathlib import Path


@command_with(
    'gradequeue hold week3-1f2e3d4c s17 --reason "talk to the student first"',
)
@about_items
def hold(
    batch: str, item_ids: tuple[str, ...], *, take_all: bool, by: str | None, reason: str, data_dir: Path | None
) -> int:
    """Keep grades of BATCH from being official until someone decides again.

    A grade on hold is never released.
    """
    from producer.cli.reviewing import chosen_items, opened_review, report, reviewer

    with opened_review(data_dir, batch) as review:
        chosen = chosen_items(review, item_ids, take_all=take_all)
        return report(review.hold(chosen, by=reviewer(by), reason=reason), "put on hold")
