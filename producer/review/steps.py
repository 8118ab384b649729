"""What one decision would change about one item: the rules of approving, holding, undoing and releasing. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeAlias

from workers.contract.decision import DecisionKind, Official, ReleaseRule, ReviewState
from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workers.store.results import ResultRow

    Found: TypeAlias = tuple[DecisionKind, object | None, str | None] | str | None
    """A decision with its result and source; a text says why there is none; None: it holds already."""
    Step: TypeAlias = Callable[[ResultRow, Official], Found]

SAMPLE_PERCENT = 10
"""Of the grades that the rule `flagged` would let pass unread, so many are read all the same."""


def needs_decision(row: ResultRow, rule: ReleaseRule) -> bool:
    """Whether the rule wants a person to have decided about this item before its release."""
    if rule is ReleaseRule.NONE:
        return False
    return rule is ReleaseRule.ALL or bool(row.flags) or row.failure_kind is not None or is_sampled(row.batch, row.id)


def is_sampled(batch: str, item_id: str) -> bool:
    """Whether the item is of the sample that is read whatever its flags: the same items at every call."""
    drawn = int.from_bytes(hashlib.sha256(f"{batch}\0{item_id}".encode()).digest()[:8])
    return drawn % 100 < SAMPLE_PERCENT


def approval(row: ResultRow, official: Official) -> Found:
    """Make what the model said official."""
    if row.result is None:
        return "its answer was purged" if row.is_purged else f"it has no result ({row.failure_kind})"
    if official.state is ReviewState.APPROVED and official.result == row.result:
        return None
    return DecisionKind.APPROVE, row.result, None


def is_unflagged(row: ResultRow, official: Official) -> bool:
    """It has a result without a flag that nobody decided about."""
    return row.result is not None and not row.flags and official.state is ReviewState.UNDECIDED


def holding(_row: ResultRow, official: Official) -> Found:
    """Let nothing be official."""
    return None if official.state is ReviewState.ON_HOLD else (DecisionKind.HOLD, None, None)


def undoing(source: str | None, goes_further: bool, _row: ResultRow, official: Official) -> Found:  # noqa: FBT001 - bound by its caller
    """Take back the decision that holds; of those that took over another batch's grade, when `source` names it."""
    if source is not None:
        if official.decision is None or official.decision.source != source:
            return None
    elif official.last_kind is DecisionKind.UNDO and not goes_further:
        return None
    return (DecisionKind.UNDO, None, None) if official.decision else "there is no decision to undo"


def recalling(_row: ResultRow, official: Official) -> Found:
    """Take a released grade back from the student."""
    return (DecisionKind.RECALL, None, None) if official.released else None


def release(rule: ReleaseRule, row: ResultRow, official: Official) -> Found:
    """Show the official grade to the student, if the rule allows it."""
    if row.is_standin or row.provider == STANDIN_PROVIDER:  # a grade by hand of a rehearsal is one as well
        return "it comes from the stand-in provider and is not real"
    if official.state is ReviewState.ON_HOLD:
        return "it is on hold"
    if official.state is ReviewState.UNDECIDED and needs_decision(row, rule):
        return "it needs a decision"
    result = row.result if official.state is ReviewState.UNDECIDED else official.result
    if result is None:
        return "its answer was purged" if row.is_purged else f"it has no result ({row.failure_kind})"
    if official.released and official.released_result == result:
        return None
    return DecisionKind.RELEASE, result, None


def replaced(
    compute: Callable[[ResultRow, Official], object], source: str, row: ResultRow, official: Official
) -> Found:
    """Make what is computed of it official, from `source`; a text says why nothing is."""
    new = compute(row, official)
    if isinstance(new, str):
        return new
    if official.result == new and official.decision is not None and official.decision.source == source:
        return None
    return DecisionKind.OVERRIDE, new, source


def taken_over(rows: Mapping[str, ResultRow], row: ResultRow, official: Official) -> Found:
    """Make the other batch's grade official."""
    new = rows.get(row.id)
    if new is None or new.result is None:
        return "the other batch has no result for it"
    if new.is_standin and not row.is_standin:
        return "its new grade comes from the stand-in provider and is not real"
    if official.result == new.result:
        return None
    return DecisionKind.OVERRIDE, new.result, new.batch
