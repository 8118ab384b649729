"""How the totals of two gradings moved: counts, the furthest moves, and as many dots as a plot can show. Pure."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.regrading.histogram import Histogram
from workers.contract.headline import headline

if TYPE_CHECKING:
    from producer.batch import ResultRow
    from producer.regrading.drift import Pair

MOST_MOVERS = 10
MOST_DOTS = 2_000
"""Students in a plot; of more, those whose ids have the smallest hashes, which is a draw by chance."""
_MOST_BAND_MOVES = 1_000
"""Different ones; bands are a handful, a model that makes them up has any number."""
_FEEDBACK = ("overall_feedback", "feedback", "summary", "comment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """A student whose grade moved far, with what both gradings wrote."""

    id: str
    old: float
    new: float
    old_feedback: str
    new_feedback: str


@dataclass(slots=True)
class Totals:
    """Of all students with a total in both gradings."""

    compared: int = 0
    higher: int = 0
    lower: int = 0
    changes: Histogram = field(default_factory=Histogram)
    """New total less old one, the unchanged included."""
    _movers: list[tuple[float, int, Mover]] = field(default_factory=list)
    _dots: list[tuple[int, str, tuple[float, float]]] = field(default_factory=list)
    _bands: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def movers(self) -> tuple[Mover, ...]:
        """The furthest moves, at most `MOST_MOVERS`; of two as far, the first."""
        return tuple(mover for _distance, _number, mover in sorted(self._movers, key=lambda each: each[:2])[::-1])

    @property
    def dots(self) -> tuple[tuple[float, float], ...]:
        """(old, new) of every student, or of `MOST_DOTS` drawn by a hash."""
        return tuple(dot for _hash, _id, dot in self._dots)

    @property
    def bands(self) -> tuple[tuple[str, str, int], ...]:
        """(from, to, students), of those whose band changes, the commonest first."""
        return tuple((old, new, count) for (old, new), count in self._bands.most_common())

    def add(self, pair: Pair) -> None:
        """Count one student."""
        self._add_band(pair)
        old, new = (headline(row.result) for row in pair)
        if old is None or new is None:
            return
        self.compared += 1
        self.higher += new > old
        self.lower += new < old
        self.changes.add(new - old)
        dot = (-int.from_bytes(hashlib.sha256(pair[0].id.encode()).digest()[:8]), pair[0].id, (old, new))
        (heapq.heappush if len(self._dots) < MOST_DOTS else heapq.heappushpop)(self._dots, dot)
        if old != new:
            self._add_mover(pair, old, new)

    def _add_mover(self, pair: Pair, old: float, new: float) -> None:
        place = (abs(new - old), -self.compared)
        if len(self._movers) == MOST_MOVERS and self._movers[0][:2] > place:
            return
        before, after = map(_feedback, pair)
        mover = Mover(id=pair[0].id, old=old, new=new, old_feedback=before, new_feedback=after)
        (heapq.heappush if len(self._movers) < MOST_MOVERS else heapq.heappushpop)(self._movers, (*place, mover))

    def _add_band(self, pair: Pair) -> None:
        old, new = (row.result.get("band") if isinstance(row.result, dict) else None for row in pair)
        move = (str(old or "none"), str(new or "none"))
        if old != new and (move in self._bands or len(self._bands) < _MOST_BAND_MOVES):
            self._bands[move] += 1


def _feedback(row: ResultRow) -> str:
    result = row.result if isinstance(row.result, dict) else {}
    return next((text for name in _FEEDBACK if isinstance(text := result.get(name), str)), "")
