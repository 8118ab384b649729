"""Does the bound on unread grades hold, and how much more is read than by an oracle.

The oracle starts with the same hand grades and reads in the same order, but knows every error: it stops at the first
place where the unread errors are small enough. Hand grades count as reading for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ops.bench.courses.course import HIGHEST, Course, draw_course
from producer.review.reading import TOLERANCE_SHARE, USUAL_HAND_GRADES
from producer.review.unread import Graded, Reading, read_so_many, read_until

TOLERANCE = TOLERANCE_SHARE * HIGHEST
TARGETS = (0.1, 0.2, 0.3)
"""Mean error left in the course, in points; each error counts up to one point."""


@dataclass(frozen=True, slots=True)
class ReadingResult:
    """Over all courses."""

    name: str
    holds: float
    read: float
    oracle: float

    @property
    def ratio(self) -> float:
        """Reading of all courses beside the oracle's."""
        return self.read / self.oracle if self.oracle else float("nan")


def until_within(courses: int, target: float, *, seed: int) -> ReadingResult:
    """`review --within`: read until the error left is small enough."""
    rng = np.random.default_rng(seed)
    holds, read, oracle = 0, 0, 0
    for _ in range(courses):
        course = draw_course(rng)
        order, by_hand = _with_hand_grades(course, rng)
        most = target * len(order)
        found = read_until(order, most, tolerance=TOLERANCE)
        left = _left(course, by_hand)
        place = int(np.argmax(left <= most))
        holds += _left_unread(course, order, found) <= most
        read += len(by_hand) + len(found.to_read)
        oracle += len(by_hand) + int((~np.isin(np.arange(place), by_hand)).sum())
    return ReadingResult(f"--within {target:g}", holds / courses, read / courses, oracle / courses)


def so_many(courses: int, share: float, *, seed: int) -> ReadingResult:
    """`review --read N`: the bound is stated for a list of given length; both statements must hold."""
    rng = np.random.default_rng(seed)
    holds, read, oracle = 0, 0, 0
    for _ in range(courses):
        course = draw_course(rng)
        order, by_hand = _with_hand_grades(course, rng)
        found = read_so_many(order, round(share * len(order)), tolerance=TOLERANCE)
        place = int(np.argmax(_left(course, by_hand) <= found.total))
        is_unread = _unread(order, found)
        off = int((course.errors[is_unread] >= TOLERANCE).sum())
        holds += _left_unread(course, order, found) <= found.total + 1e-9 and off <= found.most_off
        read += len(by_hand) + len(found.to_read)
        oracle += len(by_hand) + int((~np.isin(np.arange(place), by_hand)).sum())
    return ReadingResult(f"--read {share:.0%} of the course", holds / courses, read / courses, oracle / courses)


def _with_hand_grades(course: Course, rng: np.random.Generator) -> tuple[list[Graded], np.ndarray]:
    by_hand = rng.choice(len(course.true), USUAL_HAND_GRADES, replace=False)
    known = set(by_hand.tolist())
    errors = course.errors.tolist()
    return [Graded(str(place), error if place in known else None) for place, error in enumerate(errors)], by_hand


def _left(course: Course, by_hand: np.ndarray) -> np.ndarray:
    """Error left after reading down to each place, none to all."""
    errors = np.minimum(course.errors, TOLERANCE)
    errors[by_hand] = 0
    return np.append(errors[::-1].cumsum()[::-1], 0.0)


def _unread(order: list[Graded], found: Reading) -> np.ndarray:
    listed = set(found.to_read)
    return np.array([item.is_unread and item.item_id not in listed for item in order])


def _left_unread(course: Course, order: list[Graded], found: Reading) -> float:
    return float(np.minimum(course.errors, TOLERANCE)[_unread(order, found)].sum())
