"""What many jobs will cost or take, judged by a few: an interval instead of a number. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEVIATIONS = 2.0
"""About 19 of 20 rests lie within, when the few were drawn like the rest."""
FEW = 10
"""With fewer seen, their own spread says too little: half of the mean on either side is added to it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Low, likely and high, in one unit."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> Interval:
        """So many times as much."""
        return Interval(self.low * factor, self.likely * factor, self.high * factor)

    def widened(self, share: float) -> Interval:
        """Each bound further away, by a share of itself."""
        return Interval(self.low * (1 - share), self.likely, self.high * (1 + share))


def interval_of_rest(seen: Sequence[float], count: int) -> Interval:
    """The sum over `count` more like those seen (at least one)."""
    mean = fmean(seen)
    spread = stdev(seen) if len(seen) > 1 else 0.0
    doubt = mean / 2 * max(0.0, 1 - len(seen) / FEW)
    each = DEVIATIONS * spread * math.sqrt(1 / len(seen) + 1 / max(1, count)) + doubt
    return Interval(max(0.0, (mean - each) * count), mean * count, (mean + each) * count)
