"""What to read of a batch before its grades count, from about thirty hand grades."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.review.hand_grades import TOTAL
from workers.contract.errors import InvalidInput, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from producer.review.hand_grades import HandGrades
    from producer.review.reading_order import ReadingOrder
    from producer.review.unread import Graded, Reading
    from workers.store.students import Ordered

LEAST_HAND_GRADES = 10
USUAL_HAND_GRADES = 30
TOLERANCE_SHARE = 0.05
"""Of the scale: a difference that two people would have, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingList:
    """What to read, in order, and what is known about the rest."""

    to_read: tuple[str, ...]
    """Ids, in order: what has no grade, then the most doubtful."""
    bound: Reading
    hand_grades: int
    """Of items of this batch."""

    def sentences(self) -> tuple[str, ...]:
        """For people."""
        bound = self.bound
        if not bound.unread:
            return ("every grade is read then",)
        error = (
            f"the other {bound.unread} grades, unread: their mean error is at most {bound.mean:.2g} points "
            f"(each error counted up to {bound.tolerance:g}), at 90 % confidence"
        )
        off = f"at most {bound.most_off} of them are off by {bound.tolerance:g} points or more"
        basis = (
            f"from {self.hand_grades} hand grades, {bound.calibrated_by} of them below the list; this holds if they "
            "were drawn by chance (--hand-sample), not chosen"
        )
        return error, off, basis

    def as_json(self) -> dict[str, object]:
        """For scripts."""
        bound = self.bound
        return {
            "to_read": list(self.to_read),
            "unread": bound.unread,
            "hand_grades": self.hand_grades,
            "calibrated_by": bound.calibrated_by,
            "confidence": 0.9,
            "tolerance": bound.tolerance,
            "mean_error_at_most": bound.mean,
            "off_at_most": bound.most_off,
        }


def hand_sample(batch: str, items: Iterable[Ordered], count: int) -> list[str]:
    """Ids to grade by hand: drawn by a hash of batch and id, so that they are the same at every call."""
    graded = (item.id for item in items if item.points is not None)
    return heapq.nsmallest(
        count, graded, key=lambda item_id: hashlib.sha256(f"by hand\0{batch}\0{item_id}".encode()).digest()
    )


def reading_list(
    order: ReadingOrder,
    person: HandGrades,
    *,
    count: int | None = None,
    within: float | None = None,
    tolerance: float | None = None,
) -> ReadingList:
    """Choose the first `count` of the order, or as many as keep the mean error left in the batch below `within` points.

    Raises `InvalidInput` for hand grades without totals, or too few of them.
    """
    try:
        from producer.review.unread import read_so_many, read_until  # noqa: PLC0415 - an extra that few commands need
    except ModuleNotFoundError:
        raise ServiceUnavailable(
            "disk", "--read and --within need the extra `statistics`: pip install 'gradequeue[statistics]'"
        ) from None
    was_read = order.read_by_people()
    graded = list(_in_order(order.items, person, was_read))
    hand_grades = sum(item.error is not None for item in graded)
    if hand_grades < LEAST_HAND_GRADES:
        raise InvalidInput(
            f"{hand_grades} of the hand grades belong to grades of this batch; at least {LEAST_HAND_GRADES} are needed "
            f"and about {USUAL_HAND_GRADES} are useful, in a column `total`"
        )
    near = tolerance or TOLERANCE_SHARE * order.scale()
    if near <= 0:
        raise InvalidInput("all grades are equal and their scale is unknown; give --tolerance in points")
    if count is not None:
        bound = read_so_many(graded, count, tolerance=near)
    else:
        bound = read_until(graded, (within or 0.0) * len(graded), tolerance=near)
    chosen = set(bound.to_read)
    chosen |= {item.id for item in order.items if item.points is None and item.id not in was_read}
    return ReadingList(
        to_read=tuple(item.id for item in order.items if item.id in chosen), bound=bound, hand_grades=hand_grades
    )


def _in_order(items: Iterable[Ordered], person: HandGrades, was_read: Collection[str]) -> Iterator[Graded]:
    from producer.review.unread import Graded  # noqa: PLC0415 - see above

    totals = person.by_field.get(TOTAL, {})
    for item in items:
        if item.points is None:
            continue
        by_hand = totals.get(item.id)
        error = None if by_hand is None else abs(item.points - by_hand)
        yield Graded(item.id, error, is_read=item.id in was_read)
