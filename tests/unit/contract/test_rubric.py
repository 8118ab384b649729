"""Rubric files: what is accepted, what is refused with which sentence, and how points follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workers.contract.errors import InvalidInput
from workers.contract.schemes.fence import Fence
from workers.contract.schemes.layout import instructions_text, students_part
from workers.contract.schemes.rubric import (
    Rubric,
    parse_rubric,
    rubric_entries,
    rubric_from_option,
    select_rubric,
)
from workers.contract.schemes.rubric_prompt import build_prompt_section

REAL_FILE = Path(__file__).parents[3].parent / "shared" / "data" / "cpcc_rubrics.json"
needs_real_file = pytest.mark.skipif(not REAL_FILE.exists(), reason="the real rubrics are not here")


def _level(label: str, low: float, high: float, description: str = "") -> dict[str, Any]:
    return {"label": label, "score_min": low, "score_max": high, "description": description}


def _criterion(name: str = "logic", **changes: Any) -> dict[str, Any]:
    levels = [_level("Good", 6, 10, "It works"), _level("Poor", 0, 5)]
    return {"criterion_id": name, "name": name.title(), "max_points": 10, "levels": levels} | changes


def _counted(name: str = "errors", **changes: Any) -> dict[str, Any]:
    rules = {"major_weight": 4, "minor_weight": 1, "error_conversion": {"minor_to_major_ratio": 3}}
    return _criterion(name, levels=None, scoring_mode="error_count", error_rules=rules) | changes


def _rubric(*criteria: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"rubric_id": "r", "title": "Rubric", "criteria": list(criteria) or [_criterion()]} | changes


def _file(folder: Path, document: object) -> Path:
    path = folder / "rubrics.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def _problem(document: dict[str, Any]) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_rubric(document)
    return str(caught.value)


@needs_real_file
def test_every_real_rubric_loads_and_survives_being_stored():
    rubrics = {key: parse_rubric(entry) for key, entry in rubric_entries(REAL_FILE).items()}
    raw = json.loads(REAL_FILE.read_text())
    assert rubrics.keys() == raw.keys()
    for key, rubric in rubrics.items():
        assert parse_rubric(json.loads(json.dumps(rubric.context()))) == rubric
        assert rubric.max_points == sum(each["max_points"] for each in raw[key]["criteria"])


@needs_real_file
def test_a_rubric_is_found_by_its_key_and_by_its_own_id():
    assert select_rubric(REAL_FILE, "csc151_java_exam_rubric") == select_rubric(REAL_FILE, "csc_java_exam_rubric")


@needs_real_file
def test_rules_that_contradict_each_other_are_told():
    warnings = select_rubric(REAL_FILE, "csc151_java_exam_rubric").warnings()
    assert [warning.split(" is ")[0] for warning in warnings] == [
        "level 'C (2 major errors)' of 'program_performance'",
        "level 'D (3 major errors)' of 'program_performance'",
    ]
    (warning,) = select_rubric(REAL_FILE, "default_100pt_rubric").warnings()
    assert warning.startswith("the best levels give 91 of 100 points")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"criteria": []}, "rubric criteria: needs at least 1 entry"),
        ({"criteria": [_criterion(), _criterion()]}, "rubric: criterion_id 'logic' appears twice; rename one"),
        ({"criteria": [_criterion(enabled=False)]}, "rubric: every criterion is disabled; enable one"),
        ({"criteria": [_criterion(levels=[])]}, "rubric criteria.0: criterion 'logic' has no levels"),
        ({"criteria": [_criterion(levels=None)]}, "has no levels, so its points would be the model's"),
        ({"criteria": [_counted(error_rules=None)]}, "is scored by error_count and has no error_rules; add them"),
        ({"criteria": [_criterion(max_points=9)]}, "'Good' reaches 10, but 9 points are the most"),
        ({"criteria": [_criterion(max_points=0)]}, "rubric criteria.0.max_points: must be greater than 0"),
        ({"criteria": [_criterion(max_points="10")]}, "rubric criteria.0.max_points: must be a number, without quotes"),
        ({"criteria": [_criterion(enabeld=False)]}, "rubric criteria.0.enabeld: unknown field"),
        ({"criteria": [_criterion(scoring_mode="vote")]}, "rubric criteria.0.scoring_mode: must be 'manual'"),
        ({"criteria": [_criterion(points_strategy="luck")]}, "rubric criteria.0.points_strategy: must be"),
        ({"criteria": [_criterion(levels=[_level("A", 6, 5)])]}, "score_min 6 of 'A' is above its score_max 5"),
        ({"criteria": [_criterion(levels=[_level("A", -1, 5)])]}, "criteria.0.levels.0.score_min: must be"),
        ({"criteria": [_criterion(levels=[_level(" ", 0, 5)])]}, "criteria.0.levels.0.label: String should match"),
        (
            {"criteria": [_criterion(levels=[_level("A", 0, 4), _level("A", 5, 6)])]},
            "level of criterion 'logic' 'A' appears twice",
        ),
        (
            {"criteria": [_criterion(levels=[_level("A", 0, 5), _level("B", 4, 6)])]},
            "level of criterion 'logic' 'A' and 'B' overlap",
        ),
        (
            {"overall_bands": [{"label": "All", "score_min": 0, "score_max": 11}]},
            "overall band 'All' reaches 11, but 10 points are the most",
        ),
        ({"title": None}, "rubric title: must be text"),
    ],
)
def test_a_rubric_that_cannot_be_used_is_refused_with_the_field(changes: dict[str, Any], sentence: str):
    assert sentence in _problem(_rubric(**changes))


def test_bands_that_overlap_or_exceed_what_is_enabled_are_refused():
    bands = [{"label": "Pass", "score_min": 10, "score_max": 20}, {"label": "Fail", "score_min": 0, "score_max": 11}]
    two = [_criterion("a"), _criterion("b")]
    assert "overall band 'Fail' and 'Pass' overlap" in _problem(_rubric(*two, overall_bands=bands))
    less = _rubric(_criterion("a"), _criterion("b", enabled=False), overall_bands=bands[:1])
    assert "overall band 'Pass' reaches 20, but 10 points are the most" in _problem(less)


def test_levels_may_touch_and_a_level_may_be_a_single_score():
    levels = [_level("Full", 10, 10), _level("Half", 5, 10), _level("None", 0, 0)]
    assert parse_rubric(_rubric(_criterion(levels=levels))).max_points == 10


@pytest.mark.parametrize(
    ("strategy", "level", "points"),
    [
        ("min", (6, 9), 6.0),
        ("max", (6, 9), 9.0),
        ("mid", (6, 9), 7.0),
        ("mid", (6, 8), 7.0),
        ("mid", (0.5, 0.75), 0.625),
        ("mid", (10, 10), 10.0),
    ],
)
def test_points_of_a_level_follow_the_criterions_strategy(strategy: str, level: tuple[float, float], points: float):
    (criterion,) = parse_rubric(_rubric(_criterion(points_strategy=strategy, levels=[_level("A", *level)]))).criteria
    assert criterion.points_for_level("A") == points


def test_points_are_the_lowest_of_the_level_when_no_strategy_is_given():
    assert parse_rubric(_rubric()).criteria[0].points_for_level("Good") == 6


@pytest.mark.parametrize(
    ("rules", "major", "minor", "points"),
    [
        ({}, 0, 0, 10.0),
        ({}, 1, 2, 4.0),
        ({}, 0, 3, 6.0),
        ({}, 1, 4, 1.0),
        ({}, 9, 9, 0.0),
        ({"error_conversion": None}, 0, 3, 7.0),
        ({"max_deduction": 5}, 9, 0, 5.0),
        ({"floor_score": 2}, 9, 0, 2.0),
        ({"minor_weight": 0.1, "error_conversion": None}, 0, 3, 9.7),
    ],
)
def test_points_of_an_error_count_follow_the_rules(rules: dict[str, Any], major: int, minor: int, points: float):
    counted = _counted()
    counted["error_rules"] |= rules
    (criterion,) = parse_rubric(_rubric(counted)).criteria
    assert criterion.points_for_errors(major=major, minor=minor) == points


def test_the_band_is_the_highest_one_reached_and_gaps_belong_to_the_lower():
    bands = [("No work", 0, 0), ("Poor", 0, 4), ("Good", 5, 7.99), ("Best", 8, 10)]
    written = [{"label": label, "score_min": low, "score_max": high} for label, low, high in bands]
    rubric = parse_rubric(_rubric(overall_bands=written[1:] + written[:1]))
    found = [rubric.band_for(total) for total in (0, 4, 4.5, 5, 7.995, 8, 10)]
    assert found == ["Poor", "Poor", "Poor", "Good", "Good", "Best", "Best"]
    assert parse_rubric(_rubric()).band_for(10) is None
    assert parse_rubric(_rubric(overall_bands=written[2:])).band_for(1) is None


def test_disabled_criteria_are_neither_stored_nor_shown_nor_counted():
    rubric = parse_rubric(_rubric(_criterion("kept"), _criterion("gone", enabled=False)))
    assert [each["criterion_id"] for each in rubric.context()["criteria"]] == ["kept"]  # type: ignore[attr-defined]
    assert "gone" not in build_prompt_section(rubric)
    assert rubric.max_points == 10


def test_the_prompt_shows_criteria_and_levels_and_no_points():
    section = build_prompt_section(parse_rubric(_rubric(_criterion("logic", max_points=77), _counted("errors"))))
    assert "## Logic (criterion_id: logic)" in section
    assert '- "Good": It works' in section
    assert "List every error" in section
    assert "77" not in section


def test_the_rubric_stands_in_the_instructions_and_the_submission_apart_in_its_fence():
    rubric, fence = parse_rubric(_rubric()), Fence.draw()
    section = build_prompt_section(rubric)
    assert instructions_text(section=section, fence=fence).startswith(section)
    assert instructions_text(section=section, fence=fence).endswith(fence.rule_of_parts)
    work = students_part([("submission", "print(1)")], fence)
    assert work == f"<<< submission {fence.mark}\nprint(1)\n>>> submission {fence.mark}"


def test_the_only_rubric_of_a_file_needs_no_name(tmp_path: Path):
    assert select_rubric(_file(tmp_path, {"first": _rubric()})).rubric_id == "r"
    assert select_rubric(_file(tmp_path, _rubric())).rubric_id == "r"


def test_an_option_names_file_and_rubric(tmp_path: Path):
    path = _file(tmp_path, {"a": _rubric(title="A"), "b": _rubric(title="B")})
    assert rubric_from_option(f"{path}#b").title == "B"
    with pytest.raises(InvalidInput, match=r"holds 2 rubrics; choose one with rubrics\.json#ID; its rubrics are: a, b"):
        rubric_from_option(str(path))
    with pytest.raises(InvalidInput, match="has no rubric 'c'; its rubrics are: a, b"):
        rubric_from_option(f"{path}#c")
    with pytest.raises(InvalidInput, match="has several rubrics 'r'"):
        rubric_from_option(f"{path}#r")
    path.rename(tmp_path / "week#b")
    with pytest.raises(InvalidInput, match="holds 2 rubrics"):
        rubric_from_option(str(tmp_path / "week#b"))


def test_a_broken_neighbour_does_not_block_the_chosen_rubric(tmp_path: Path):
    path = _file(tmp_path, {"a": _rubric(), "b": _rubric(criteria=[])})
    assert isinstance(select_rubric(path, "a"), Rubric)
    with pytest.raises(InvalidInput, match=r"rubrics\.json b criteria: needs at least 1 entry"):
        select_rubric(path, "b")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{\n"a": }', "rubrics.json line 2: is not valid JSON"),
        ('{"a": 1, "a": 2}', "rubrics.json: the key 'a' appears twice in one object"),
        ("[]", "rubrics.json: holds no rubrics"),
        ("{}", "rubrics.json: holds no rubrics"),
        ('{"a": 5}', "rubrics.json a: must hold named fields"),
        ("[" * 100_000, "rubrics.json: is not usable JSON"),
    ],
)
def test_a_file_that_holds_no_rubrics_is_refused(tmp_path: Path, content: str, sentence: str):
    with pytest.raises(InvalidInput) as caught:
        select_rubric(_file(tmp_path, content))
    assert sentence in str(caught.value)


def test_a_file_that_is_absent_or_binary_is_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"absent\.json: cannot be read: No such file"):
        select_rubric(tmp_path / "absent.json")
    (tmp_path / "rubrics.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="is not UTF-8 text"):
        select_rubric(tmp_path / "rubrics.json")
