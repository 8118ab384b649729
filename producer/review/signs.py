"""What a batch's store knows about how doubtful its grades are, gathered for the order of reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.review.doubt import Signs, by_doubt
from producer.review.neighbours import outliers
from workers.contract.headline import headline
from workers.store.repairs import repaired_items
from workers.store.stored_jobs import read_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from producer.review.doubt import Doubt
    from producer.review.neighbours import Outlier
    from producer.review.review import Review, ReviewItem


def doubtful_first(review: Review, *, against: str | None = None) -> list[Doubt]:
    """Every ended item of the batch, the most doubtful first. Reads the works once: milliseconds per item.

    `against`: another grading of the same work; raises `InvalidInput` when there is no such batch.
    """
    items = list(review.items())
    grades = {item.row.id: grade for item in items if (grade := _own_grade(item)) is not None}
    scale = scale_of(items)

    def far_from_neighbours(connection: Connection, batch: str) -> dict[str, Outlier]:
        works = ((job.id, job.prompt or "") for job in read_jobs(connection, batch))  # one at a time in memory
        return outliers(works, grades, scale=scale)

    signs = Signs(
        others=review.results_of(against) if against else {},
        band_starts=review.band_starts(),
        repaired=review.read(repaired_items),
        outliers=review.read(far_from_neighbours),
    )
    return by_doubt(items, signs)


def scale_of(items: Sequence[ReviewItem]) -> float:
    """The most points of a grade; where results do not say, the highest grade less the lowest one."""
    stated = [
        float(most)
        for item in items
        if isinstance(item.row.result, dict) and isinstance(most := item.row.result.get("max_points"), int | float)
    ]
    if stated:
        return max(stated)
    grades = [grade for item in items if (grade := headline(item.row.result)) is not None]
    return max(grades) - min(grades) if grades else 0.0


def _own_grade(item: ReviewItem) -> float | None:
    """None for a twin: its grade is another's."""
    return None if item.row.same_as is not None else headline(item.row.result)
