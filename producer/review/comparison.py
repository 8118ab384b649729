"""A batch compared with a person's grades: which field is compared with which, on which scale."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from producer.review.hand_grades import TOTAL
from workers.contract.errors import InvalidInput, ServiceUnavailable
from workers.contract.headline import headline
from workers.store.overviews import find_batch
from workers.store.results import read_contexts, read_results

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from producer.review.agreement import Agreement
    from producer.review.hand_grades import HandGrades
    from producer.review.review import Review


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Every field that both sides have."""

    fields: tuple[Agreement, ...]
    notes: tuple[str, ...]
    has_standin: bool


@dataclass(frozen=True, slots=True)
class _Scale:
    highest: float | None = None
    step: float | None = None


def compare_with_person(review: Review, person: HandGrades) -> Comparison:
    """Compare field by field; raises `InvalidInput` when no column is a grade of this batch."""
    try:
        from producer.review.agreement import agreement  # noqa: PLC0415 - an extra that few commands need
    except ModuleNotFoundError:
        raise ServiceUnavailable(
            "disk", "agreement needs the extra `statistics`: pip install 'gradequeue[statistics]'"
        ) from None
    wanted = {item_id for grades in person.by_field.values() for item_id in grades}
    said, has_standin = _said(review, wanted)
    rubrics = list(review.read(read_contexts).values())
    scales = _scales(rubrics)
    names = _names(rubrics)
    found, ignored, notes = [], [], []
    for column, grades in person.by_field.items():
        field = column if column in said else names.get(column.lower(), column)
        if field not in said:
            ignored.append(column)
            continue
        scale = scales.get(field, _Scale())
        known = said[field]
        found.append(agreement(field, grades, known.grades, highest=scale.highest, step=scale.step, more=known.others))
        if missing := person.missing[column]:
            notes.append(f"{field}: {missing} cells hold no number and were left out")
    if not found:
        listed = ", ".join(said) or "none: the batch has no result with a number"
        raise InvalidInput(f"no column is a grade of {review.batch}; its grades are: {listed}")
    if ignored:
        notes.append(f"columns that are no grade of this batch: {', '.join(ignored)}")
    return Comparison(fields=tuple(found), notes=tuple(notes), has_standin=has_standin)


class _Said:
    """What the model's answers give in one field: to items that a person graded, and to how many others."""

    def __init__(self) -> None:
        self.grades: dict[str, float] = {}
        self.others = 0


def _said(review: Review, wanted: Collection[str]) -> tuple[dict[str, _Said], bool]:
    """By field, and whether any of it is a rehearsal's; no more is kept than of the items wanted."""

    def read(connection: Connection, batch: str) -> tuple[dict[str, _Said], bool]:
        find_batch(connection, batch)
        said: dict[str, _Said] = {}
        has_standin = False
        for row in read_results(connection, batch, ended_only=True):
            has_standin = has_standin or row.is_standin
            for field, number in _numbers(row.result):
                found = said.setdefault(field, _Said())
                if row.id in wanted:
                    found.grades[row.id] = number
                else:
                    found.others += 1
        return said, has_standin

    return review.read(read)


def _numbers(result: object) -> Iterator[tuple[str, float]]:
    if not isinstance(result, dict):
        return
    if (total := headline(result)) is not None:
        yield TOTAL, total
    criteria = result.get("criteria")
    if isinstance(criteria, dict):
        for name, criterion in criteria.items():
            points = criterion.get("points") if isinstance(criterion, dict) else None
            if isinstance(points, int | float):
                yield name, float(points)


def _scales(rubrics: Sequence[Mapping[str, Any]]) -> dict[str, _Scale]:
    """Of the rubrics' criteria and of their totals; none where two rubrics have the same field on different scales."""
    scales: dict[str, _Scale] = {}
    for rubric in rubrics:
        for field, scale in _scales_of(rubric).items():
            scales[field] = scale if scales.get(field, scale) == scale else _Scale()
    return scales


def _scales_of(rubric: Mapping[str, Any]) -> dict[str, _Scale]:
    scales = {}
    criteria = [each for each in rubric.get("criteria") or () if each.get("enabled", True)]
    for each in criteria:
        points = sorted({float(level["score_min"]) for level in each.get("levels") or ()})
        step = max((after - before for before, after in pairwise(points)), default=None)
        scales[each["criterion_id"]] = _Scale(float(each["max_points"]), step)
    if criteria:
        scales[TOTAL] = _Scale(sum(float(each["max_points"]) for each in criteria))
    return scales


def _names(rubrics: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A criterion's name, in lower case -> its id: columns are often headed by names.

    A name that two rubrics give to different criteria names none of them; their ids do.
    """
    ids: dict[str, set[str]] = {}
    for rubric in rubrics:
        for each in rubric.get("criteria") or ():
            ids.setdefault(each["name"].lower(), set()).add(each["criterion_id"])
    return {name: next(iter(found)) for name, found in ids.items() if len(found) == 1}
