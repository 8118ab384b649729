"""The schema made from a rubric: what the model is asked, what is refused, and what code computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from workers.contract.errors import InvalidInput
from workers.contract.registry import fingerprint
from workers.contract.schemas.rubric_assessment import build
from workers.contract.schemes.rubric import parse_rubric, rubric_entries
from workers.contract.schemes.rubric_prompt import build_prompt_section
from workers.contract.strict.schema import decode, strict_schema, violations

REAL_FILE = Path(__file__).parents[3].parent / "shared" / "data" / "cpcc_rubrics.json"

LEVELS = [
    {"label": "Good", "score_min": 6, "score_max": 10},
    {"label": "Poor", "score_min": 0, "score_max": 5},
]
RULES = {"major_weight": 4, "minor_weight": 1.5, "error_conversion": {"minor_to_major_ratio": 2}}
RUBRIC: dict[str, Any] = {
    "rubric_id": "r",
    "title": "Rubric",
    "criteria": [
        {"criterion_id": "logic", "name": "Logic", "max_points": 10, "levels": LEVELS, "points_strategy": "max"},
        {
            "criterion_id": "style",
            "name": "Style",
            "max_points": 5,
            "levels": [{"label": "Fine", "score_min": 3, "score_max": 5}],
        },
        {"criterion_id": "bugs", "name": "Bugs", "max_points": 20, "scoring_mode": "error_count", "error_rules": RULES},
        {"criterion_id": "off", "name": "Off", "max_points": 50, "levels": LEVELS, "enabled": False},
    ],
    "overall_bands": [
        {"label": "Pass", "score_min": 20, "score_max": 35},
        {"label": "Fail", "score_min": 0, "score_max": 19},
    ],
}


def _context(**changes: Any) -> dict[str, object]:
    return parse_rubric(RUBRIC | changes).context()


def _said(criterion: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return criterion, {"evidence": "x = 1", "feedback": "Well done."} | more


def _error(severity: str) -> dict[str, Any]:
    return {"severity": severity, "description": "wrong", "evidence": "x", "line_numbers": [1]}


LOGIC, STYLE = _said("logic", level="Good"), _said("style", level="Fine")
BUGS = _said("bugs", errors=[_error("major"), _error("minor"), _error("minor"), _error("minor")])


def _answer(*criteria: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"criteria": dict(criteria), "overall_feedback": "Good work."}


def _validated(answer: dict[str, Any]) -> BaseModel:
    return decode(build(_context()), json.dumps(answer))


def _faults(answer: dict[str, Any] | str) -> str:
    raw_json = answer if isinstance(answer, str) else json.dumps(answer)
    with pytest.raises(ValidationError) as caught:
        decode(build(_context()), raw_json)
    return str(caught.value)


def test_points_totals_and_band_are_computed_and_stand_in_the_dump():
    result = _validated(_answer(LOGIC, STYLE, BUGS)).model_dump(mode="json")
    # 1 major, 3 minor -> 2 major, 1 minor -> 20 - 8 - 1.5
    criteria = result["criteria"]
    assert [(criterion, each["points"], each["max_points"]) for criterion, each in criteria.items()] == [
        ("logic", 10.0, 10.0),
        ("style", 3.0, 5.0),
        ("bugs", 10.5, 20.0),
    ]
    assert (result["total_points"], result["max_points"], result["band"]) == (23.5, 35.0, "Pass")
    assert (criteria["bugs"]["major_errors"], criteria["bugs"]["minor_errors"]) == (1, 3)


def test_criteria_come_back_in_the_rubrics_order():
    result = _validated(_answer(BUGS, STYLE, LOGIC))
    assert list(result.model_dump()["criteria"]) == ["logic", "style", "bugs"]


def test_a_stored_result_validates_again_to_the_same():
    result = _validated(_answer(LOGIC, STYLE, BUGS))
    assert type(result).model_validate(json.loads(result.model_dump_json())) == result


def test_numbers_that_the_model_states_are_refused():
    answer = _answer((LOGIC[0], LOGIC[1] | {"points": 99}), STYLE, BUGS) | {"total_points": 99}

    faults = _faults(answer)

    assert "criteria.logic.points\n  Extra inputs are not permitted" in faults
    assert "total_points\n  Extra inputs are not permitted" in faults


@pytest.mark.parametrize(
    ("criteria", "fault"),
    [
        ([LOGIC, STYLE], "criteria.bugs"),
        ([], "3 validation errors"),
        ([LOGIC, STYLE, BUGS, _said("speed", level="Good")], "criteria.speed"),
        ([LOGIC, STYLE, BUGS, _said("off", level="Good")], "criteria.off"),
        ([_said("logic", level="good"), STYLE, BUGS], "criteria.logic.level"),
        ([_said("logic", level="Fine"), STYLE, BUGS], "Input should be 'Good' or 'Poor'"),
        ([_said("logic"), STYLE, BUGS], "criteria.logic.level"),
        ([LOGIC, STYLE, _said("bugs")], "criteria.bugs.errors"),
        ([LOGIC, STYLE, _said("bugs", errors=[_error("fatal")])], "criteria.bugs.errors.0.severity"),
        ([LOGIC, STYLE, _said("bugs", level="Good")], "criteria.bugs.errors"),
    ],
)
def test_an_answer_that_does_not_fit_the_rubric_is_invalid_and_never_a_zero(
    criteria: list[tuple[str, dict[str, Any]]], fault: str
):
    assert fault in _faults(_answer(*criteria))


def test_a_criterion_said_twice_is_invalid_even_when_both_agree():
    logic = json.dumps(LOGIC[1])
    once = json.dumps(_answer(LOGIC, STYLE, BUGS))
    twice = once.replace('"criteria": {', '"criteria": {"logic": ' + logic + ", ")
    assert twice != once
    assert "The key 'logic' appears twice" in _faults(twice)


def test_a_criterion_whose_id_is_no_python_name_keeps_it():
    criteria = [RUBRIC["criteria"][0] | {"criterion_id": "code-style 2"}]
    model = build(parse_rubric(RUBRIC | {"criteria": criteria, "overall_bands": None}).context())
    assert violations(model) == []
    result = decode(model, json.dumps(_answer(_said("code-style 2", level="Good")))).model_dump(mode="json")
    assert result["criteria"]["code-style 2"]["points"] == 10.0


def test_the_wire_asks_for_no_number_and_is_accepted_by_strict_mode():
    model = build(_context())
    assert violations(model) == []
    wire = json.dumps(strict_schema(model))
    for computed in ("points", "total", "band", "major_errors", '"number"', "oneOf", "default"):
        assert computed not in wire


def test_a_rubric_with_a_single_criterion_is_accepted_by_strict_mode():
    model = build(parse_rubric(RUBRIC | {"criteria": RUBRIC["criteria"][:1], "overall_bands": None}).context())
    assert violations(model) == []
    result = model.model_validate(_answer(LOGIC)).model_dump()
    assert (result["total_points"], result["band"]) == (10.0, None)


@pytest.mark.skipif(not REAL_FILE.exists(), reason="the real rubrics are not here")
def test_every_real_rubric_is_accepted_by_strict_mode():
    for entry in rubric_entries(REAL_FILE).values():
        assert violations(build(parse_rubric(entry).context())) == []


def test_equal_contexts_give_the_same_class_and_other_points_another_fingerprint():
    first, second = _context(), dict(reversed(json.loads(json.dumps(_context())).items()))
    assert build(first) is build(second)
    assert fingerprint(build(first), first) == fingerprint(build(second), second)
    third = _context(overall_bands=None)
    assert fingerprint(build(third), third) != fingerprint(build(first), first)


def test_two_rubrics_do_not_disturb_each_other():
    first = build(_context())
    build(parse_rubric(RUBRIC | {"criteria": RUBRIC["criteria"][:1], "overall_bands": None}).context())
    assert first.model_validate(_answer(LOGIC, STYLE, BUGS)).model_dump()["max_points"] == 35.0


def test_a_context_that_is_no_rubric_is_refused():
    with pytest.raises(InvalidInput, match="rubric title: is missing"):
        build({"rubric_id": "r", "criteria": RUBRIC["criteria"]})


def test_a_rubric_that_lets_the_model_doubt_sends_no_more_than_one_that_does_not():
    rubrics = [parse_rubric(entry) for entry in rubric_entries(REAL_FILE).values()] if REAL_FILE.exists() else []
    several = [{**RUBRIC["criteria"][0], "criterion_id": name} for name in ("one", "two", "three")]
    for rubric in [parse_rubric(RUBRIC), parse_rubric(RUBRIC | {"criteria": several, "overall_bands": None}), *rubrics]:
        doubting = rubric.model_copy(update={"cannot_assess": True})
        section, schema = build_prompt_section(doubting), json.dumps(strict_schema(build(doubting.context())))
        assert len(section) <= len(build_prompt_section(rubric)), rubric.title
        if len(rubric.enabled_criteria) > 3:  # parts that are the same are sent once
            assert len(schema) <= len(json.dumps(strict_schema(build(rubric.context())))), rubric.title


def test_criteria_with_the_same_levels_are_one_part_of_the_schema_and_keep_their_points_apart():
    several = [
        {**RUBRIC["criteria"][0], "criterion_id": name, "max_points": points}
        for name, points in (("one", 10), ("two", 20), ("three", 30))
    ]
    model = build(_context(criteria=several, overall_bands=None, cannot_assess=True))
    parts: Any = strict_schema(model)["$defs"]
    criteria = dict([_said("one", level="Good"), ("two", {"cannot_assess": "cut off"}), _said("three", level="Poor")])
    content = {"criteria": criteria, "overall_feedback": "o", "work": "assessable"}

    result = decode(model, json.dumps(content)).model_dump()

    assert sorted(parts) == ["Criteria", "Criterion1", "Criterion1NotAssessed", "WorkState"]
    assert [result["criteria"][name]["max_points"] for name in ("one", "two", "three")] == [10, 20, 30]
    assert (result["assessed_points"], result["not_assessed"]) == (10 + 5, ["two"])
