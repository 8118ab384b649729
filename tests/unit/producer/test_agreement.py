"""Agreement: numbers on their scale, and a reason instead of a number where the data say nothing."""

from __future__ import annotations

import math
import random
from dataclasses import astuple
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.review.hand_grades import read_hand_grades
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from producer.review.agreement import Agreement, Figure


def agreement(*arguments: Any, **options: Any) -> Agreement:
    """Imported when it is called: its libraries cost a second, and every process of a run collects every file."""
    from producer.review.agreement import agreement as real

    return real(*arguments, **options)


def graded(*grades: float) -> dict[str, float]:
    return {f"s{number:03}": grade for number, grade in enumerate(grades)}


def figures(found: Agreement) -> list[Figure]:
    return [found.exact, found.adjacent, found.bias, found.mean_error, found.kappa, found.icc, found.alpha]


def test_the_same_grades_agree_in_full():
    grades = graded(*(float(n % 7) for n in range(40)))
    found = agreement("total", grades, grades)

    assert [figure.value for figure in figures(found)] == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert (found.worst, found.notes) == ((), ())


def test_a_constant_shift_is_a_bias_and_costs_absolute_agreement():
    person = graded(*(float(n % 10) for n in range(50)))
    model = {item: grade + 2 for item, grade in person.items()}
    found = agreement("total", person, model, highest=12)

    assert (found.bias.value, found.bias.low, found.bias.high) == (2.0, 2.0, 2.0)
    assert (found.exact.value, found.mean_error.value) == (0.0, 2.0)
    assert found.icc.value is not None
    assert 0.7 < found.icc.value < 0.9
    assert found.worst[0].difference == 2.0


def test_kappa_weighs_the_distance_of_grades_and_not_of_their_ranks():
    person = graded(*[0, 1, 10] * 5)
    near, far = dict(person), dict(person)
    near["s000"], far["s000"] = 1.0, 10.0

    close, wide = agreement("q", person, near).kappa.value, agreement("q", person, far).kappa.value
    assert close is not None
    assert wide is not None
    assert close > 0.99
    assert wide < 0.9


@pytest.mark.parametrize(
    ("person", "model", "note"),
    [
        (graded(*[5.0] * 20), graded(*[5.0] * 20), "all equal; kappa, ICC and alpha are not defined"),
        (graded(*[5.0] * 20), graded(*[6.0] * 20), "both gave everybody one grade"),
        (graded(*[5.0] * 20), graded(*range(20)), "the person gave everybody the same grade"),
        (graded(1, 2, 3), graded(1, 2, 4), "fewer than 10 pairs: no intervals"),
        ({}, graded(1, 2), "no item was graded by both"),
        (graded(2.5), graded(2.5), "fewer than 10 pairs"),
        (graded(2, 4), graded(4, 2), "ICC is not defined for these few grades"),
        (graded(*[2.5] * 10), graded(*[2.5] * 9, 3), "the person gave everybody the same grade"),
    ],
)
def test_what_the_data_cannot_say_has_a_reason_and_never_nan(
    person: dict[str, float], model: dict[str, float], note: str
):
    found = agreement("total", person, model)

    assert any(each.startswith(note) for each in found.notes)
    for figure in figures(found):
        assert all(part is None or math.isfinite(part) for part in astuple(figure))
    if "are not defined" in note or "one grade" in note or "same grade" in note:
        assert (found.kappa.value, found.icc.value, found.alpha.value) == (None, None, None)


def test_few_pairs_have_values_without_intervals():
    found = agreement("total", graded(1, 2, 3, 4), graded(1, 2, 3, 5))

    assert (found.exact.value, found.exact.low, found.exact.high) == (0.75, None, None)
    assert found.kappa.value is not None
    assert found.kappa.low is None


@given(
    st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 2.5, 5.0, None])] * 2), max_size=24),
    st.sampled_from([None, 0.0, 5.0]),
)
@settings(max_examples=40, deadline=None)
def test_whatever_the_grades_a_figure_is_finite_or_has_a_reason(
    pairs: list[tuple[float | None, float | None]], highest: float | None
):
    person, model = (
        {str(place): pair[side] for place, pair in enumerate(pairs) if pair[side] is not None} for side in (0, 1)
    )
    with patch("producer.review.agreement.RESAMPLES", 20):
        found = agreement("total", person, model, highest=highest)

    numbers = [part for figure in figures(found) for part in astuple(figure)]
    assert all(part is None or math.isfinite(part) for part in numbers)
    if any(figure.value is None for figure in figures(found)):
        assert any("not defined" in note or "no item" in note for note in found.notes)


def test_missing_grades_are_left_out_and_counted():
    found = agreement("total", graded(1, 2, 3), {"s000": 1.0, "s009": 4.0})

    assert (found.pairs, found.missing) == (1, 3)


def test_half_points_and_rare_grades_give_an_interval_that_holds_the_value():
    draw = random.Random(4)  # noqa: S311 - grades of a made-up course
    person = graded(*(draw.choice([0, 0.5, 1, 1.5, 8]) for _ in range(30)))
    model = {item: grade + draw.choice([0, 0, 0.5]) for item, grade in person.items()}

    for figure in figures(agreement("q", person, model)):
        assert figure.value is not None
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value + 0.05
        assert figure.value - 0.05 <= figure.high


def test_a_sheet_of_grades_is_numbers_and_missing_cells(tmp_path: Path):
    sheet = tmp_path / "hand.csv"
    sheet.write_text('\ufeffid,Total,style\nada,"8,5",\nbob,10.00,EX\n,,\neve,-,9\n', encoding="utf-8")

    found = read_hand_grades(sheet)
    assert found.by_field == {"total": {"ada": 8.5, "bob": 10.0}, "style": {"eve": 9.0}}
    assert found.missing == {"total": 1, "style": 2}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("name,total\na,1\n", "hand.csv: has no column `id`"), ("id,total\na,1\na,2\n", "line 3 names 'a' a second time")],
)
def test_a_sheet_that_does_not_say_whose_grades_they_are_is_refused(tmp_path: Path, text: str, complaint: str):
    sheet = tmp_path / "hand.csv"
    sheet.write_text(text)

    with pytest.raises(InvalidInput, match=complaint):
        read_hand_grades(sheet)
