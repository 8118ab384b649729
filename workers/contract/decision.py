"""What people decide about grades, and what follows from it. Pure.

An outcome stays what the model said. A decision belongs to a person and is appended, never changed; the official grade
of an item follows from its decisions alone:

    approve    the outcome's result becomes official
    override   another result becomes official, with a reason
    hold       nothing is official until somebody decides again
    undo       what the decision before the undone one said holds again
    release    the official result is what the student may see
    recall     the student may no longer see it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class DecisionKind(StrEnum):
    """Closed and stable: names stored today are read for years."""

    APPROVE = "approve"
    OVERRIDE = "override"
    HOLD = "hold"
    UNDO = "undo"
    RELEASE = "release"
    RECALL = "recall"


class ReviewState(StrEnum):
    """Where an item stands between the model and the student."""

    UNDECIDED = "undecided"
    APPROVED = "approved"
    OVERRIDDEN = "overridden"
    ON_HOLD = "on_hold"


CONTEXT_SOURCE = "rubric:"
"""Before the hash of the stored rubric or catalogue that a decision's points follow from, in its `source`."""

_STATE_AFTER = {
    DecisionKind.APPROVE: ReviewState.APPROVED,
    DecisionKind.OVERRIDE: ReviewState.OVERRIDDEN,
    DecisionKind.HOLD: ReviewState.ON_HOLD,
}


class ReleaseRule(StrEnum):
    """Which items of a batch need a person's decision before they may be released."""

    ALL = "all"
    FLAGGED = "flagged"
    NONE = "none"

    @property
    def sentence(self) -> str:
        """For people."""
        return _RULES[self]


_RULES = {
    ReleaseRule.ALL: "every grade needs a decision before it can be released",
    ReleaseRule.FLAGGED: "flagged grades and a sample need a decision before release",
    ReleaseRule.NONE: "grades can be released without a decision",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of the record. `result` is the grade it makes official, or shows to the student on a release."""

    id: int
    batch: str
    item_id: str
    job_id: str
    round: int
    """The round of the job whose outcome the person saw."""
    kind: DecisionKind
    by: str
    at: float
    """Seconds since the epoch by the database's clock."""
    reason: str = ""
    result: object | None = field(default=None, repr=False)
    source: str | None = None
    """The batch whose grade was taken over by `gradequeue apply`; or, after `CONTEXT_SOURCE`, the rubric that points
    were computed by again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """What holds for an item after all its decisions."""

    state: ReviewState = ReviewState.UNDECIDED
    result: object | None = field(default=None, repr=False)
    """The official grade; None while it is undecided or on hold."""
    decision: Decision | None = None
    """The decision that says so."""
    last_id: int = 0
    """The newest decision of any kind; 0 when there is none. The next person to decide must have seen it."""
    last_kind: DecisionKind | None = None
    """Of that decision."""
    released: bool = False
    released_result: object | None = field(default=None, repr=False)

    @property
    def changed_since_release(self) -> bool:
        """The student sees another grade than the official one."""
        return self.released and self.released_result != self.result


def official_grade(decisions: Iterable[Decision]) -> Official:
    """Replay one item's decisions, oldest first."""
    standing: list[Decision] = []
    last_id, last_kind, released, released_result = 0, None, False, None
    for each in decisions:
        last_id, last_kind = each.id, each.kind
        match each.kind:
            case DecisionKind.UNDO:
                if standing:
                    standing.pop()
            case DecisionKind.RELEASE:
                released, released_result = True, each.result
            case DecisionKind.RECALL:
                released, released_result = False, None
            case _:
                standing.append(each)
    current = standing[-1] if standing else None
    return Official(
        state=_STATE_AFTER[current.kind] if current else ReviewState.UNDECIDED,
        result=current.result if current else None,
        decision=current,
        last_id=last_id,
        last_kind=last_kind,
        released=released,
        released_result=released_result,
    )
