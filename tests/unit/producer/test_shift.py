"""The tests on drift from counts: the same answers as scipy's over single grades, and histograms that stay small."""

from __future__ import annotations

import numpy as np
import pytest

from producer.regrading.histogram import MOST_VALUES, Histogram
from producer.regrading.shift import Moved, _Counted, _p_of_scatter, _p_of_shift, judge_numbers


def some(seed: int, count: int, shift: float) -> np.ndarray:
    """Differences in half points, most of them nothing."""
    draw = np.random.default_rng(seed)
    return np.round((draw.normal(size=count) * (draw.random(count) < 0.5) + shift) * 2) / 2


def counted(numbers: np.ndarray) -> _Counted:
    return _Counted.of(Histogram.of(numbers.tolist()))


@pytest.mark.parametrize(("seed", "count", "shift"), [(1, 30, 0.0), (2, 80, 0.2), (3, 12, 0.3), (4, 200, -0.1)])
def test_signs_flipped_by_counts_are_signs_flipped_one_by_one(seed: int, count: int, shift: float):
    from scipy.stats import permutation_test  # costs every process that collects more than a second

    numbers = some(seed, count, shift)
    by_scipy = permutation_test(
        (numbers,), lambda flipped, axis=-1: np.mean(flipped, axis=axis), permutation_type="samples",
        n_resamples=20_000, rng=np.random.default_rng(5),
    )  # fmt: skip

    assert _p_of_shift(counted(numbers)) == pytest.approx(by_scipy.pvalue, abs=0.02)


@pytest.mark.parametrize(("seed", "wider"), [(1, 1.0), (2, 1.3), (3, 1.6)])
def test_differences_handed_out_by_counts_are_permuted_one_by_one(seed: int, wider: float):
    from scipy.stats import permutation_test

    here, there = np.round(some(seed, 90, 0.0) * wider * 2) / 2, some(seed + 10, 40, 0.0)
    by_scipy = permutation_test(
        (np.abs(here), np.abs(there)), lambda one, other, axis=-1: np.mean(one, axis=axis) - np.mean(other, axis=axis),
        permutation_type="independent", alternative="greater", n_resamples=20_000, vectorized=True,
        rng=np.random.default_rng(5),
    )  # fmt: skip

    assert _p_of_scatter(counted(here), counted(there)) == pytest.approx(by_scipy.pvalue, abs=0.02)


def test_the_interval_is_students():
    from scipy.stats import t

    numbers = some(7, 60, 0.4)
    [shift], _labels = judge_numbers([Moved(differences=Histogram.of(numbers.tolist()))])
    half = t.ppf(0.975, 59) * numbers.std(ddof=1) / 60**0.5

    assert (shift.mean, shift.low, shift.high) == pytest.approx(
        (numbers.mean(), numbers.mean() - half, numbers.mean() + half)
    )


def test_numbers_without_end_are_rounded_to_the_same_size_on_both_sides():
    draw = np.random.default_rng(1)
    numbers = draw.normal(size=20_000)
    found = Histogram.of([*numbers.tolist(), *(-numbers).tolist()])

    assert found.size == 40_000
    assert MOST_VALUES / 5 < len(found.counts) <= MOST_VALUES
    assert found.width <= 4 * (numbers.max() - numbers.min()) / MOST_VALUES * 2
    assert all(found.counts[-number] == times for number, times in found.counts.items())


def test_few_different_numbers_are_kept_as_they_are():
    found = Histogram.of([0.5, -0.5, 0.5, 0.1])

    assert (found.counts, found.width) == ({0.5: 2, -0.5: 1, 0.1: 1}, 0.0)
    assert found.with_zeros(3).counts == {0.5: 2, -0.5: 1, 0.1: 1, 0.0: 3}
    assert found.with_zeros(0).counts == found.counts
