"""A batch's grades as they are written back: by standing, scaled when asked for, each None with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.gradebook.grade import Grade, Standing, needs_out_of, score_of
from producer.inputs.courses.roster import known_as
from workers.contract.decision import ReviewState
from workers.contract.errors import InvalidInput
from workers.store.results import read_contexts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

    from producer.review.review import Review, ReviewItem

_NO_DECISION = "no one has approved this grade"
_NOT_RELEASED = "this grade is not released"


def grades_of(
    review: Review, *, standing: Standing, out_of: Decimal | None = None, scale_to: Decimal | None = None
) -> Iterator[Grade]:
    """Every ended item in input order. Raises `InvalidInput` for deductions without `out_of`."""
    by_rubric = {each: _names_of_criteria(rubric) for each, rubric in review.read(read_contexts).items()}
    for item in review.items():
        result, why_none = _standing_result(item, standing)
        if needs_out_of(result) and out_of is None:
            raise InvalidInput(
                "the results say what is deducted, not from how much; give --out-of, such as --out-of 100"
            )
        score = score_of(result, out_of=out_of, scale_to=scale_to)
        if score is None and not why_none:
            why_none = "its result has no points"
        band = result.get("band") if isinstance(result, dict) else None
        yield Grade(
            id=item.row.id,
            score=score,
            why_none=why_none,
            band=band if isinstance(band, str) else "",
            result=result if isinstance(result, dict) else None,
            flags=item.row.flags,
            metadata=known_as(item.row.metadata),
            is_standin=item.row.is_standin,
            criteria=by_rubric.get(item.row.context_hash or "", {}),
        )


def _names_of_criteria(context: Mapping[str, Any]) -> dict[str, str]:
    listed = context.get("criteria")
    known = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list | tuple) else []
    return {each["criterion_id"]: each["name"] for each in known if {"criterion_id", "name"} <= each.keys()}


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
