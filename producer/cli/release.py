from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import batch_argument, command_with, data_dir_option
from producer.cli.reviewing import by_option, items_argument

if TYPE_CHECKING:
    from pathlib import Path


@command_with(
    "gradequeue release week3-1f2e3d4c",
    "gradequeue release week3-1f2e3d4c --rule flagged",
    "gradequeue release week3-1f2e3d4c s17 --recall",
)
@batch_argument
@items_argument
@click.option(
    "--rule",
    type=click.Choice(["all", "flagged", "none"]),
    help="Which grades need a decision first: all [default], the flagged ones and a sample, or none; kept.",
)
@click.option("--recall", is_flag=True, help="Take the named grades back from the students.")
@by_option
@data_dir_option
def release(
    batch: str,
    item_ids: tuple[str, ...],
    *,
    rule: str | None,
    recall: bool,
    by: str | None,
    data_dir: Path | None,
) -> int:
    """Mark the official grades of BATCH as ones that students may see.

    Exports for course systems take released grades; what may not be released yet is named with the reason. Grades of
    the stand-in provider are never released.
    """
    from producer.cli.reviewing import chosen_items, opened_review, report, reviewer, suggest_ids, to_gradebook
    from producer.terminal.console import out
    from workers.contract.decision import ReleaseRule

    who = reviewer(by)
    with opened_review(data_dir, batch) as review:
        if recall:
            return report(review.recall(chosen_items(review, item_ids, take_all=False), by=who), "recalled")
        if rule is not None:
            review.set_rule(ReleaseRule(rule), by=who)
        out.print(f"rule: {review.rule().sentence}")
        if item_ids:
            suggest_ids(review, item_ids)
        done = review.release(item_ids or None, by=who)
        is_real = done.changed or done.unchanged
        return report(done, "released", next_step=f"next: {to_gradebook(batch)}" if is_real else "")
