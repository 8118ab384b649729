from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with
from producer.cli.reviewing import about_items

if TYPE_CHECKING:
    from pathlib import Path

    from producer.review.review import Review


@command_with(
    "gradequeue undo week3-1f2e3d4c s17",
    "gradequeue undo week3-1f2e3d4c --last",
    'gradequeue undo week3-1f2e3d4c --from week3-1f2e3d4c-gpt-6-luna --reason "the regrade used the wrong rubric"',
)
@click.option("--from", "source", metavar="REGRADE", help="Only grades that `apply` took from this batch.")
@click.option("--further", is_flag=True, help="Also where the last decision was undone already: one more.")
@click.option("--last", is_flag=True, help="All of the last act, such as one `rescore`, and nothing else.")
@click.option("--yes", is_flag=True, help="Do not ask before holds are lifted.")
@about_items
def undo(
    batch: str,
    item_ids: tuple[str, ...],
    *,
    source: str | None,
    further: bool,
    last: bool,
    yes: bool,
    take_all: bool,
    by: str | None,
    reason: str,
    data_dir: Path | None,
) -> int:
    """Take back the last decision about items of BATCH; the one before it holds again.

    With --last all decisions of the last act are taken back, and no other: what `rescore` passed over stays on hold.
    --all takes back the last decision about every item, a hold too, and asks first.

    Undoing is a decision itself: the record keeps both. The same command twice undoes once.
    """
    from producer.cli.reviewing import chosen_items, opened_review, report, reviewer
    from producer.terminal.words import counted
    from workers.contract.errors import InvalidInput

    if last and (item_ids or take_all or further or source is not None):
        raise InvalidInput("--last says what is undone; leave out items, --all, --from and --further")
    with opened_review(data_dir, batch) as review:
        if last:
            return _undo_last(review, by=reviewer(by), reason=reason)
        chosen = chosen_items(review, item_ids, take_all=take_all or source is not None)
        if chosen is None and source is None and not yes:
            lifted = review.lifted_by_undo(goes_further=further)
            if lifted:
                question = f"This lifts {counted(lifted, 'hold')} as well (--last undoes one act alone). Go on?"
                click.confirm(question, abort=True, err=True)
        done = review.undo(chosen, by=reviewer(by), reason=reason, source=source, goes_further=further)
        return report(done, "undone")


def _undo_last(review: Review, *, by: str, reason: str) -> int:
    from producer.cli.reviewing import report
    from producer.local.exit_status import ExitStatus
    from producer.terminal.console import out
    from producer.terminal.words import moment
    from workers.contract.decision import DecisionKind

    act = review.last_act()
    if act is None or act.kind is DecisionKind.UNDO:
        out.print("there is no decision to undo" if act is None else "the last act was an undo; nothing was changed")
        return ExitStatus.SUCCEEDED
    why = f" ({act.reason})" if act.reason else ""
    out.print(f"the last act: {act.kind} by {act.by}, {moment(act.at)}{why}", soft_wrap=True, markup=False)
    return report(review.undo_act(act, by=by, reason=reason), "undone")
