"""How wrong the grades are that nobody reads, from a random sample of hand grades. Needs the extra `statistics`.

Grades are read in the order of doubt down to some place; the error of those below it is bounded. The hand-graded items
below the place are a random sample of all items below it, whatever the order: that is the one assumption. It holds
when the items to grade by hand were drawn by chance (`gradequeue review BATCH --hand-sample 30`) and the order does not
depend on the hand grades; it does not hold for grades of a term before, or of the items that looked doubtful.

An error counts up to a tolerance and not beyond: thirty grades cannot rule out that a rare one is wrong by the whole
scale, but they do say how many may be off. So `total / tolerance` also bounds how many are off by the tolerance.

The bound is the 90th percentile of Gaffke's statistic for a finite population: the sample and one more item that is off
by the whole tolerance, continued to the population's size by a Polya urn. For errors of nothing or the tolerance it is
exactly the hypergeometric bound; for others no distribution is known under which it fails more often than it says.

*Sources*: Gaffke 2005; Learned-Miller and Thomas 2019 (the bound); Lo 1988 (finite population); Bates and others 2021
(choosing the place by a bound at every place, valid because the error left only grows with what is left).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Numbers = np.ndarray[Any, np.dtype[np.float64]]

CONFIDENCE = 0.9
_DRAWS = 2_000
_SEED = 20_261_127
"""The same grades give the same bound at every call."""
_MOST_PLACES = 100
"""Places in the order that are tried; a step of one percent is fine enough."""


@dataclass(frozen=True, slots=True)
class Graded:
    """One item in the order of doubt."""

    item_id: str
    error: float | None = None
    """Size of the difference between hand grade and model; None: not graded by hand."""
    is_read: bool = False
    """A person has read it for another reason."""

    @property
    def is_unread(self) -> bool:
        """Nobody has looked at it."""
        return self.error is None and not self.is_read


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What to read, and what holds at 90 % about the rest."""

    to_read: tuple[str, ...]
    unread: int
    """Items that stay unread after that."""
    calibrated_by: int
    """Hand-graded items among those below the place, on which the bound rests."""
    tolerance: float
    total: float
    """Sum of the unread errors, in points, each counted up to the tolerance: at most so much."""

    @property
    def mean(self) -> float:
        """Of the unread errors: at most so much, in points."""
        return min(self.tolerance, self.total / self.unread) if self.unread else 0.0

    @property
    def most_off(self) -> int:
        """Unread grades that are off by the tolerance or more: at most so many."""
        return min(self.unread, math.floor(self.total / self.tolerance + 1e-9))


def read_so_many(order: Sequence[Graded], count: int, *, tolerance: float) -> Reading:
    """The first `count` unread items of the order, and the bound on the others."""
    unread_places = [place for place, item in enumerate(order) if item.is_unread]
    # the place follows from what lies above it alone, so that the hand grades below it stay a random sample
    place = len(order) if count >= len(unread_places) else unread_places[count - 1] + 1 if count else 0
    urn = _Urn(order, tolerance)
    for item in order[place:]:
        urn.add(item)
    return _reading(order, place, total=urn.total_at_most(), tolerance=tolerance)


def read_until(order: Sequence[Graded], most_total: float, *, tolerance: float) -> Reading:
    """The shortest list after which the unread errors sum to at most `most_total` points, each up to the tolerance.

    Places are tried from the end upwards until one does not hold. Everything is to be read when none does.
    """
    step = max(1, len(order) // _MOST_PLACES)
    chosen = len(order)
    urn = _Urn(order, tolerance)
    for place in range(len(order) - 1, -1, -1):
        urn.add(order[place])
        if place % step:
            continue
        if urn.rest * tolerance > most_total and urn.total_at_most() > most_total:
            break
        chosen = place
    return _reading(order, chosen, total=most_total, tolerance=tolerance)


def _reading(order: Sequence[Graded], place: int, *, total: float, tolerance: float) -> Reading:
    unread = sum(item.is_unread for item in order[place:])
    return Reading(
        to_read=tuple(item.item_id for item in order[:place] if item.is_unread),
        unread=unread,
        calibrated_by=sum(item.error is not None for item in order[place:]),
        tolerance=tolerance,
        total=min(total, unread * tolerance),
    )


class _Urn:
    """The items below a place, which moves upwards; errors of one size are one kind of ball.

    Every place is judged by the same draws, so that neighbouring places do not differ by chance.
    """

    def __init__(self, order: Sequence[Graded], tolerance: float) -> None:
        self._tolerance = tolerance
        self._draw = np.random.default_rng(_SEED)
        errors = [min(item.error, tolerance) for item in order if item.error is not None]
        self._sizes: Numbers = np.unique(np.array([*errors, tolerance], dtype=float))
        self._weights: Numbers = np.zeros((_DRAWS, len(self._sizes)))
        self._add(tolerance)
        self.rest = 0
        """Items without a hand grade; those a person has read are part of what the sample was drawn from."""

    def add(self, item: Graded) -> None:
        """Move the place above this item."""
        if item.error is None:
            self.rest += 1
        else:
            self._add(min(item.error, self._tolerance))

    def _add(self, error: float) -> None:
        self._weights[:, np.searchsorted(self._sizes, error)] += self._draw.standard_exponential(_DRAWS)

    def total_at_most(self) -> float:
        """What the errors of the rest sum to at most, given the hand-graded ones."""
        if not self.rest:
            return 0.0
        shares = self._weights / self._weights.sum(axis=1, keepdims=True)
        found = np.random.default_rng(_SEED).multinomial(self.rest, shares) @ self._sizes
        return float(np.quantile(found, CONFIDENCE))
