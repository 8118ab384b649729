"""Drift: what two gradings of the same submissions say differently, field by field. Pure; reads rows, stores nothing.

Submissions are compared one after the other, and what is kept of them is bounded: counts, how often each difference
occurred, the furthest moves. A batch of any size is compared in the same memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.regrading.field_pairs import fields_of, no_decimals
from producer.regrading.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from producer.batch import ResultRow
    from producer.regrading.field_pairs import DecimalsOf, FieldPair

    Pair: TypeAlias = tuple[ResultRow, ResultRow]
    """Two results of the same work."""

MOST_TRANSITIONS = 3
"""The commonest moves from one label to another; more would not be read."""
MOST_FIELDS = 2_000
"""Fields that are distinguished: a model that makes up names has no end of them."""
_MOST_LABEL_MOVES = 1_000
"""Different moves between labels that are counted; levels are a handful, short free texts would be any number."""


@dataclass(slots=True)
class FieldDrift:
    """What one field did over all submissions compared."""

    name: str
    compared: int = 0
    changed: int = 0
    """Submissions in which it differs."""
    largest: FieldPair | None = None
    """The change that moved furthest."""
    moved: Histogram = field(default_factory=Histogram)
    """Differences of the changed, where both sides have a number."""
    _label_moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    _total: float = 0.0
    _total_size: float = 0.0
    _count: int = 0
    _furthest: float = 0.0

    def add(self, pair: FieldPair) -> None:
        """Count one submission."""
        self.compared += 1
        if not pair.is_changed:
            return
        self.changed += 1
        if (difference := pair.difference) is not None:
            self._move(pair, difference)
        elif (transition := pair.transition) is not None and (
            transition in self._label_moves or len(self._label_moves) < _MOST_LABEL_MOVES
        ):
            self._label_moves[transition] += 1

    def _move(self, pair: FieldPair, difference: float) -> None:
        self.moved.add(difference)
        self._count += 1
        self._total += difference
        self._total_size += abs(difference)
        if self.largest is None or abs(difference) > self._furthest:
            self.largest, self._furthest = pair, abs(difference)

    @property
    def is_numeric(self) -> bool:
        """Some submission changed from one number to another."""
        return self._count > 0

    @property
    def mean_difference(self) -> float | None:
        """Over all compared, the unchanged counted as 0; None for what is no number."""
        return self._total / self.compared if self._count else None

    @property
    def mean_size(self) -> float | None:
        """Mean size of the differences among the changed, whatever their sign."""
        return self._total_size / self._count if self._count else None

    @property
    def transitions(self) -> list[tuple[str, str, int]]:
        """The commonest moves between short labels, such as levels, or True and False: (from, to, how often)."""
        return [(old, new, count) for (old, new), count in self._label_moves.most_common(MOST_TRANSITIONS)]

    @property
    def has_labels(self) -> bool:
        """Its changes are between short labels."""
        return bool(self._label_moves)

    @property
    def differences(self) -> Histogram:
        """Every difference between numbers, the unchanged as 0."""
        return self.moved.with_zeros(self.compared - self.changed)

    @property
    def mean_size_of_all(self) -> float | None:
        """Mean size of a difference, the unchanged counted as 0; None for what is no number."""
        return self._total_size / (self._count + self.compared - self.changed) if self._count else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Two batches side by side."""

    compared: int
    """Submissions with a result in both."""
    unchanged: int
    only_old: int
    """With a result in the old batch alone: failed, unfinished or missing in the new one."""
    only_new: int
    fields: tuple[FieldDrift, ...]
    has_more_fields: bool
    """There are fields beyond the first `MOST_FIELDS`, which are not distinguished and not judged."""
    has_standin: bool
    """Part of the grades compared are not real."""


class Tally:
    """Counts pairs; `drift` says what they add up to."""

    def __init__(self, decimals_of: DecimalsOf = no_decimals) -> None:
        self._decimals_of = decimals_of
        self.compared = self.unchanged = 0
        self.has_standin = self.has_more_fields = False
        self.fields: dict[str, FieldDrift] = {}

    def add(self, pair: Pair) -> None:
        """Count one submission."""
        old, new = pair
        self.compared += 1
        self.has_standin = self.has_standin or old.is_standin or new.is_standin
        is_changed = False
        for each in fields_of(old, new, self._decimals_of):
            is_changed = is_changed or each.is_changed
            if each.field in self.fields or len(self.fields) < MOST_FIELDS:
                self.fields.setdefault(each.field, FieldDrift(each.field)).add(each)
            else:
                self.has_more_fields = True
        self.unchanged += not is_changed

    def drift(self, *, old_results: int, new_results: int) -> Drift:
        """Given how many results each batch has."""
        return Drift(
            compared=self.compared,
            unchanged=self.unchanged,
            only_old=max(0, old_results - self.compared),
            only_new=max(0, new_results - self.compared),
            fields=tuple(self.fields.values()),
            has_more_fields=self.has_more_fields,
            has_standin=self.has_standin,
        )


def compare(
    pairs: Iterable[Pair], *, old_results: int, new_results: int, decimals_of: DecimalsOf = no_decimals
) -> Drift:
    """Compare the two results of each submission that has both; `old_results`: how many results the old batch has."""
    tally = Tally(decimals_of)
    for pair in pairs:
        tally.add(pair)
    return tally.drift(old_results=old_results, new_results=new_results)
