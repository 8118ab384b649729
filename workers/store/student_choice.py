"""What of a batch's students a list on a page shows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.contract.flag import FlagKind
    from workers.contract.outcome import FailureKind


class Show(StrEnum):
    """Which students."""

    ALL = "all"
    UNDECIDED = "undecided"
    FAILED = "failed"
    FLAGGED = "flagged"
    ON_HOLD = "on_hold"
    OVERRIDDEN = "overridden"
    RELEASED = "released"
    CHANGED = "changed"


class SortBy(StrEnum):
    """In which order; ties are in the order of the input."""

    DOUBT = "doubt"
    INPUT = "input"
    NAME = "name"
    LOWEST = "lowest"
    HIGHEST = "highest"


class Sign(StrEnum):
    """What makes a grade doubtful."""

    FAILED = "failed"
    STALE = "stale"
    FLAG = "flag"
    REPAIRED = "repaired"
    BORDER = "border"
    NEIGHBOURS = "neighbours"
    OTHER_GRADING = "other_grading"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason to read a grade."""

    sign: Sign
    weight: float
    text: str


@dataclass(frozen=True, slots=True)
class Border:
    """Where a band of a rubric begins; points from `low` to `high`, both included, are close to it."""

    start: float
    low: float
    high: float

    def is_near(self, points: float) -> bool:
        """Whether a level more or less may change the band."""
        return self.low <= points <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """How much each reason to read a grade weighs, and where a grade is close to a border."""

    failed: float
    stale: float
    edge: float
    repaired: float
    outlier: float
    """Of a grade that differs from its neighbours' by the whole scale; less in proportion."""
    flag: Mapping[FlagKind, float]
    borders: Mapping[str, Sequence[Border]] = field(default_factory=dict)
    """By the hash of the rubric that an item was graded by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a batch to list."""

    show: Show = Show.ALL
    flag: FlagKind | None = None
    failure: FailureKind | None = None
    search: str = ""
    """Words that all stand in the student's id, or in what the metadata says under `searched`; whatever the case."""
    searched: tuple[str, ...] = ()
    """Titles of the metadata that are searched beside the id."""
    sort: SortBy = SortBy.DOUBT
