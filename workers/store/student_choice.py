"""What of a batch's students a list on a page shows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """How much each reason to read a grade weighs, and where a grade is close to a border."""

    failed: float
    stale: float
    edge: float
    flag: Mapping[FlagKind, float]
    edges: Sequence[float] = ()
    edge_width: float = 0.0


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
