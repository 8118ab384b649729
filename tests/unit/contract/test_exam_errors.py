"""Error catalogues and the schema made from one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from workers.contract.errors import InvalidInput
from workers.contract.schemas.exam_errors import build
from workers.contract.schemes.catalogue import (
    build_prompt_section,
    catalogue_from_option,
    load_catalogues,
    parse_catalogue,
    select_catalogue,
)
from workers.contract.strict.schema import decode, strict_schema, violations

REAL_FILE = Path(__file__).parents[3].parent / "shared" / "data" / "cpcc_error_definitions.json"
needs_real_file = pytest.mark.skipif(not REAL_FILE.exists(), reason="the real catalogue is not here")


def _definition(name: str, severity: str = "minor", points: float = 10, **changes: Any) -> dict[str, Any]:
    return {
        "error_id": name,
        "name": name.title(),
        "description": f"About {name}.",
        "severity_category": severity,
        "default_penalty_points": points,
    } | changes


def _assignment(name: str, *definitions: dict[str, Any]) -> dict[str, Any]:
    return {"assignment_id": name, "assignment_name": name, "error_definitions": list(definitions)}


def _catalogue(*definitions: dict[str, Any]) -> dict[str, Any]:
    return {"course_id": "C", **_assignment("A", *definitions)}


DEFINITIONS = [
    _definition("naming", points=0.1),
    _definition("syntax", "major", 40),
    _definition("style", points=0.2),
    _definition("gone", enabled=False),
]


def _file(folder: Path, courses: dict[str, list[dict[str, Any]]]) -> Path:
    path = folder / "errors.json"
    written = [{"course_id": course, "assignments": assignments} for course, assignments in courses.items()]
    path.write_text(json.dumps({"courses": written}))
    return path


def _occurrence(name: str) -> dict[str, Any]:
    return {"error_id": name, "evidence": "x", "line_numbers": [3, 4]}


def _validated(*names: str) -> BaseModel:
    model = build(parse_catalogue(_catalogue(*DEFINITIONS)).context())
    answer = {"occurrences": [_occurrence(name) for name in names], "overall_feedback": "Good work."}
    return decode(model, json.dumps(answer))


def test_an_error_costs_its_penalty_once_however_often_it_occurs():
    result = _validated("style", "naming", "style", "style").model_dump(mode="json")
    assert [(each["error_id"], each["occurrences"], each["penalty_points"]) for each in result["errors"]] == [
        ("naming", 1, 0.1),
        ("style", 3, 0.2),
    ]
    assert (result["major_errors"], result["minor_errors"], result["total_deduction"]) == (0, 2, 0.3)
    assert len(result["occurrences"]) == 4


def test_major_and_minor_errors_are_counted_apart():
    result = _validated("syntax", "naming").model_dump()
    assert (result["major_errors"], result["minor_errors"], result["total_deduction"]) == (1, 1, 40.1)


def test_no_error_costs_nothing():
    assert _validated().model_dump()["total_deduction"] == 0.0


def test_a_stored_result_validates_again_to_the_same():
    result = _validated("syntax", "naming")
    assert type(result).model_validate(json.loads(result.model_dump_json())) == result


@pytest.mark.parametrize("name", ["unknown", "NAMING", "gone", ""])
def test_an_error_that_the_catalogue_does_not_look_for_is_invalid(name: str):
    with pytest.raises(ValidationError, match=r"occurrences\.0\.error_id"):
        _validated(name)


def test_the_wire_asks_for_no_points_and_is_accepted_by_strict_mode():
    model = build(parse_catalogue(_catalogue(*DEFINITIONS)).context())
    assert violations(model) == []
    wire = json.dumps(strict_schema(model))
    for computed in ("penalty", "deduction", "severity", '"number"', "gone"):
        assert computed not in wire


def test_the_prompt_shows_what_is_looked_for_and_no_points():
    catalogue = parse_catalogue(_catalogue(*DEFINITIONS, _definition("loops", "major", 77, examples=["a", "b"])))
    section = build_prompt_section(catalogue)
    assert "- naming: Naming. About naming." in section
    assert "About loops. For example: a; b" in section
    assert section.index("## Major errors") < section.index("- syntax") < section.index("## Minor errors")
    assert "gone" not in section
    assert "77" not in section


@pytest.mark.parametrize(
    ("definitions", "sentence"),
    [
        ([], "error_definitions: needs at least 1 entry"),
        ([_definition("a"), _definition("a")], "error_id 'a' appears twice"),
        ([_definition("a", enabled=False)], "every error definition is disabled"),
        ([_definition("a", "fatal")], "error_definitions.0.severity_category: must be 'major' or 'minor'"),
        ([_definition("a", points=-1)], "error_definitions.0.default_penalty_points: must be greater than"),
        ([_definition("a", penalty=1)], "error_definitions.0.penalty: unknown field"),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_refused_with_the_field(definitions: list[dict[str, Any]], sentence: str):
    with pytest.raises(InvalidInput) as caught:
        parse_catalogue(_catalogue(*definitions))
    assert sentence in str(caught.value)


def test_a_catalogue_is_chosen_by_course_and_assignment(tmp_path: Path):
    one = _definition("one")
    path = _file(tmp_path, {"C1": [_assignment("A", one), _assignment("B", one)], "C2": [_assignment("A", one)]})
    assert select_catalogue(path, "C1", "B").assignment_id == "B"
    assert select_catalogue(path, "C2").course_id == "C2"
    assert catalogue_from_option(f"{path}#C1/A").course_id == "C1"
    assert catalogue_from_option(f"{path}#C2").assignment_id == "A"
    with pytest.raises(InvalidInput, match=r"several error catalogues for C1/any assignment; choose one with errors"):
        catalogue_from_option(f"{path}#C1")
    with pytest.raises(InvalidInput, match=r"has no error catalogues for C3/A; .* there are: C1/A, C1/B, C2/A"):
        catalogue_from_option(f"{path}#C3/A")
    with pytest.raises(InvalidInput, match="several error catalogues for any course/any assignment"):
        catalogue_from_option(str(path))


def test_the_only_catalogue_of_a_file_needs_no_name(tmp_path: Path):
    assert select_catalogue(_file(tmp_path, {"C": [_assignment("A", _definition("one"))]})).assignment_id == "A"


def test_a_fault_names_course_and_assignment(tmp_path: Path):
    path = _file(tmp_path, {"C": [_assignment("A", _definition("one"), _definition("one"))]})
    with pytest.raises(InvalidInput, match=r"errors\.json C/A: error_id 'one' appears twice"):
        load_catalogues(path)


@needs_real_file
def test_every_real_catalogue_loads_and_is_accepted_by_strict_mode():
    raw = json.loads(REAL_FILE.read_text())
    expected = [len(each["error_definitions"]) for course in raw["courses"] for each in course["assignments"]]
    catalogues = load_catalogues(REAL_FILE)
    assert [len(catalogue.enabled_definitions) for catalogue in catalogues] == expected
    for catalogue in catalogues:
        assert violations(build(json.loads(json.dumps(catalogue.context())))) == []


@needs_real_file
def test_the_deduction_of_a_real_catalogue_is_the_sum_of_its_penalties():
    raw = json.loads(REAL_FILE.read_text())["courses"][0]["assignments"][0]["error_definitions"]
    model = build(catalogue_from_option(f"{REAL_FILE}#CSC_151/Exam1").context())
    for chosen in (raw[:1], raw[2:5], raw):
        occurrences = [_occurrence(each["error_id"]) for each in chosen for _ in range(2)]
        result = model.model_validate(
            {"occurrences": occurrences, "overall_feedback": "", "work": "assessable"}
        ).model_dump()
        assert result["total_deduction"] == sum(each["default_penalty_points"] for each in chosen)
