"""What strict mode cannot hold, by our linter and by the stand-in."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from ops.standin.schema_rules import SchemaRefusal, check_schema
from workers.contract.errors import InvalidInput
from workers.contract.schemas.feedback import Feedback
from workers.contract.strict.schema import UnsupportedSchema, schema_name, strict_schema, violations


class FreeForm(BaseModel):
    values: dict[str, Any]


class BareDict(BaseModel):
    values: dict  # type: ignore[type-arg]


class Pair(BaseModel):
    pair: tuple[int, str]


class Anything(BaseModel):
    value: Any


class Anythings(BaseModel):
    values: list[Any]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    value: int


class OneOf(BaseModel):
    value: Annotated[int | str, Field(json_schema_extra={"oneOf": [{"type": "integer"}]})]


class Deep(BaseModel):
    values: list[list[list[list[list[list[list[list[list[list[int]]]]]]]]]]


class NoType(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    value: object


class Strange:
    pass


class Arbitrary(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    value: Strange


Long = enum.StrEnum("Long", {f"VALUE_{number}": f"value {number}" for number in range(1_001)})


class ManyValues(BaseModel):
    value: Long


@pytest.mark.parametrize(
    ("model", "path", "words"),
    [
        (FreeForm, "/properties/values", "free-form"),
        (BareDict, "/properties/values", "free-form"),
        (Pair, "/properties/pair", "prefixItems"),
        (Anything, "/properties/value", "untyped"),
        (NoType, "/properties/value", "untyped"),
        (Anythings, "/properties/values/items", "untyped"),
        (Open, "/", "extra='forbid'"),
        (OneOf, "/properties/value", "oneOf"),
        (Deep, "/", "levels of nesting"),
        (ManyValues, "/", "enum values"),
        (Arbitrary, "/", "no JSON schema"),
        (RootModel[list[int]], "/", "must be an object"),
        (RootModel[int | str], "/", "union"),
        (RootModel[dict[str, int]], "/", "must be an object"),
    ],
)
def test_what_strict_mode_cannot_hold_is_named_with_place_and_hint(model: type[BaseModel], path: object, words: object):
    found = violations(model)

    assert any(violation.path == path and words in str(violation) for violation in found)
    assert all(violation.hint for violation in found)
    with pytest.raises(UnsupportedSchema) as caught:
        strict_schema(model)
    assert isinstance(caught.value, InvalidInput)
    assert list(caught.value.violations) == found
    assert words in str(caught.value)


ANYTHING: Any = True
"""A boolean is a JSON schema, too."""


def schema(value: dict[str, Any], **more: Any) -> dict[str, Any]:
    properties = {"value": value}
    return {
        "type": "object",
        "properties": properties,
        "required": ["value"],
        "additionalProperties": False,
        "$defs": {"Known": {"type": "string"}},
    } | more


@pytest.mark.parametrize(
    ("given_schema", "words"),
    [
        (schema({"type": "string", "default": "x"}), "'default'"),
        (schema({"type": "string", "minLength": 1}), "'minLength'"),
        (schema({"type": "string"}, required=[]), "'value' is not required"),
        (schema({"type": "string"}, additionalProperties=True), "free-form"),
        (schema({"$ref": "#/$defs/Known", "description": "x"}), "siblings"),
        (schema({"$ref": "#/$defs/Unknown"}), "leads nowhere"),
        (schema({"allOf": [{"type": "string"}]}), "'allOf'"),
        (schema({"anyOf": [{"type": "string"}], "minimum": 1}), "beside 'anyOf'"),
        (schema({"anyOf": []}), "no branches"),
        (schema({"type": "string", "pattern": "a(?=b)"}), "pattern"),
        (schema({"type": "string", "pattern": r"(a)\1"}), "pattern"),
        (schema({"type": "string", "pattern": r"\p{L}"}), "pattern"),
        (schema({"type": "string", "format": "uri"}), "format"),
        (schema({"type": "text"}), "untyped"),
        (schema({"type": "string", "enum": []}), "enum"),
        (schema({"type": "string", "enum": ["a", "a"]}), "enum"),
        (schema({"type": "string", "enum": ["a", 1]}), "type beside it"),
        (schema({"type": "string", "enum": ['say "hi"']}), "holds"),
        (schema({"type": "string", "enum": ["two\nlines"]}), "holds"),
        (schema({"type": "string", "const": "a\\b"}), "holds"),
        (schema({"type": "string"}, properties={'a"b': {"type": "string"}}, required=['a"b']), "holds"),
        (schema({"type": "string"}, **{"$defs": {"a\tb": {"type": "string"}}}), "holds"),
        (schema(ANYTHING), "true is no schema"),
        (schema({"type": "array", "items": False}), "false is no schema"),
        (schema({"anyOf": [True]}), "true is no schema"),
        (schema({"type": "string"}, properties=["value"]), "'properties' is not an object"),
        (schema({"type": "object", "additionalProperties": False}), "no 'properties'"),
        (schema({"type": "string"}, required=["value", "more"]), "'more' does not exist"),
        (schema({"type": "string", "minimum": 1}), "numbers only"),
        (schema({"type": "integer", "format": "date"}), "strings only"),
        (schema({"type": "number", "maximum": "9"}), "'maximum'"),
        (schema({"type": "number", "multipleOf": 0}), "'multipleOf'"),
        (schema({"type": "array", "items": {"type": "string"}, "maxItems": -1}), "'maxItems'"),
        (schema({"type": "array", "items": {"type": "string"}, "minItems": True}), "'minItems'"),
        (schema({"$ref": "#/$defs/a"}, **{"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}), "back to itself"),
        (schema({"type": "string", "enum": [str(number) * 80 for number in range(251)]}), "characters"),
        ({"type": "array", "items": {"type": "string"}}, "must be an object"),
        ({"anyOf": [{"type": "string"}]}, "union"),
    ],
)
def test_the_linter_finds_in_a_schema_what_the_stand_in_refuses(given_schema: object, words: object):
    assert any(words in str(violation) for violation in violations(given_schema))
    with pytest.raises(SchemaRefusal):
        check_schema(given_schema)


def test_a_schema_name_has_only_characters_that_the_provider_takes():
    assert schema_name(Feedback) == "Feedback"
    assert schema_name(type("Box[int, Ä]", (BaseModel,), {})) == "Box_int____"
    assert len(schema_name(type("Long" * 40, (BaseModel,), {}))) == 64


@pytest.mark.parametrize("pattern", [r"\(?=a", "[(?=]", r"a\\[1]", "^[0-9]+$", r"[\](?=]"])
def test_what_only_looks_like_lookaround_travels(pattern: str):
    assert violations(schema({"type": "string", "pattern": pattern})) == []


@pytest.mark.parametrize("pattern", [r"\\(?=a)", r"[\]](?!x)", "[]a](?<=x)", r"\\\1(a)"])
def test_lookaround_behind_an_escape_or_a_set_is_still_found(pattern: str):
    assert any("pattern" in str(violation) for violation in violations(schema({"type": "string", "pattern": pattern})))


def test_many_definitions_that_name_each_other_twice_are_measured_in_no_time():
    links = {
        f"d{number}": schema({"$ref": f"#/$defs/d{number + 1}"}) | {"properties": {}, "required": [], "$defs": {}}
        for number in range(60)
    }
    for number, node in enumerate(links.values()):
        following = {"$ref": f"#/$defs/d{number + 1}"}
        node |= {"properties": {"a": following, "b": following}, "required": ["a", "b"]}
        del node["$defs"]

    found = violations(schema({"$ref": "#/$defs/d0"}, **{"$defs": links | {"d60": {"type": "string"}}}))

    assert any("levels of nesting" in str(violation) for violation in found)
