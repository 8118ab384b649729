"""Simulated courses: what a fair person would give, what a model gives, and how doubtful each grade looks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Numbers = np.ndarray[Any, np.dtype[np.float64]]

HIGHEST = 20.0
HALF = 0.5
TIMES_AGAIN = 200


class Kind(StrEnum):
    """What a course is like."""

    USUAL = "usual"
    CARELESS = "twice the errors"
    CAREFUL = "errors of 0.4 the size"
    BLIND = "doubt says nothing"
    MISLED = "doubt says the opposite"
    RARE = "few errors, all great"


_SIZE_OF_ERRORS = {Kind.CARELESS: 2.0, Kind.CAREFUL: 0.4}


@dataclass(frozen=True, slots=True)
class Course:
    """Items in the order of doubt, the most doubtful first."""

    true: Numbers
    model: Numbers
    again: Numbers
    """Sizes of the errors had the model graded the course anew, as a row each time: what its error rates say."""

    @property
    def errors(self) -> Numbers:
        """Size of each difference, in points."""
        return np.abs(self.true - self.model)


def draw_course(rng: np.random.Generator, kind: Kind = Kind.USUAL) -> Course:
    """Sixty to 240 students; how good the model is, and how well doubt tells where it errs, differ between courses.

    Errors are Laplace with a scale that grows with doubt, rounded to half points; a few of the doubtful are far off.
    """
    size = int(rng.integers(60, 241))
    true = np.round(HIGHEST * rng.beta(5, 2, size) / HALF) * HALF
    doubt = rng.random(size) ** 1.5
    steepness = rng.uniform(1.5, 4)
    overall = _SIZE_OF_ERRORS.get(kind, 1.0) * rng.uniform(0.5, 1.5)
    scale = overall * np.exp(steepness * (doubt + 0.15 * rng.normal(size=size) - 0.5))
    far_share = 0.04 + 0.2 * doubt**2 if kind is Kind.RARE else rng.uniform(0, 0.3) * doubt

    def graded(times: int) -> Numbers:
        drawn = (times, size)
        errors = np.zeros(drawn) if kind is Kind.RARE else rng.laplace(size=drawn) * scale
        far = rng.choice([-1, 1], drawn) * rng.uniform(4, 10, drawn)
        errors = np.where(rng.random(drawn) < far_share, far, errors)
        return np.clip(np.round((true + errors) / HALF) * HALF, 0, HIGHEST)

    order = np.argsort(-doubt)
    if kind is Kind.BLIND:
        order = rng.permutation(size)
    elif kind is Kind.MISLED:
        order = order[::-1]
    again = np.abs(graded(TIMES_AGAIN) - true)
    return Course(true[order], graded(1)[0][order], again[:, order])
