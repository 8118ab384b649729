"""The rubric as a table: what an editor shows is what it gives back, and what no row shows is kept."""

from __future__ import annotations

import json

import pytest

from producer.inputs.rubric_rows import CRITERION, HIGHEST, LEVEL, LOWEST, rows_of_rubric, rubric_file, rubric_of_rows
from workers.contract.errors import InvalidInput
from workers.contract.schemes.rubric import parse_rubric

LEVELS = [{"label": "Good", "score_min": 5, "score_max": 9}, {"label": "Bad", "score_min": 0, "score_max": 4}]
RUBRIC = parse_rubric({
    "rubric_id": "r",
    "title": "Week 3",
    "overall_bands": [{"label": "Pass", "score_min": 8, "score_max": 20}],
    "criteria": [
        {"criterion_id": "x-1", "name": "Style", "max_points": 10, "points_strategy": "max", "levels": LEVELS},
        {"criterion_id": "off", "name": "Off", "enabled": False, "levels": LEVELS[1:], "max_points": 4},
        {"criterion_id": "bugs", "name": "Bugs", "max_points": 10, "scoring_mode": "error_count",
         "error_rules": {"major_weight": 3, "minor_weight": 1}},
    ],
})  # fmt: skip


def test_an_untouched_table_is_the_same_rubric():
    assert rubric_of_rows(rows_of_rubric(RUBRIC), title="Week 3", base=RUBRIC) is RUBRIC


def test_an_edit_changes_what_it_shows_and_keeps_the_rest():
    rows = [*rows_of_rubric(RUBRIC), {CRITERION: "Tests", LEVEL: "Some", LOWEST: 2.0}, {LEVEL: "None", LOWEST: 0}]
    rows[0] = {**rows[0], LEVEL: "Very good"}
    made = rubric_of_rows(rows, title="Week 3", base=RUBRIC)
    assert [(each.criterion_id, each.max_points) for each in made.enabled_criteria] == [
        ("x-1", 10), ("tests", 2), ("bugs", 10),
    ]  # fmt: skip
    assert [level.label for level in made.criteria[0].levels or ()] == ["Very good", "Bad"]
    assert made.criteria[0].points_strategy == "max"
    assert [level.label for level in made.criteria[1].levels or ()] == ["Some", "None"]
    assert made.overall_bands == RUBRIC.overall_bands
    assert [each.criterion_id for each in made.criteria if not each.enabled] == ["off"]
    assert parse_rubric(json.loads(rubric_file(made))) == made


def test_a_table_written_from_nothing_is_a_rubric():
    made = rubric_of_rows([{CRITERION: "A b", LEVEL: "x", LOWEST: 1, HIGHEST: 3.5}, {}], title=" ")
    assert (made.title, made.max_points, made.criteria[0].criterion_id) == ("Rubric", 3.5, "a_b")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "write one criterion"),
        ([{LEVEL: "x", LOWEST: 1}], "row 1: name the criterion"),
        ([{CRITERION: "A", LOWEST: 1}], "row 1: name the level"),
        ([{CRITERION: "A", LEVEL: "x"}], "row 1: say how many points"),
        ([{CRITERION: "A", LEVEL: "x", LOWEST: 3, HIGHEST: 1}], "above its score_max"),
    ],
)
def test_a_table_that_is_no_rubric_says_where(rows: list[dict[str, object]], sentence: str):
    with pytest.raises(InvalidInput, match=sentence):
        rubric_of_rows(rows, title="T")
