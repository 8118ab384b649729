"""A whole batch in the order of doubt, for commands: numbers of every item in memory, and what was asked for of others.

The order is the store's, the same that the page lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.review.doubt import Doubt, Signs, apart, doubts_of, reasons_of
from producer.review.likeness import compare_works
from workers.contract.decision import ReviewState
from workers.contract.headline import headline
from workers.store.decisions import read_officials
from workers.store.grade_scale import read_scale
from workers.store.overviews import find_batch
from workers.store.repairs import repaired_items
from workers.store.results import read_contexts
from workers.store.sql import in_lists
from workers.store.students import read_grades, read_whole_order
from workers.store.work_comparisons import read_outliers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from producer.review.review import Review, ReviewItem
    from workers.store.student_choice import Reason
    from workers.store.students import Ordered


class ReadingOrder:
    """Every ended item of a batch, the most doubtful first; in input order where the doubt is equal.

    `against`: another grading of the same work; raises `InvalidInput` when there is no such batch.
    """

    def __init__(self, review: Review, *, against: str | None = None) -> None:
        """Reads the works once after each change of the results: see `compare_works`."""
        self._review = review
        compare_works(review.store, review.batch)
        review.renew_standings()
        with review.store.snapshot() as connection:
            batch_id = find_batch(connection, review.batch).id
            doubts = doubts_of(read_contexts(connection, review.batch))
            self.items: tuple[Ordered, ...] = tuple(read_whole_order(connection, batch_id, doubts))
            self._repaired = repaired_items(connection, review.batch)
            self._outliers = read_outliers(connection, batch_id)
        self._borders = doubts.borders
        self._apart = self._differences(against) if against else {}
        if self._apart:
            self.items = tuple(sorted(self.items, key=self._falling))

    def doubts(self, item_ids: Collection[str]) -> Iterator[Doubt]:
        """These items with the reasons to read them, in the order in which they are named, some in memory at a time."""
        for some in in_lists(list(item_ids)):
            found = {item.row.id: item for item in self._review.items(some)}
            for item_id in some:
                if (item := found.get(item_id)) is not None:  # it may be graded again just now
                    yield self._doubt(item)

    def scale(self) -> float:
        """The most points of a grade; where results do not say, the highest grade less the lowest one."""
        return self._review.read(lambda connection, batch: read_scale(connection, find_batch(connection, batch).id))

    def read_by_people(self) -> frozenset[str]:
        """What a person corrected or held.

        An approval may be one of hundreds at once, and so may what was taken over.
        """
        touched = {ReviewState.OVERRIDDEN, ReviewState.ON_HOLD}
        ids = [item.id for item in self.items if item.state in touched]
        found = set()
        for some in in_lists(ids):
            with self._review.store.snapshot() as connection:
                officials = read_officials(connection, self._review.batch, some)
            found |= {
                each for each, official in officials.items()
                if official.state in touched and official.decision is not None and official.decision.source is None
            }  # fmt: skip
        return frozenset(found)

    def _differences(self, against: str) -> dict[str, Reason]:
        others = self._review.read(
            lambda connection, _batch: read_grades(connection, find_batch(connection, against).id)
        )
        return {
            item.row.id: reason
            for item in self._review.items()
            if (other := others.get(item.row.id)) is not None and (reason := apart(item.row.result, other))
        }

    def _falling(self, item: Ordered) -> float:
        reason = self._apart.get(item.id)
        return -(item.doubt + (reason.weight if reason else 0.0))

    def _doubt(self, item: ReviewItem) -> Doubt:
        row, reason = item.row, self._apart.get(item.row.id)
        signs = Signs(
            points=headline(row.result),
            failure_kind=row.failure_kind if item.official.result is None else None,
            is_stale=item.is_stale,
            flags=[flag.kind for flag in row.flags],
            is_repaired=row.id in self._repaired,
            borders=self._borders.get(row.context_hash or "", ()),
            outlier=self._outliers.get(row.job_id),
        )
        reasons = reasons_of(signs, more=[reason] if reason else ())
        return Doubt(item, tuple(each.text for each in reasons), sum(each.weight for each in reasons))
