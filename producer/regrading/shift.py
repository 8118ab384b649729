"""Whether a field moved between two gradings, or only scattered. Needs the extra `statistics`.

The shift is the mean difference of paired grades, with Student's 95 % interval, from ten pairs on. Whether it is one at
all is asked of the pairs themselves: under noise alone a difference is as likely to have the other sign, so signs are
flipped at random (permutation test; p = 1 when nothing moved). Where the noise was measured, by grading a sample again,
it is also asked whether grades differ more than two gradings of the same kind do. All questions of one report are
answered together (Holm), so a report of pure noise calls anything a shift in at most 5 % of cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import fisher_exact, permutation_test, t

if TYPE_CHECKING:
    from collections.abc import Sequence

    Numbers = np.ndarray[Any, np.dtype[np.float64]]

LEAST_PAIRS = 10
LEVEL = 0.05
_FLIPS = 2_000
_SEED = 20_261_127
"""The same grades give the same verdict at every call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Differences of one field: between the two gradings, and between gradings of the same kind."""

    differences: Sequence[float]
    """New less old, of every submission with a number on both sides, the unchanged included."""
    noise: Sequence[float] = ()
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
    values = [np.asarray(each.differences, dtype=float) for each in fields]
    noises = [np.asarray(each.noise, dtype=float) for each in fields]
    by_shift = [_p_of_shift(each) for each in values]
    by_scatter = [_p_of_scatter(each, noise) for each, noise in zip(values, noises, strict=True)]
    by_label = [_p_of_labels(*each) for each in labels]
    is_real = _holm([*by_shift, *by_scatter, *by_label])
    count = len(values)
    shifts = [
        Shift(
            mean=float(each.mean()) if len(each) else 0.0,
            low=interval[0] if interval else None,
            high=interval[1] if interval else None,
            is_shift=is_real[place],
            is_scatter=is_real[count + place] and not is_real[place],
        )
        for place, each in enumerate(values)
        for interval in (_interval(each),)
    ]
    return shifts, is_real[2 * count :]


def _p_of_shift(differences: Numbers) -> float | None:
    """None where it is no question: too few pairs, or nothing moved."""
    if len(differences) < LEAST_PAIRS or not differences.any():
        return None
    found = permutation_test(
        (differences,),
        lambda flipped, axis=-1: np.mean(flipped, axis=axis),
        permutation_type="samples",
        n_resamples=_FLIPS,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def _p_of_scatter(differences: Numbers, noise: Numbers) -> float | None:
    if min(len(differences), len(noise)) < LEAST_PAIRS or not differences.any():
        return None
    found = permutation_test(
        (np.abs(differences), np.abs(noise)),
        lambda one, other, axis=-1: np.mean(one, axis=axis) - np.mean(other, axis=axis),
        permutation_type="independent",
        alternative="greater",
        n_resamples=_FLIPS,
        vectorized=True,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


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


def _interval(differences: Numbers) -> tuple[float, float] | None:
    count = len(differences)
    if count < LEAST_PAIRS:
        return None
    half = float(t.ppf(0.975, count - 1)) * float(differences.std(ddof=1)) / count**0.5
    mean = float(differences.mean())
    return mean - half, mean + half
