"""Drift: per field how many changed, and by how much."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import pytest
from pydantic import BaseModel, Field, RootModel, computed_field

from producer.regrading.decimal_fields import decimal_fields
from producer.regrading.drift import MOST_FIELDS, Drift
from producer.regrading.drift import compare as compare_pairs
from producer.regrading.field_pairs import fields_of, no_decimals
from workers.contract.outcome import FailureKind, Usage
from workers.store.results import ResultRow

if TYPE_CHECKING:
    from producer.regrading.field_pairs import DecimalsOf


def row(identity: str, result: object, *, is_standin: bool = False) -> ResultRow:
    return ResultRow(
        id=identity, job_id=identity, batch="b", round=1, state="succeeded" if result is not None else "failed",
        schema="s", schema_fingerprint="f", prompt_hash="p", provider="x", model="m", model_answered="m",
        result=result, failure_kind=None if result is not None else FailureKind.REFUSED, failure_message=None,
        is_standin=is_standin, usage=Usage(), cost_usd=0.0, attempts=1, metadata={},
    )  # fmt: skip


def rows(results: dict[str, object]) -> list[ResultRow]:
    return [row(identity, result) for identity, result in results.items()]


def paired(old: list[ResultRow], new: list[ResultRow]) -> list[tuple[ResultRow, ResultRow]]:
    """Those with a result in both."""
    partners = {each.id: each for each in new if each.result is not None}
    return [(each, partners[each.id]) for each in old if each.result is not None and each.id in partners]


def results_in(graded: list[ResultRow]) -> int:
    return sum(each.result is not None for each in graded)


def compare(old: list[ResultRow], new: list[ResultRow], decimals_of: DecimalsOf = no_decimals) -> Drift:
    return compare_pairs(
        paired(old, new), old_results=results_in(old), new_results=results_in(new), decimals_of=decimals_of
    )


def test_numbers_have_a_distance_and_the_unchanged_count_in_the_mean():
    found = compare(
        rows({"a": {"score": 10}, "b": {"score": 20}, "c": {"score": 30}, "d": {"score": 40}}),
        rows({"a": {"score": 10}, "b": {"score": 26}, "c": {"score": 28}, "d": {"score": 40}}),
    )

    (score,) = found.fields
    assert (score.name, score.compared, score.changed) == ("score", 4, 2)
    assert score.mean_difference == 1.0
    assert score.mean_size == 4.0
    assert score.largest is not None
    assert (score.largest.id, score.largest.difference) == ("b", 6.0)
    assert found.unchanged == 2


def test_labels_tell_where_they_moved_and_prose_only_that_it_did():
    prose = "a long text that nobody wants to read twice in a table"
    found = compare(
        rows({"a": {"level": "good", "feedback": prose}, "b": {"level": "good", "feedback": prose}}),
        rows({"a": {"level": "poor", "feedback": prose + "!"}, "b": {"level": "poor", "feedback": prose}}),
    )

    level, feedback = found.fields
    assert level.transitions == [("good", "poor", 2)]
    assert (feedback.changed, feedback.transitions) == (1, [])
    assert level.mean_difference is None


def test_criteria_are_matched_by_their_id_not_by_their_place():
    found = compare(
        rows({"a": {"criteria": [{"criterion_id": "x", "points": 1}, {"criterion_id": "y", "points": 2}]}}),
        rows({"a": {"criteria": [{"criterion_id": "y", "points": 2}, {"criterion_id": "x", "points": 4}]}}),
    )

    assert {each.name: each.changed for each in found.fields} == {
        "criteria (number)": 0,
        "criteria[x].points": 1,
        "criteria[y].points": 0,
    }


def test_objects_where_the_other_side_has_none_are_counted_from_zero():
    some = {"errors": [{"error_id": "x", "penalty": 1}, {"error_id": "y", "penalty": 2}]}
    found = compare(rows({"a": {"errors": []}, "b": some}), rows({"a": some, "b": {"errors": []}}))

    number, *others = found.fields
    assert (number.name, number.moved.counts) == ("errors (number)", {2.0: 1, -2.0: 1})
    assert (number.mean_difference, number.mean_size) == (0.0, 2.0)
    assert {each.name: each.changed for each in others} == {"errors[x].penalty": 2, "errors[y].penalty": 2}


def test_objects_with_ids_are_counted_against_others_without():
    found = fields_of(
        row("a", {"errors": [{"error_id": "x", "line": 1}]}),
        row("a", {"errors": [{"error_id": "x", "line": 1}, {"error_id": "x", "line": 2}]}),
    )

    assert [(each.field, each.old, each.new) for each in found if each.is_changed] == [
        ("errors (number)", 1, 2),
        ("errors[x].line", 1, None),
    ]


def test_a_list_of_texts_is_compared_by_length_and_content():
    found = compare(rows({"a": {"errors": ["x", "y"]}}), rows({"a": {"errors": ["x", "z", "w"]}}))

    assert {each.name: each.mean_difference for each in found.fields} == {
        "errors (number)": 1.0,
        "errors (content)": None,
    }


def test_a_field_that_one_side_lacks_is_a_change_and_true_is_no_number():
    found = compare(rows({"a": {"passed": True, "old": 1}}), rows({"a": {"passed": False}}))

    assert {each.name: (each.changed, each.mean_difference) for each in found.fields} == {
        "passed": (1, None),
        "old": (1, None),
    }


def test_a_flipped_truth_tells_its_direction():
    found = compare(
        rows({"a": {"passed": True}, "b": {"passed": True}, "c": {"passed": False}, "d": {"passed": None}}),
        rows({"a": {"passed": False}, "b": {"passed": False}, "c": {"passed": True}, "d": {"passed": True}}),
    )

    (passed,) = found.fields
    assert (passed.changed, passed.transitions) == (4, [("True", "False", 2), ("False", "True", 1)])


def test_what_has_no_result_on_one_side_is_counted_not_compared():
    found = compare(
        rows({"a": {"score": 1}, "b": {"score": 2}, "c": None}), rows({"a": {"score": 1}, "b": None, "c": {"score": 3}})
    )

    assert (found.compared, found.only_old, found.only_new, found.unchanged) == (1, 1, 1, 1)


def test_fields_that_a_model_makes_up_without_end_are_not_all_kept():
    names = [f"field {number}" for number in range(MOST_FIELDS + 5)]
    found = compare([row("a", dict.fromkeys(names, 1))], [row("a", dict.fromkeys(names, 2))])

    assert (len(found.fields), found.has_more_fields) == (MOST_FIELDS, True)
    few = compare([row("a", {"x": 1})], [row("a", {"x": 2, names[-1]: 3})])
    assert (len(few.fields), few.has_more_fields) == (2, False)


def test_stand_in_grades_are_said():
    assert compare([row("a", {"s": 1})], [row("a", {"s": 1}, is_standin=True)]).has_standin
    assert not compare([row("a", {"s": 1})], [row("a", {"s": 1})]).has_standin


def drift_of(old: object, new: object, decimals: frozenset[str] = frozenset({"grade", "parts.points", "result"})):
    return compare(rows({"a": old}), rows({"a": new}), lambda _schema: decimals)


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [("9.5", "10.00", 0.5), ("0.1", "0.3", 0.2), ("10", "9.00", -1.0), ("1E+2", 90, -10.0)],
)
def test_decimals_are_numbers_and_their_distance_is_exact(old: object, new: object, difference: float):
    (grade,) = drift_of({"grade": old}, {"grade": new}).fields

    assert grade.mean_difference == difference
    assert grade.transitions == []


def test_the_same_decimal_written_in_another_way_is_no_change():
    assert drift_of({"grade": "10.00"}, {"grade": "10.0"}).unchanged == 1
    assert drift_of("10.00", "1E+1").unchanged == 1


def test_decimals_within_lists_are_found_by_the_schemas_path():
    found = drift_of({"parts": [{"id": "x", "points": "2.50"}]}, {"parts": [{"id": "x", "points": "2.25"}]})

    assert {each.name: each.mean_difference for each in found.fields if each.changed} == {"parts[x].points": -0.25}


@pytest.mark.parametrize("text", ["n/a", "NaN", "Infinity", "", "1,5"])
def test_what_is_no_finite_decimal_stays_text(text: str):
    (grade,) = drift_of({"grade": text}, {"grade": "1"}).fields

    assert (grade.changed, grade.mean_difference) == (1, None)
    assert drift_of({"grade": text}, {"grade": text}).unchanged == 1


def test_a_text_that_looks_like_a_number_is_one_only_where_the_schema_says_so():
    found = drift_of({"seat": "007"}, {"seat": "7"})

    assert found.fields[0].transitions == [("007", "7", 1)]


class Part(BaseModel):
    points: Decimal
    label: str
    more: list[Part] = []


class Grade(BaseModel):
    total: Decimal | None
    weight: Annotated[Decimal, Field(ge=0)]
    parts: list[Part]
    first: Part
    by_name: dict[str, Decimal]
    score: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def half(self) -> Decimal:
        return self.weight / 2


class Points(RootModel[Decimal]):
    pass


def test_every_decimal_of_a_schema_is_known_by_its_path():
    assert decimal_fields(Grade) == {"total", "weight", "parts.points", "first.points", "half"}
    assert decimal_fields(Points) == {"result"}
