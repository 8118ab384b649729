"""A model becomes a schema that strict mode takes, or a list of what stands in the way; an answer comes back whole."""

from __future__ import annotations

import enum
import json
from datetime import date, timedelta  # noqa: TC003 - pydantic reads the annotations
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, WithJsonSchema, create_model

from ops.standin.schema_rules import check_schema
from workers.contract.schemas.error_report import ErrorReport
from workers.contract.schemas.feedback import Feedback
from workers.contract.strict.schema import decode, strict_schema, violations


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: dict[str, int]


class Node(BaseModel):
    value: int
    children: list[Node] = []
    by_name: dict[str, Node]


class Everything(BaseModel):
    """All that strict mode can hold, one way or another."""

    text: Annotated[str, Field(min_length=1, max_length=3)]
    looked_around: Annotated[str, Field(json_schema_extra={"pattern": "^(?!x)"})]
    number: Annotated[int, Field(ge=0, le=100)] = 5
    money: Decimal
    when: date
    lasting: timedelta
    choice: Literal["a", 1]
    colour: Colour
    nothing: None
    perhaps: int | None = 3
    described: Cat = Field(description="one animal")
    animal: Annotated[Cat | Dog, Field(discriminator="kind")]
    either: Cat | Dog | None
    listed: list[Dog] = Field(min_length=1)
    unique: set[int]
    by_colour: dict[Colour, int]
    by_number: dict[int, str]
    by_pattern: dict[Annotated[str, Field(pattern="^a")], float]
    nested: dict[str, dict[str, list[int]]]
    maybe_by_name: dict[str, int] | None
    node: Node


@pytest.mark.parametrize("model", [Feedback, ErrorReport, Everything, Node, Dog])
def test_what_strict_mode_can_hold_passes_our_rules_and_the_stand_ins(model: type[BaseModel]):
    assert violations(model) == []

    check_schema(strict_schema(model))


def test_a_schema_is_built_once_and_names_every_property_as_required():
    schema = strict_schema(Feedback)

    assert strict_schema(Feedback) is schema
    assert schema["required"] == ["summary", "score", "suggestions"]
    assert schema["additionalProperties"] is False


def test_what_only_pydantic_checks_is_left_off_the_wire_and_enforced_after():
    written = json.dumps(strict_schema(Everything))

    for keyword in ("minLength", "maxLength", "default", "title", "uniqueItems", "discriminator", "oneOf"):
        assert keyword not in written
    assert strict_schema(Everything)["properties"]["looked_around"] == {  # type: ignore[index]
        "type": "string",
        "description": "Must match the regular expression ^(?!x)",
    }
    with pytest.raises(ValidationError, match="at most 3 characters"):
        decode(Everything, json.dumps(WIRE | {"text": "longer"}))


WIRE: dict[str, Any] = {
    "text": "abc",
    "looked_around": "y",
    "number": 7,
    "money": 1.50,
    "when": "2026-11-23",
    "lasting": "P1D",
    "choice": 1,
    "colour": "red",
    "nothing": None,
    "perhaps": None,
    "described": {"kind": "cat", "lives": 9},
    "animal": {"kind": "dog", "tricks": [{"key": "sit", "value": 1}]},
    "either": {"kind": "dog", "tricks": [{"key": "roll", "value": 2}, {"key": "sit", "value": 3}]},
    "listed": [{"kind": "dog", "tricks": []}],
    "unique": [1, 1],
    "by_colour": [{"key": "blue", "value": 4}],
    "by_number": [{"key": "7", "value": "seven"}],
    "by_pattern": [{"key": "ab", "value": 0.5}],
    "nested": [{"key": "x", "value": [{"key": "y", "value": [1, 2]}]}],
    "maybe_by_name": [{"key": "x", "value": 1}],
    "node": {
        "value": 1,
        "children": [{"value": 2, "children": [], "by_name": []}],
        "by_name": [{"key": "left", "value": {"value": 3, "children": [], "by_name": []}}],
    },
}


def test_an_answer_in_wire_form_becomes_the_model():
    result = decode(Everything, json.dumps(WIRE))

    assert result.perhaps is None
    assert result.animal == Dog(kind="dog", tricks={"sit": 1})
    assert result.either == Dog(kind="dog", tricks={"roll": 2, "sit": 3})
    assert result.unique == {1}
    assert result.by_colour == {Colour.BLUE: 4}
    assert result.by_number == {7: "seven"}
    assert result.by_pattern == {"ab": 0.5}
    assert result.nested == {"x": {"y": [1, 2]}}
    assert result.maybe_by_name == {"x": 1}
    assert result.node.by_name["left"].value == 3
    assert result.money == Decimal("1.50")


@pytest.mark.parametrize(
    ("entries", "error_type"),
    [
        ([{"key": "sit", "value": 1}, {"key": "sit", "value": 2}], "repeated_key"),
        ([{"key": "sit"}], "missing"),
        ([{"key": 1, "value": 1}], "string_type"),
        ([{"key": "sit", "value": 1, "more": 2}], "extra_forbidden"),
        ([["sit", 1]], "dict_type"),
        ([{"key": "sit", "value": "x"}], "int_type"),
        ({"sit": 1}, "list_type"),
        ("sit", "list_type"),
        (None, "list_type"),
    ],
)
def test_entries_that_are_no_dict_are_a_validation_error(entries: object, error_type: object):
    with pytest.raises(ValidationError) as caught:
        decode(Dog, json.dumps({"kind": "dog", "tricks": entries}))

    assert error_type in {error["type"] for error in caught.value.errors()}


@pytest.mark.parametrize("raw_json", ["", "not json", "[]", "null", "[" * 50_000, '{"kind": "dog"'])
@pytest.mark.parametrize("model", [Dog, Cat])
def test_an_answer_that_is_no_object_is_a_validation_error(model: type[BaseModel], raw_json: object):
    with pytest.raises(ValidationError):
        decode(model, raw_json)


@pytest.mark.parametrize("depth", [150, 400, 5_000])
def test_an_answer_nested_without_end_is_a_validation_error(depth: int):
    inner = '{"value": 1, "by_name": [], "children": ['

    with pytest.raises(ValidationError):
        decode(Node, inner * depth + "{}" + "]}" * depth)


class Measured(BaseModel):
    share: float
    note: str = ""


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_refused(constant: object):
    with pytest.raises(ValidationError, match="NaN and Infinity"):
        decode(Measured, f'{{"share": {constant}}}')


def test_a_text_may_speak_of_such_numbers():
    assert decode(Measured, '{"share": 1, "note": "not NaN, nor Infinity"}').note == "not NaN, nor Infinity"


class Grade(enum.Enum):
    """Two names for one value, as the seed project's own error types have."""

    GOOD = "good"
    FINE = "good"  # noqa: PIE796 - what is tested
    POOR = "poor"


def test_an_enum_with_two_names_for_one_value_travels_with_each_value_once():
    class Named(BaseModel):
        grade: Grade

    assert violations(Named) == []
    assert '["good", "poor"]' in json.dumps(strict_schema(Named))
    assert decode(Named, '{"grade": "good"}').grade is Grade.FINE


def test_values_that_only_look_alike_are_told_apart():
    listed = WithJsonSchema({"enum": [1, True, 1.0, "1", 1, "1"]})
    model = create_model("Alike", value=(Annotated[int | float | bool | str, listed], ...))

    [node] = strict_schema(model)["properties"].values()  # type: ignore[attr-defined]

    assert list(map(repr, node["enum"])) == ["1", "True", "1.0", "'1'"]
    assert [decode(model, f'{{"value": {value}}}').value for value in ("1", "true", '"1"')] == [1, True, "1"]  # type: ignore[attr-defined]
