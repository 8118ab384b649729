"""Names and values that no strict decoder holds travel under safe ids, and come back as what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops.standin.answers import plan_answers
from ops.standin.draw import Draw
from ops.standin.schema_rules import check_schema
from workers.contract.schemas import exam_errors, rubric_assessment
from workers.contract.schemes.catalogue import build_prompt_section as catalogue_section
from workers.contract.schemes.catalogue import parse_catalogue
from workers.contract.schemes.rubric import parse_rubric, select_rubric
from workers.contract.schemes.rubric_prompt import build_prompt_section
from workers.contract.strict.labels import safe_ids, unsafe_character
from workers.contract.strict.schema import decode, strict_schema

QUOTED_RUBRICS = Path(__file__).parents[3].parent / "shared" / "cases" / "rubric_quotes.json"


@given(st.lists(st.text(alphabet="ab \"\\\n\t'\x00\x7f\u2028é(2)", max_size=5), unique=True))
def test_ids_are_safe_unique_and_change_only_what_must(texts: list[str]):
    ids = safe_ids(texts)

    assert list(ids) == texts
    assert len(set(ids.values())) == len(texts)
    assert not any(unsafe_character(safe_id) for safe_id in ids.values())
    assert all(safe_id == text for text, safe_id in ids.items() if not unsafe_character(text))


def test_an_id_reads_like_the_label_it_stands_for():
    assert safe_ids(['say "hi"', "say 'hi'", 'say\n"hi"', "C:\\x", "\n", "Größe"]) == {
        'say "hi"': "say 'hi' (2)",
        "say 'hi'": "say 'hi'",
        'say\n"hi"': "say 'hi' (3)",
        "C:\\x": "C:/x",
        "\n": "value",
        "Größe": "Größe",
    }


class Inner(BaseModel):
    kind: Literal['an "inner" one'] = 'an "inner" one'
    note: str = Field(alias='the "note"')


class Outer(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    kind: Literal['an "outer" one', "two\nlines", 7]
    inner: Inner = Field(alias="in\\ner")
    maybe: Inner | None = Field(alias="may\tbe")
    counts: dict[Literal['say "hi"', "plain"], int]


def test_names_and_values_at_any_depth_come_back_as_the_model_knows_them():
    wire = strict_schema(Outer)
    check_schema(json.loads(json.dumps(wire)))
    answer = {
        "kind": "two lines",
        "in/ner": {"kind": "an 'inner' one", "the 'note'": "x"},
        "may be": None,
        "counts": [{"key": "say 'hi'", "value": 2}],
    }

    result = decode(Outer, json.dumps(answer))

    assert result.kind == "two\nlines"
    assert (result.inner.kind, result.inner.note) == ('an "inner" one', "x")
    assert result.counts == {'say "hi"': 2}
    assert decode(Outer, json.dumps(answer | {"kind": 7})).kind == 7


def test_the_model_reads_in_the_description_what_an_id_stands_for():
    written = json.dumps(strict_schema(Outer), ensure_ascii=False)

    for text in (
        "'an 'outer' one' stands for",
        "'two lines' stands for",
        "'the 'note'' stands for",
        "'in/ner' stands for",
    ):
        assert text in written


@pytest.mark.parametrize("kind", ['an "outer" one!', 'an "outer" one', "two\nlines", "7", True])
def test_only_the_id_is_a_value_on_the_wire(kind: object):
    inner = {"kind": "an 'inner' one", "the 'note'": "x"}

    with pytest.raises(ValidationError):
        decode(Outer, json.dumps({"kind": kind, "in/ner": inner, "may be": None, "counts": []}))


def _drawn(model: type[BaseModel]) -> list[dict[str, Any]]:
    wire = json.loads(json.dumps(strict_schema(model)))
    check_schema(wire)
    plan = plan_answers(wire)
    return [decode(model, json.dumps(plan(Draw(bytes([seed]))))).model_dump(mode="json") for seed in range(20)]


RUBRIC = {
    "rubric_id": "r",
    "title": 'Of "loops"',
    "criteria": [
        {
            "criterion_id": 'uses "while"',
            "name": "Loop",
            "max_points": 4,
            "levels": [
                {"label": 'Says "hi"', "score_min": 4, "score_max": 4},
                {"label": "Says\nnothing", "score_min": 0, "score_max": 0},
            ],
        },
        {
            "criterion_id": "a\\b",
            "name": "Bugs",
            "max_points": 2,
            "scoring_mode": "error_count",
            "error_rules": {"major_weight": 1, "minor_weight": 1},
        },
    ],
}


def test_a_rubric_with_quotation_marks_is_asked_and_graded():
    rubric = parse_rubric(RUBRIC)
    results = _drawn(rubric_assessment.build(rubric.context()))

    assert {result["criteria"]['uses "while"']["level"] for result in results} == {'Says "hi"', "Says\nnothing"}
    assert {result["criteria"]['uses "while"']["points"] for result in results} == {0.0, 4.0}
    assert all("points" in result["criteria"]["a\\b"] for result in results)


def test_a_rubrics_prompt_spells_ids_and_labels_as_the_schema_does():
    rubric = parse_rubric(RUBRIC)
    section = build_prompt_section(rubric)
    properties = strict_schema(rubric_assessment.build(rubric.context()))

    for spelled in ("(criterion_id: uses 'while')", "(criterion_id: a/b)", "\"Says 'hi'\"", '"Says nothing"'):
        assert spelled in section
    assert all(f'"{name}"' in json.dumps(properties) for name in ("uses 'while'", "a/b", "Says 'hi'", "Says nothing"))


def test_a_catalogue_with_quotation_marks_is_asked_and_graded():
    definition = {"name": "n", "description": "d", "severity_category": "major", "default_penalty_points": 5}
    catalogue = parse_catalogue(
        {
            "course_id": "c",
            "assignment_id": "a",
            "error_definitions": [definition | {"error_id": 'no "main"'}, definition | {"error_id": "no\ntests"}],
        }
    )

    results = _drawn(exam_errors.build(catalogue.context()))

    found = {occurrence["error_id"] for result in results for occurrence in result["occurrences"]}
    assert found == {'no "main"', "no\ntests"}
    assert "- no 'main': n." in catalogue_section(catalogue)
    assert "- no tests: n." in catalogue_section(catalogue)


@pytest.mark.skipif(not QUOTED_RUBRICS.exists(), reason="the shared cases are not here")
def test_the_shared_rubric_is_graded():
    rubric = select_rubric(QUOTED_RUBRICS)

    for result in _drawn(rubric_assessment.build(rubric.context())):
        assert result["criteria"]['uses "while"']["level"] in {level.label for level in rubric.criteria[0].levels or ()}
