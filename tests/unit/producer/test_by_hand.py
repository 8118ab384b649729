"""Grades by hand: a person gives what the model did not, and code computes what follows."""

from __future__ import annotations

from typing import Any

import pytest

from producer.review.by_hand import graded_by_hand, is_by_hand
from producer.review.corrections import Correction
from tests.unit.producer.test_corrections import MODEL
from workers.contract.errors import InvalidInput
from workers.contract.headline import GRADED_BY_HAND, headline
from workers.contract.schemas.error_report import ErrorReport
from workers.contract.schemas.feedback import Feedback


def test_the_total_alone_is_a_grade_with_its_band_and_no_criterion():
    grade = graded_by_hand(None, MODEL, Correction(total=12))

    assert is_by_hand(grade)
    assert (grade["total_points"], grade["max_points"], grade["band"]) == (12.0, 20.0, "pass")
    assert "criteria" not in grade


def test_by_levels_and_points_the_total_is_computed_and_no_level_is_made_up():
    given = Correction(fields={"criteria.q1.a.level": "good", "overall_feedback": "on paper"}, points={"style": 6.5})
    grade = graded_by_hand(None, MODEL, given)

    assert grade["criteria"]["q1.a"] == {"level": "good", "points": 8.0, "max_points": 10.0, "feedback": ""}
    assert grade["criteria"]["style"] == {"level": None, "points": 6.5, "max_points": 10.0, "feedback": ""}
    assert (headline(grade), grade["band"], grade["overall_feedback"]) == (14.5, "pass", "on paper")


def test_a_later_correction_keeps_what_it_does_not_name():
    first = graded_by_hand(None, MODEL, Correction(points={"style": 6.5, "q1.a": 2}))
    second = graded_by_hand(first, MODEL, Correction(fields={"criteria.q1.a.level": "good"}))
    said = graded_by_hand(second, MODEL, Correction(fields={"overall_feedback": "better"}))
    whole = graded_by_hand(said, MODEL, Correction(total=20))
    worded = graded_by_hand(whole, MODEL, Correction(fields={"overall_feedback": "all of it"}))

    assert [headline(each) for each in (first, second, said, whole, worded)] == [8.5, 14.5, 14.5, 20, 20]
    assert (worded[GRADED_BY_HAND], worded["overall_feedback"]) == ("total", "all of it")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (Correction(points={"style": 6}), "has none for q1.a"),
        (Correction(total=21), "the total takes 0 to 20 points, not 21"),
        (Correction(total=float("nan")), "the total takes 0 to 20 points, not nan"),
        (Correction(points={"style": 11, "q1.a": 1}), "style takes 0 to 10 points, not 11"),
        (Correction(points={"tone": 1}), "no criterion 'tone'; it has style, q1.a"),
        (Correction(fields={"criteria.style.level": "superb"}), "has no level 'superb'; its levels are good, weak"),
        (Correction(fields={"criteria.style.points": "9"}), "has no field 'criteria.style.points'"),
        (Correction(total=10, points={"style": 6}), "give the total, or the criteria"),
        (Correction(fields={"total_points": "many"}), "total_points is a number, not 'many'"),
    ],
)
def test_what_makes_no_grade_by_the_rubric_is_refused_by_name(given: Correction, complaint: str):
    with pytest.raises(InvalidInput, match=complaint):
        graded_by_hand(None, MODEL, given)


def test_other_results_take_their_own_total_within_its_bounds():
    assert graded_by_hand(None, Feedback, Correction(total=80)) == {GRADED_BY_HAND: "total", "score": 80}
    with_words = graded_by_hand(None, Feedback, Correction(fields={"score": "80", "summary": "fine"}))
    assert with_words == {GRADED_BY_HAND: "total", "score": 80, "summary": "fine"}
    for given in (Correction(total=101), Correction(total=80.5), Correction(fields={"summary": "fine"})):
        with pytest.raises(InvalidInput):
            graded_by_hand(None, Feedback, given)


def test_points_are_never_taken_for_points_deducted():
    with pytest.raises(InvalidInput, match="say what is deducted: --set total_deduction=85"):
        graded_by_hand(None, ErrorReport, Correction(total=85))
    stated = graded_by_hand(None, ErrorReport, Correction(fields={"total_deduction": "15", "feedback": "ok"}))
    listed: Any = {"major_errors": '["no loop"]', "minor_errors": "[]", "feedback": "ok"}
    counted = graded_by_hand(None, ErrorReport, Correction(fields=listed))
    again = graded_by_hand(counted, ErrorReport, Correction(fields={"major_errors": "[]"}))

    assert (headline(stated), stated["feedback"]) == (15, "ok")
    assert (headline(counted), headline(again)) == (10, 0)
