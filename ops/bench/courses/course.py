"""Simulated courses: what a fair person would give, what a model gives, and how doubtful each grade looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Numbers = np.ndarray[Any, np.dtype[np.float64]]

HIGHEST = 20.0
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Course:
    """Items in the order of doubt, the most doubtful first."""

    true: Numbers
    model: Numbers

    @property
    def errors(self) -> Numbers:
        """Size of each difference, in points."""
        return np.abs(self.true - self.model)


def draw_course(rng: np.random.Generator) -> Course:
    """Sixty to 240 students; how good the model is, and how well doubt tells where it errs, differ between courses.

    Errors are Laplace with a scale that grows with doubt, rounded to half points; a few of the doubtful are far off.
    """
    size = int(rng.integers(60, 241))
    true = np.round(HIGHEST * rng.beta(5, 2, size) / HALF) * HALF
    doubt = rng.random(size) ** 1.5
    steepness = rng.uniform(1.5, 4)
    scale = rng.uniform(0.5, 1.5) * np.exp(steepness * (doubt + 0.15 * rng.normal(size=size) - 0.5))
    errors = rng.laplace(size=size) * scale
    is_far = rng.random(size) < rng.uniform(0, 0.3) * doubt
    errors = np.where(is_far, rng.choice([-1, 1], size) * rng.uniform(4, 10, size), errors)
    model = np.clip(np.round((true + errors) / HALF) * HALF, 0, HIGHEST)
    order = np.argsort(-doubt)
    return Course(true[order], model[order])
