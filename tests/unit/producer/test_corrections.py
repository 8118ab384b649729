"""Corrections: what a person changes is validated, what code computes is computed again."""

from __future__ import annotations

from typing import Any

import pytest

from producer.review.corrections import Correction, corrected
from workers.contract.errors import InvalidInput
from workers.contract.headline import POINTS_BY_HAND
from workers.contract.schemas import rubric_assessment
from workers.contract.schemas.error_report import ErrorReport
from workers.contract.schemas.feedback import Feedback

LEVELS = [
    {"label": "good", "score_min": 8, "score_max": 10, "description": ""},
    {"label": "weak", "score_min": 2, "score_max": 7, "description": ""},
]
CRITERIA = [
    {"criterion_id": name, "name": name, "max_points": 10.0, "scoring_mode": "level_band", "levels": LEVELS}
    for name in ("style", "q1.a")
]
BANDS = [
    {"label": "pass", "score_min": 10, "score_max": 20},
    {"label": "fail", "score_min": 0, "score_max": 9},
]
MODEL = rubric_assessment.build({"rubric_id": "r", "title": "T", "criteria": CRITERIA, "overall_bands": BANDS})


def graded(level: str = "weak") -> dict[str, Any]:
    said = {"evidence": "x", "feedback": "y", "level": level}
    answer = {"criteria": {"style": said, "q1.a": said}, "overall_feedback": "z"}
    dumped: dict[str, Any] = MODEL.model_validate(answer).model_dump(mode="json")
    return dumped


def test_points_total_and_band_follow_from_a_level():
    before = graded()
    after: Any = corrected(before, MODEL, Correction(fields={"criteria.q1.a.level": "good"}))

    assert (before["total_points"], before["band"]) == (4.0, "fail")
    assert (after["criteria"]["q1.a"]["points"], after["total_points"], after["band"]) == (8.0, 10.0, "pass")
    assert before["criteria"]["q1.a"]["level"] == "weak"


def test_points_by_hand_outlive_a_later_correction_of_another_field():
    first = corrected(graded(), MODEL, Correction(points={"style": 6.5}))
    second: Any = corrected(first, MODEL, Correction(fields={"criteria.q1.a.level": "good"}))

    assert second["criteria"]["style"]["points"] == 6.5
    assert (second["total_points"], second["band"]) == (14.5, "pass")
    assert second[POINTS_BY_HAND] == {"style": 6.5}


@pytest.mark.parametrize(
    ("correction", "complaint"),
    [
        (Correction(fields={"criteria.style.level": "superb"}), "criteria.style.level"),
        (Correction(fields={"total_points": "20"}), "computed from other fields"),
        (Correction(fields={"criteria.style.points": "9"}), "computed from other fields"),
        (Correction(fields={"criteria.tone.level": "good"}), "no field 'criteria.tone.level'; here it has style, q1.a"),
        (Correction(points={"style": 11}), "takes 0 to 10 points, not 11"),
        (Correction(points={"style": float("nan")}), "takes 0 to 10 points, not nan"),
        (Correction(points={"tone": 1}), "no criterion 'tone'; it has style, q1.a"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(correction: Correction, complaint: str):
    with pytest.raises(InvalidInput, match=complaint):
        corrected(graded(), MODEL, correction)


def test_lists_are_changed_whole_or_entry_by_entry():
    report = {"major_errors": ["a"], "minor_errors": [], "feedback": "f", "total_deduction": 10}

    entry: Any = corrected(report, ErrorReport, Correction(fields={"major_errors.0": "b"}))
    whole: Any = corrected(report, ErrorReport, Correction(fields={"major_errors": "[]"}))

    assert (entry["major_errors"], entry["total_deduction"]) == (["b"], 10)
    assert (whole["major_errors"], whole["total_deduction"]) == ([], 0)
    with pytest.raises(InvalidInput, match="no value of that kind"):
        corrected(report, ErrorReport, Correction(fields={"major_errors": "none"}))


DOUBTING = rubric_assessment.build(
    {"rubric_id": "r", "title": "T", "criteria": CRITERIA, "overall_bands": BANDS, "cannot_assess": True}
)


def half_assessed() -> dict[str, Any]:
    answer = {
        "criteria": {
            "style": {"evidence": "x", "feedback": "y", "level": "good"},
            "q1.a": {"cannot_assess": "the file is missing"},
        },
        "overall_feedback": "z",
        "work": "assessable",
    }
    dumped: dict[str, Any] = DOUBTING.model_validate(answer).model_dump(mode="json")
    return dumped


def sums(result: Any) -> tuple[object, ...]:
    return tuple(result[name] for name in ("total_points", "assessed_points", "not_assessed", "band"))


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        (Correction(points={"q1.a": 5.5}), (13.5, 13.5, [], "pass")),
        (Correction(points={"style": 7}), (None, 7.0, ["q1.a"], None)),
        (Correction(fields={"criteria.q1.a.level": "weak"}), (10.0, 10.0, [], "pass")),
        (Correction(fields={"criteria.style.cannot_assess": "cut off"}), (None, 0.0, ["style", "q1.a"], None)),
        (Correction(fields={"criteria.q1.a.level": "good"}, points={"q1.a": 9}), (17.0, 17.0, [], "pass")),
    ],
)
def test_what_was_not_assessed_counts_as_soon_as_a_person_assesses_it(
    correction: Correction, expected: tuple[object, ...]
):
    before = half_assessed()

    assert sums(before) == (None, 8.0, ["q1.a"], None)
    assert sums(corrected(before, DOUBTING, correction)) == expected


def test_the_last_word_about_a_criterion_counts_whether_level_or_points():
    by_hand = corrected(half_assessed(), DOUBTING, Correction(points={"q1.a": 5.5, "style": 9}))
    with_level: Any = corrected(by_hand, DOUBTING, Correction(fields={"criteria.q1.a.level": "weak"}))
    taken_back = corrected(with_level, DOUBTING, Correction(fields={"criteria.style.cannot_assess": "cut off"}))

    assert (sums(by_hand)[0], sums(with_level)[0], with_level[POINTS_BY_HAND]) == (14.5, 11.0, {"style": 9})
    assert sums(taken_back) == (None, 2.0, ["style"], None)


@pytest.mark.parametrize(("field", "value"), [("not_assessed", "[]"), ("assessed_points", "20")])
def test_sums_cannot_be_set(field: str, value: str):
    with pytest.raises(InvalidInput, match="computed from other fields"):
        corrected(half_assessed(), DOUBTING, Correction(fields={field: value}))


def test_points_by_hand_belong_to_rubrics():
    with pytest.raises(InvalidInput, match="by a rubric alone"):
        corrected({"major_errors": [], "minor_errors": [], "feedback": ""}, ErrorReport, Correction(points={"x": 1}))


def test_a_total_that_nobody_computes_is_corrected_as_one_number():
    before = {"summary": "fine", "score": 90, "suggestions": []}
    assert corrected(before, Feedback, Correction(total=80)) == {**before, "score": 80}
    with pytest.raises(InvalidInput, match="computed from other fields"):
        corrected(graded(), MODEL, Correction(total=12))
