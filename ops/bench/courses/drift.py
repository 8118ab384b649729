"""Does `drift` find a known shift, and does it call noise a shift: simulated reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ops.bench.courses.course import HALF, HIGHEST
from producer.regrading.histogram import Histogram
from producer.regrading.shift import Moved, judge_numbers

FIELDS = 6
REPEATED = 30
UNSURE_SHARE = 0.6
"""Of the grades: on the others the model never wavers."""


@dataclass(frozen=True, slots=True)
class DriftResult:
    """Over all reports."""

    reports: int
    inside: float
    """Share of reports in which the known shift is inside its interval."""
    found: float
    """Share in which it is called a shift."""
    false_alarms: float
    """Share of reports of pure noise in which any field is called a shift, or more than noise."""


def simulate(reports: int, *, seed: int) -> DriftResult:
    """Each report: 60 to 240 students, six fields, noise measured on thirty; half a point is the step."""
    rng = np.random.default_rng(seed)
    inside = found = alarms = 0
    for _ in range(reports):
        shift = rng.choice([-1, 1]) * rng.uniform(0.2, 1.5)
        moved, truth = _fields(rng, shift)
        first = judge_numbers(moved)[0][0]
        inside += first.low is not None and first.high is not None and first.low <= truth <= first.high
        found += first.is_shift
        quiet, _truth = _fields(rng, 0.0)
        alarms += any(each.is_shift or each.is_scatter for each in judge_numbers(quiet)[0])
    return DriftResult(reports, inside / reports, found / reports, alarms / reports)


def _fields(rng: np.random.Generator, shift: float) -> tuple[list[Moved], float]:
    """Differences of every field; the first one is shifted. The truth is its mean over very many gradings."""
    size = int(rng.integers(60, 241))
    scatter = rng.uniform(0.3, 1.5)
    moved, truth = [], 0.0
    for place in range(FIELDS):
        fair = HIGHEST * rng.beta(5, 2, size)
        by = shift if place == 0 else 0.0
        if by:
            many = [_graded(rng, fair + by, scatter) - _graded(rng, fair, scatter) for _ in range(200)]
            truth = float(np.mean(many))
        differences = _graded(rng, fair + by, scatter) - _graded(rng, fair, scatter)
        some = fair[:REPEATED]
        noise = _graded(rng, some, scatter) - _graded(rng, some, scatter)
        moved.append(Moved(differences=Histogram.of(differences.tolist()), noise=Histogram.of(noise.tolist())))
    return moved, truth


def _graded(rng: np.random.Generator, fair: np.ndarray, scatter: float) -> np.ndarray:
    """One grading: most grades are the usual one, some differ, all in half points and on the scale."""
    noise = rng.normal(size=len(fair)) * scatter * (rng.random(len(fair)) < UNSURE_SHARE)
    return np.clip(np.round((fair + noise) / HALF) * HALF, 0, HIGHEST)
