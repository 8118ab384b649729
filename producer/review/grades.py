"""A batch's grades as they are written back: by standing, scaled when asked for, each None with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.gradebook.grade import Grade, Standing, needs_out_of, points_of, scaled
from producer.inputs.courses.roster import known_as
from workers.contract.decision import ReviewState
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from producer.review.review import Review, ReviewItem

_NO_DECISION = "no one has approved this grade"
_NOT_RELEASED = "this grade is not released"


def grades_of(
    review: Review, *, standing: Standing, out_of: Decimal | None = None, scale_to: Decimal | None = None
) -> Iterator[Grade]:
    """Every ended item in input order. Raises `InvalidInput` for deductions without `out_of`."""
    for item in review.items():
        result, why_none = _standing_result(item, standing)
        if needs_out_of(result) and out_of is None:
            raise InvalidInput(
                "the results say what is deducted, not from how much; give --out-of, such as --out-of 100"
            )
        points = points_of(result, out_of=out_of)
        if points is None and not why_none:
            why_none = "its result has no points"
        band = result.get("band") if isinstance(result, dict) else None
        yield Grade(
            id=item.row.id,
            points=None if points is None else scaled(points, result, out_of=out_of, to=scale_to),
            why_none=why_none,
            band=band if isinstance(band, str) else "",
            result=result if isinstance(result, dict) else None,
            flags=item.row.flags,
            metadata=known_as(item.row.metadata),
            is_standin=item.row.is_standin,
        )


def _standing_result(item: ReviewItem, standing: Standing) -> tuple[object | None, str]:
    official = item.official
    if item.row.failure_kind is not None and official.result is None:
        return None, item.row.failure_message or str(item.row.failure_kind)
    if standing is Standing.RELEASED:
        return (official.released_result, "") if official.released else (None, _NOT_RELEASED)
    if official.state is ReviewState.ON_HOLD:
        return None, "this grade is on hold"
    if official.result is not None:
        return official.result, ""
    return (item.row.result, "") if standing is Standing.ALL else (None, _NO_DECISION)
