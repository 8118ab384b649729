"""Does the bound on unread grades hold, and how much more is read than by an oracle.

Two oracles start with the same hand grades and read in the same order. One knows every error: it stops at the first
place where the unread errors are small enough. The other knows how the model errs and not where: it stops where the
unread errors are small enough in nine of ten gradings of the course. Hand grades count as reading for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ops.bench.courses.course import HIGHEST, Course, Kind, draw_course
from producer.review.reading import TOLERANCE_SHARE, USUAL_HAND_GRADES
from producer.review.unread import CONFIDENCE, Graded, Reading, read_so_many, read_until

TOLERANCE = TOLERANCE_SHARE * HIGHEST
TARGETS = (0.1, 0.2, 0.3)
"""Mean error left in the course, in points; each error counts up to one point."""


@dataclass(frozen=True, slots=True)
class ReadingResult:
    """Over all courses: how often the bound holds, and what is read of a course on average."""

    name: str
    holds: float
    read: float
    oracle: float
    """By who knows every error."""
    by_rates: float
    """By who knows how the model errs."""

    @property
    def ratio(self) -> float:
        """Reading of all courses beside that of the oracle who knows every error."""
        return self.read / self.oracle


def until_within(courses: int, target: float, *, seed: int, kind: Kind = Kind.USUAL) -> ReadingResult:
    """`review --within`: read until the error left is small enough."""
    rng = np.random.default_rng(seed)
    holds = 0
    read = []
    for _ in range(courses):
        course = draw_course(rng, kind)
        order, by_hand = _with_hand_grades(course, rng)
        most = target * len(order)
        found = read_until(order, most, tolerance=TOLERANCE)
        holds += _left_unread(course, order, found) <= most
        read.append(_compared(course, by_hand, found, most))
    return ReadingResult(f"--within {target:g}", holds / courses, *np.mean(read, axis=0).tolist())


def so_many(courses: int, share: float, *, seed: int, kind: Kind = Kind.USUAL) -> ReadingResult:
    """`review --read N`: the bound is stated for a list of given length; both statements must hold."""
    rng = np.random.default_rng(seed)
    holds = 0
    read = []
    for _ in range(courses):
        course = draw_course(rng, kind)
        order, by_hand = _with_hand_grades(course, rng)
        found = read_so_many(order, round(share * len(order)), tolerance=TOLERANCE)
        off = int((course.errors[_unread(order, found)] >= TOLERANCE).sum())
        holds += _left_unread(course, order, found) <= found.total + 1e-9 and off <= found.most_off
        read.append(_compared(course, by_hand, found, found.total))
    return ReadingResult(f"--read {share:.0%} of the course", holds / courses, *np.mean(read, axis=0).tolist())


def _compared(course: Course, by_hand: np.ndarray, found: Reading, most: float) -> tuple[int, int, int]:
    """What is read, by hand or from the list, and by the two oracles."""
    is_listed = np.ones(len(course.true), dtype=bool)
    is_listed[by_hand] = False
    left = _left(course.errors, is_listed)
    left_again = np.quantile(_left(course.again, is_listed), CONFIDENCE, axis=0)
    places = (int(np.argmax(each <= most + 1e-9)) for each in (left, left_again))
    oracle, by_rates = (len(by_hand) + int(is_listed[:place].sum()) for place in places)
    return len(by_hand) + len(found.to_read), oracle, by_rates


def _with_hand_grades(course: Course, rng: np.random.Generator) -> tuple[list[Graded], np.ndarray]:
    by_hand = rng.choice(len(course.true), USUAL_HAND_GRADES, replace=False)
    known = set(by_hand.tolist())
    errors = course.errors.tolist()
    return [Graded(str(place), error if place in known else None) for place, error in enumerate(errors)], by_hand


def _left(errors: np.ndarray, is_listed: np.ndarray) -> np.ndarray:
    """Error left after reading down to each place, none to all, in the last dimension."""
    counted = np.minimum(errors, TOLERANCE) * is_listed
    sums = counted[..., ::-1].cumsum(axis=-1)[..., ::-1]
    return np.concatenate([sums, np.zeros_like(sums[..., :1])], axis=-1)


def _unread(order: list[Graded], found: Reading) -> np.ndarray:
    listed = set(found.to_read)
    return np.array([item.is_unread and item.item_id not in listed for item in order])


def _left_unread(course: Course, order: list[Graded], found: Reading) -> float:
    return float(np.minimum(course.errors, TOLERANCE)[_unread(order, found)].sum())
