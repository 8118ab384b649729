"""An answer is judged by the schema as it was sent: no default, no coercion and no odd number becomes a grade."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.completion.classify import classify_answer
from workers.contract.outcome import Failure, FailureKind
from workers.contract.schemas.error_report import ErrorReport
from workers.contract.schemas.feedback import Feedback
from workers.contract.strict.schema import decode


class Late(IntEnum):
    NO = 0
    YES = 1


class Part(BaseModel):
    points: float = Field(default=0, ge=0, le=10)


class Other(BaseModel):
    words: str = ""


class Tree(BaseModel):
    score: int = 0
    below: list[Tree] = []


class Graded(BaseModel):
    score: int = Field(default=0, ge=0, le=100)
    share: float = 0.5
    passed: bool = False
    late: Late = Late.NO
    grade: Literal["a", "b", 3] = "a"
    part: Part = Part()
    parts: list[Part] = []
    either: Part | Other | None = None
    by_name: dict[str, Part] = {}
    tree: Tree | None = None


GOOD: dict[str, Any] = {
    "score": 85,
    "share": 0.25,
    "passed": True,
    "late": 1,
    "grade": 3,
    "part": {"points": 2},
    "parts": [{"points": 1.5}],
    "either": {"words": "fine"},
    "by_name": [{"key": "loop", "value": {"points": 1}}],
    "tree": {"score": 1, "below": [{"score": 2, "below": []}]},
}


def test_a_whole_answer_is_taken():
    result = decode(Graded, json.dumps(GOOD))

    assert (result.score, result.late, result.grade, result.by_name["loop"].points) == (85, Late.YES, 3, 1.0)


@pytest.mark.parametrize("name", GOOD)
def test_a_default_never_fills_in_for_what_was_not_said(name: str):
    answer = {key: value for key, value in GOOD.items() if key != name}

    with pytest.raises(ValidationError) as caught:
        decode(Graded, json.dumps(answer))
    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [("missing", (name,))]


@pytest.mark.parametrize(
    "changes",
    [
        {"part": {}},
        {"parts": [{"points": 1}, {}]},
        {"either": {}},
        {"by_name": [{"key": "loop", "value": {}}]},
        {"tree": {"score": 1, "below": [{"score": 2}]}},
        {"more": 1},
        {"part": {"points": 1, "bonus": 5}},
        {"either": {"words": "fine", "points": 1}},
        {"tree": {"score": 1, "below": [], "grade": "a"}},
        *({"score": value} for value in (True, "85", "1_0", " 85 ", 85.5, None, [85], 101, -1, "nan")),
        *({"share": value} for value in (True, "0.5", "nan", "inf", None)),
        *({"passed": value} for value in ("no", "off", "t", 1, 0, None)),
        *({"late": value} for value in (True, False, "1", 2, None)),
        *({"grade": value} for value in ("c", "3", True, None)),
        *({"part": {"points": value}} for value in (True, "1", 11, -0.5)),
        {"by_name": {"loop": {"points": 1}}},
        {"parts": {"points": 1}},
        {"part": [1]},
    ],
)
def test_what_the_sent_schema_refuses_at_any_depth_is_refused(changes: dict[str, Any]):
    with pytest.raises(ValidationError):
        decode(Graded, json.dumps(GOOD | changes))


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "9" * 400 + ".5", "1" + "0" * 400]
)
@pytest.mark.parametrize("name", ["share", "part"])
def test_a_number_is_finite(name: str, number: str):
    raw = json.dumps(GOOD | {name: "HERE" if name == "share" else {"points": "HERE"}}).replace('"HERE"', number)

    with pytest.raises(ValidationError):
        decode(Graded, raw)


@pytest.mark.parametrize("number", ["85.0", "8.5e1", "850E-1"])
def test_a_whole_number_is_an_integer_however_it_is_written(number: str):
    assert decode(Graded, json.dumps(GOOD).replace('"score": 85', f'"score": {number}')).score == 85


class When(BaseModel):
    day: date
    at: datetime
    took: timedelta


WHEN = {"day": "2026-11-27", "at": "2026-11-27T10:30:00Z", "took": "PT45M"}


def test_dates_and_times_are_text_in_their_format():
    assert decode(When, json.dumps(WHEN)).took == timedelta(minutes=45)


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"day": value}
            for value in (0, "1700000000", "20261127", "2026-02-30", "27.11.2026", "", "2026-11-27T00:00:00Z")
        ),
        *({"at": value} for value in (1.5, "1700000000", "2026-11-27", "2026-11-27T25:00:00Z", "2026-11-27 10:30")),
        *({"took": value} for value in (7, "7", "P", "PT", "45 minutes")),
    ],
)
def test_an_epoch_number_is_no_date(changes: dict[str, Any]):
    with pytest.raises(ValidationError):
        decode(When, json.dumps(WHEN | changes))


class Bounded(BaseModel):
    tenth: float = Field(multiple_of=0.1)
    half: int = Field(json_schema_extra={"exclusiveMinimum": 0.5, "exclusiveMaximum": 3.5})
    code: str = Field(pattern="^[A-C][0-9]$")
    few: Annotated[list[int], Field(min_length=1, max_length=2)]


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"tenth": 0.3}, True),
        ({"tenth": 0.35}, False),
        ({"half": 3}, True),
        ({"half": 4}, False),
        ({"half": 0}, False),
        ({"code": "D1"}, False),
        ({"code": "A1\n"}, False),
        ({"few": []}, False),
        ({"few": [1, 2, 3]}, False),
    ],
)
def test_bounds_that_travel_are_judged(changes: dict[str, Any], *, fits: bool):
    raw = json.dumps({"tenth": 0.7, "half": 1, "code": "A1", "few": [1]} | changes)

    if fits:
        decode(Bounded, raw)
    else:
        with pytest.raises(ValidationError):
            decode(Bounded, raw)


@pytest.mark.parametrize(
    "raw",
    [
        '{"summary": "\ud800", "score": 1, "suggestions": []}',
        '{"summary": "\\ud800", "score": 1, "suggestions": []}',
        '{"summary": "", "score": 1, "suggestions": [], "\\ud800": 1, "\\ud800": 2}',
        '\ufeff{"summary": "x", "score": 1, "suggestions": []}',
        '{"summary": "x", "summary": "y", "score": 1, "suggestions": []}',
        '{"score": 1, "score": 2, "huge": ' + "1" * 5_000 + "}",
        "{'summary': 'x', 'score': 1, 'suggestions': []}",
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_odd_text_is_an_invalid_output_that_can_be_stored(raw: str):
    ending = classify_answer(_completion(raw), Feedback)

    assert isinstance(ending, Failure)
    assert ending.kind is FailureKind.INVALID_OUTPUT
    json.dumps([ending.raw_output, ending.validation_errors], ensure_ascii=False, allow_nan=False).encode()


def _completion(content: str) -> Any:
    class Choice:
        message = type("Message", (), {"content": content, "refusal": None})
        finish_reason = "stop"

    return type("Completion", (), {"choices": [Choice]})


def test_every_control_character_of_json_comes_back_as_it_was():
    text = "".join(map(chr, range(32))) + '"\\/\u2028 \U0001f600'

    assert decode(Feedback, json.dumps({"summary": text, "score": 1, "suggestions": []})).summary == text


@pytest.mark.parametrize("model", [Feedback, ErrorReport])
def test_an_answer_with_a_field_of_its_own_invention_is_refused(model: type[BaseModel]):
    fields = {"summary": "x", "score": 1, "suggestions": []}
    if model is ErrorReport:
        fields = {"major_errors": [], "minor_errors": [], "feedback": ""}

    decode(model, json.dumps(fields))
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        decode(model, json.dumps(fields | {"total_deduction": 5}))


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    score: int = 0


class Seed(BaseModel):
    """As the seed's callers have them: defaults, dicts, fields that come and go."""

    name: str
    counts: dict[str, int]
    note: str | None = None
    closed: Closed = Closed()


def test_a_lenient_caller_may_leave_out_defaults_add_fields_and_write_a_dict_as_an_object():
    result = decode(Seed, '{"name": "x", "counts": {"major": 2}, "more": true}', is_lenient=True)

    assert (result.counts, result.note, result.closed.score) == ({"major": 2}, None, 0)
    assert decode(Seed, '{"name": "x", "counts": [{"key": "a", "value": 1}]}', is_lenient=True).counts == {"a": 1}


class Loose(BaseModel):
    note: str = ""


class Exact(BaseModel):
    points: dict[str, int]


class Either(BaseModel):
    either: Loose | Exact


def test_a_lenient_caller_gets_the_branch_that_the_answer_was_written_for():
    answer = {"either": {"points": [{"key": "a", "value": 1}]}}

    assert decode(Either, json.dumps(answer), is_lenient=True).either == Exact(points={"a": 1})


@pytest.mark.parametrize(
    "raw",
    [
        '{"counts": {}}',
        '{"name": "x", "counts": {"major": "2"}}',
        '{"name": "x", "counts": {"major": true}}',
        '{"name": "x", "counts": {"major": 1e400}}',
        '{"name": "x", "counts": {}, "note": 5}',
        '{"name": "x", "counts": {}, "closed": {"score": 1, "more": 2}}',
        '{"name": "x", "counts": {}, "closed": {"score": "1"}}',
    ],
)
def test_a_lenient_caller_gets_no_coercion_either(raw: str):
    with pytest.raises(ValidationError):
        decode(Seed, raw, is_lenient=True)
