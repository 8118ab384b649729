from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import batch_argument, command_with, data_dir_option
from producer.cli.reviewing import by_option, items_argument, reason_option

if TYPE_CHECKING:
    from pathlib import Path


@command_with("gradequeue apply week3-1f2e3d4c week3-1f2e3d4c-gpt-6-luna")
@batch_argument
@click.argument("regrade")
@items_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@by_option
@reason_option
@data_dir_option
def apply(
    batch: str,
    regrade: str,
    item_ids: tuple[str, ...],
    *,
    yes: bool,
    by: str | None,
    reason: str,
    data_dir: Path | None,
) -> int:
    """Make the grades of REGRADE official for the same items of BATCH.

    The difference is shown before the question. `gradequeue undo BATCH --last`, or later `--from REGRADE`, restores
    exactly what was official before.
    """
    from producer.cli.reviewing import opened_review, report, reviewer, take_back
    from producer.review.difference import official_difference
    from producer.terminal.console import out
    from producer.terminal.words import counted

    with opened_review(data_dir, batch) as review:
        moved = official_difference(review, regrade, item_ids or None)
        out.print(moved.table())
        out.print(moved.summary())
        if moved.changed and not yes:
            click.confirm(
                f"Make {counted(moved.changed, 'grade')} of {regrade} official in {batch}?", abort=True, err=True
            )
        done = review.apply(regrade, by=reviewer(by), item_ids=item_ids or None, reason=reason)
        return report(done, "made official", next_step=take_back(batch) if done.changed else "")
