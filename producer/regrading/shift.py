"""Whether a field moved between two gradings, or only scattered. Needs the extra `statistics`.

The shift is the mean difference of paired grades, with Student's 95 % interval, from ten pairs on. Whether it is one at
all is asked of the pairs themselves: under noise alone a difference is as likely to have the other sign, so signs are
flipped at random (permutation test; p = 1 when nothing moved). Where the noise was measured, by grading a sample again,
it is also asked whether grades differ more than two gradings of the same kind do. All questions of one report are
answered together (Holm), so a report of pure noise calls anything a shift in at most 5 % of cases.

How often each difference occurred is all that this needs. Flipping the signs of `n` differences of one size is a
binomial draw, and handing pooled differences out anew is a multivariate hypergeometric one: the tests are the same as
over single grades, and their cost does not grow with the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import fisher_exact, t

from producer.regrading.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    Numbers = np.ndarray[Any, np.dtype[np.float64]]
    Counts = np.ndarray[Any, np.dtype[np.int_]]

LEAST_PAIRS = 10
LEVEL = 0.05
_FLIPS = 10_000
_SEED = 20_261_127
"""The same grades give the same verdict at every call."""
_NEAR = 1e-9
"""Sums of the same numbers in another order are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Differences of one field: between the two gradings, and between gradings of the same kind."""

    differences: Histogram
    """New less old, of every submission with a number on both sides, the unchanged included."""
    noise: Histogram = field(default_factory=Histogram)
    """The same within one kind of grading; empty: not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What follows for one field. The interval is None below ten pairs."""

    mean: float
    low: float | None
    high: float | None
    is_shift: bool
    is_scatter: bool
    """No shift, yet grades differ more than noise explains."""


def judge_numbers(
    fields: Sequence[Moved], labels: Sequence[tuple[int, int, int, int]] = ()
) -> tuple[list[Shift], list[bool]]:
    """Judge all numeric fields and labels of one report together.

    `labels`: (changed, compared, changed by noise, compared for noise) of a field; the answer is whether it changed
    more often than by noise. Fields of fewer than ten pairs are never called a shift.
    """
    values = [_Counted.of(each.differences) for each in fields]
    noises = [_Counted.of(each.noise) for each in fields]
    by_shift = [_p_of_shift(each) for each in values]
    by_scatter = [_p_of_scatter(each, noise) for each, noise in zip(values, noises, strict=True)]
    by_label = [_p_of_labels(*each) for each in labels]
    is_real = _holm([*by_shift, *by_scatter, *by_label])
    count = len(values)
    shifts = [
        Shift(
            mean=each.mean,
            low=interval[0] if interval else None,
            high=interval[1] if interval else None,
            is_shift=is_real[place],
            is_scatter=is_real[count + place] and not is_real[place],
        )
        for place, each in enumerate(values)
        for interval in (_interval(each),)
    ]
    return shifts, is_real[2 * count :]


@dataclass(frozen=True, slots=True)
class _Counted:
    """A histogram as arrays."""

    numbers: Numbers
    times: Counts

    @classmethod
    def of(cls, histogram: Histogram) -> _Counted:
        numbers = sorted(histogram.counts)
        return cls(np.array(numbers, dtype=float), np.array([histogram.counts[each] for each in numbers], dtype=int))

    @property
    def size(self) -> int:
        return int(self.times.sum())

    @property
    def moves(self) -> bool:
        return bool(self.numbers.any())

    @property
    def mean(self) -> float:
        return float(self.numbers @ self.times / self.size) if self.size else 0.0

    def by_size(self, sizes: Numbers) -> Counts:
        """How often each of these sizes occurs, whatever the sign."""
        times = np.zeros(len(sizes), dtype=int)
        np.add.at(times, np.searchsorted(sizes, np.abs(self.numbers)), self.times)
        return times


def _p_of_shift(differences: _Counted) -> float | None:
    """None where it is no question: too few pairs, or nothing moved."""
    if differences.size < LEAST_PAIRS or not differences.moves:
        return None
    draw = np.random.default_rng(_SEED)
    sizes = np.unique(np.abs(differences.numbers))
    flipped = np.zeros(_FLIPS)
    for size, times in zip(sizes, differences.by_size(sizes), strict=True):
        flipped += size * (2.0 * draw.binomial(times, 0.5, _FLIPS) - times)
    seen = abs(float(differences.numbers @ differences.times))
    return _share_as_far(np.abs(flipped), seen)


def _p_of_scatter(differences: _Counted, noise: _Counted) -> float | None:
    if min(differences.size, noise.size) < LEAST_PAIRS or not differences.moves:
        return None
    draw = np.random.default_rng(_SEED)
    sizes = np.unique(np.abs(np.concatenate([differences.numbers, noise.numbers])))
    here, there = differences.by_size(sizes), noise.by_size(sizes)
    handed_out = draw.multivariate_hypergeometric(here + there, differences.size, _FLIPS, method="marginals")
    return _share_as_far(handed_out @ sizes, float(sizes @ here))


def _share_as_far(drawn: Numbers, seen: float) -> float:
    """The p of what was seen: it counts as one of the draws, so that none is ever 0."""
    as_far = np.count_nonzero(drawn >= seen - _NEAR * max(1.0, seen))
    return float((as_far + 1) / (len(drawn) + 1))


def _p_of_labels(changed: int, compared: int, by_noise: int, noise_compared: int) -> float | None:
    if min(compared, noise_compared) < LEAST_PAIRS or not changed:
        return None
    table = [[changed, compared - changed], [by_noise, noise_compared - by_noise]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def _holm(probabilities: Sequence[float | None]) -> list[bool]:
    """Which of them are below the level together; None never is."""
    asked = sorted((p, place) for place, p in enumerate(probabilities) if p is not None)
    found = [False] * len(probabilities)
    for rank, (p, place) in enumerate(asked):
        if p > LEVEL / (len(asked) - rank):
            break
        found[place] = True
    return found


def _interval(differences: _Counted) -> tuple[float, float] | None:
    count = differences.size
    if count < LEAST_PAIRS:
        return None
    mean = differences.mean
    variance = float((differences.numbers - mean) ** 2 @ differences.times) / (count - 1)
    half = float(t.ppf(0.975, count - 1)) * (variance / count) ** 0.5
    return mean - half, mean + half
