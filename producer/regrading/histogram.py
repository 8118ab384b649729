"""How often each number occurs, in bounded memory: what the statistics on drift need of a batch of any size. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_VALUES = 1_000
"""Different numbers that are kept apart. Grades are in steps and stay far below; of others, near ones are merged."""


@dataclass(slots=True)
class Histogram:
    """Numbers with how often they occurred.

    Up to `MOST_VALUES` different ones are exact. Beyond that, all are rounded to multiples of `width`, at most a
    500th of their range, to the same size on both sides of zero.
    """

    counts: dict[float, int] = field(default_factory=dict)
    width: float = 0.0
    """0 while every number is kept as it is."""

    @classmethod
    def of(cls, numbers: Iterable[float]) -> Histogram:
        """Of these."""
        found = cls()
        for each in numbers:
            found.add(each)
        return found

    @property
    def size(self) -> int:
        """How many numbers."""
        return sum(self.counts.values())

    def add(self, number: float, times: int = 1) -> None:
        """Count this number so many more times."""
        if times:
            self._count(self._rounded(number), times)
            while len(self.counts) > MOST_VALUES:
                self._coarsen()

    def with_zeros(self, times: int) -> Histogram:
        """A copy with so many zeros more."""
        found = Histogram(dict(self.counts), self.width)
        found.add(0.0, times)
        return found

    def _count(self, number: float, times: int) -> None:
        self.counts[number] = self.counts.get(number, 0) + times

    def _rounded(self, number: float) -> float:
        return round(number / self.width) * self.width if self.width else number

    def _coarsen(self) -> None:
        """Half as many values."""
        reach = max(self.counts) - min(self.counts)
        self.width = max(2 * self.width, 2 * reach / MOST_VALUES)
        before, self.counts = self.counts, {}
        for number, times in before.items():
            self._count(self._rounded(number), times)
