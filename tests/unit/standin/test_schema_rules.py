"""Every rule of strict mode refuses its own violation, in OpenAI's words."""

from typing import Any

import pytest

from ops.standin.schema_rules import FORMATS, SchemaRefusal, check_schema


def strict_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


TEXT = {"type": "string"}

REFUSED_PARTS = [
    ({}, "schema must have a 'type' key"),
    (True, "True is not of type 'object'"),
    ({"type": "text"}, "'text' is not valid"),
    ({"type": [{}]}, "is not valid"),
    ({"allOf": [TEXT]}, "'allOf' is not permitted"),
    ({"oneOf": [TEXT]}, "'oneOf' is not permitted"),
    ({"not": TEXT}, "'not' is not permitted"),
    ({"if": TEXT, "then": TEXT, "else": TEXT}, "'if' is not permitted"),
    ({"type": "object", "dependentRequired": {}}, "'dependentRequired' is not permitted"),
    ({"type": "object", "dependentSchemas": {}}, "'dependentSchemas' is not permitted"),
    ({"type": "object", "patternProperties": {}}, "'patternProperties' is not permitted"),
    ({"type": "string", "default": "a"}, "'default' is not permitted"),
    ({"type": "string", "minLength": 1}, "'minLength' is not permitted"),
    ({"type": "string", "maxLength": 9}, "'maxLength' is not permitted"),
    ({"type": "array", "items": TEXT, "uniqueItems": True}, "'uniqueItems' is not permitted"),
    ({"type": "array", "prefixItems": [TEXT]}, "'prefixItems' is not permitted"),
    ({"type": "array"}, "array schema missing items"),
    ({"type": "array", "items": {}}, "schema must have a 'type' key"),
    ({"type": "array", "items": TEXT, "minItems": -1}, "not a non-negative integer"),
    (
        {"type": "object", "additionalProperties": TEXT},
        "'additionalProperties' is required to be supplied and to be false",
    ),
    ({"type": "object", "additionalProperties": False}, "object schema missing properties"),
    ({"type": "object", "properties": {}, "required": []}, "'additionalProperties' is required"),
    (strict_object(a=TEXT) | {"required": []}, "Missing 'a'"),
    (strict_object(a=TEXT) | {"required": ["a", "b"]}, "Extra required key 'b' supplied"),
    ({"$ref": "#/$defs/absent"}, "reference can only point to definitions"),
    ({"$ref": "#/properties/part"}, "reference can only point to definitions"),
    ({"$ref": "#/$defs/known", "description": "x"}, r"\$ref cannot have keywords {'description'}"),
    ({"anyOf": []}, "non-empty array"),
    ({"anyOf": [TEXT], "type": "string"}, "anyOf cannot have keywords"),
    ({"enum": []}, "non-empty array"),
    ({"enum": ["a", "a"]}, "non-unique"),
    ({"enum": [1], "type": "string"}, "enum value 1 does not validate"),
    ({"enum": ['say "hi"', "a"]}, '" is not allowed in string literals for structured outputs'),
    ({"enum": ["two\nlines"]}, r"\\n is not allowed in string literals"),
    ({"enum": ["a\tb"]}, r"\\t is not allowed in string literals"),
    ({"enum": ["a\x00b"]}, r"\\x00 is not allowed in string literals"),
    ({"const": "C:\\temp"}, r"\\ is not allowed in string literals"),
    (strict_object(**{'the "note"': TEXT}), '" is not allowed in string literals'),
    ({"enum": ["a", "B"], "type": "string", "pattern": "^[a-z]$"}, "enum value B does not validate against"),
    (strict_object(a=TEXT) | {"required": ["a", ["b"]]}, "'required' is required to be supplied and to be an array"),
    ({"const": {"a": 1}}, "is not a string, number, boolean or null"),
    ({"type": "string", "format": "uri"}, "'uri' is not a valid format"),
    ({"type": "integer", "format": "date"}, "not permitted without type 'string'"),
    ({"type": "string", "pattern": "^(?=a)"}, "lookaround is not supported"),
    ({"type": "string", "pattern": "((?<!a)b)+"}, "lookaround is not supported"),
    ({"type": "string", "pattern": r"(a)\1"}, "references to groups"),
    ({"type": "string", "pattern": "("}, "'pattern' is not valid"),
    ({"type": "string", "minimum": 1}, "not permitted without type 'number'"),
    ({"type": "number", "minimum": "1"}, "is not of type 'number'"),
    ({"type": "number", "minimum": float("nan")}, "is not of type 'number'"),
    ({"type": "number", "maximum": 10**400}, "is not of type 'number'"),
    ({"type": "number", "multipleOf": 0}, "is not above 0"),
]


@pytest.mark.parametrize(("part", "problem"), REFUSED_PARTS)
def test_what_strict_mode_does_not_know_is_refused_where_it_stands(part: Any, problem: str):
    schema = strict_object(part=part) | {"$defs": {"known": TEXT}}
    with pytest.raises(SchemaRefusal, match=problem) as refusal:
        check_schema(schema)
    assert str(refusal.value).startswith("In context=('properties', 'part'")


def test_a_quotation_mark_in_the_name_of_a_definition_is_refused():
    with pytest.raises(SchemaRefusal, match="is not allowed in string literals"):
        check_schema(strict_object(part=TEXT) | {"$defs": {'a"b': TEXT}})


@pytest.mark.parametrize("text", ["it's", "a/b", "größer", "日本", "<b>", "{x}", "\u2028"])
def test_other_characters_are_taken_in_names_and_listed_values(text: str):
    check_schema(strict_object(**{text: {"enum": [text, 1]}}))


def test_a_refusal_inside_a_definition_names_the_definition():
    schema = strict_object(part={"$ref": "#/$defs/bad"}) | {"$defs": {"bad": {"type": "string", "default": ""}}}
    with pytest.raises(SchemaRefusal, match=r"In context=\('\$defs', 'bad'\), 'default' is not permitted"):
        check_schema(schema)


@pytest.mark.parametrize(
    "root",
    [
        {"type": "array", "items": TEXT},
        {"anyOf": [strict_object()]},
        {"$ref": "#/$defs/a"},
        strict_object() | {"anyOf": []},
    ],
)
def test_only_an_object_can_be_the_root(root: dict[str, Any]):
    with pytest.raises(SchemaRefusal, match="object"):
        check_schema(root)


@pytest.mark.parametrize(
    "part",
    [
        *({"type": name} for name in ("string", "number", "integer", "boolean", "null")),
        *({"type": "string", "format": name} for name in FORMATS),
        {"type": ["string", "null"], "title": "T", "description": "D"},
        {"enum": ["a", 1, None, True, 1.5]},
        {"const": "a", "type": "string"},
        {"anyOf": [TEXT, {"type": "null"}], "description": "maybe"},
        {"$ref": "#"},
        {"$ref": "#/$defs/known"},
        {"type": "array", "items": {"$ref": "#/$defs/known"}, "minItems": 0, "maxItems": 3},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.1},
        {"type": "string", "pattern": "^[a-z]+(?:-[a-z]+)*$"},
        {"type": "string", "pattern": "[[a]"},
        strict_object(),
    ],
)
def test_what_strict_mode_knows_is_taken(part: Any):
    schema = strict_object(part=part) | {"$defs": {"known": TEXT}, "title": "Root"}
    assert check_schema(schema) is None


def nested(levels: int) -> dict[str, Any]:
    schema = strict_object(leaf=TEXT)
    for _ in range(levels - 1):
        schema = strict_object(inner=schema)
    return schema


def enumerations(sizes: list[int], characters: int = 1) -> dict[str, Any]:
    return strict_object(
        **{
            f"e{number}": {"enum": [f"{value:0{characters}}" for value in range(size)]}
            for number, size in enumerate(sizes)
        },
    )


@pytest.mark.parametrize(
    ("within", "beyond", "problem"),
    [
        (nested(10), nested(11), "11 levels of nesting exceeds limit of 10"),
        (
            strict_object(**{f"p{n}": TEXT for n in range(5_000)}),
            strict_object(**{f"p{n}": TEXT for n in range(5_001)}),
            "5001",
        ),
        (strict_object(**{"n" * 120_000: TEXT}), strict_object(**{"n" * 120_001: TEXT}), "120001 characters"),
        (enumerations([500, 500]), enumerations([500, 501]), "1001 enum values"),
        (enumerations([250], characters=100), enumerations([251], characters=100), "25100 characters in total"),
    ],
    ids=["levels", "properties", "characters", "enum values", "long enum"],
)
def test_a_size_limit_takes_its_last_value_and_refuses_the_next(
    within: dict[str, Any], beyond: dict[str, Any], problem: str
):
    check_schema(within)
    with pytest.raises(SchemaRefusal, match=problem):
        check_schema(beyond)


@pytest.mark.parametrize(
    "definitions",
    [
        {"a": {"$ref": "#/$defs/a"}},
        {"a": {"anyOf": [TEXT, {"$ref": "#/$defs/a"}]}},
        {"a": {"anyOf": [{"$ref": "#/$defs/b"}, TEXT]}, "b": {"$ref": "#/$defs/a"}},
    ],
)
def test_recursion_needs_an_object_or_array_in_between(definitions: dict[str, Any]):
    with pytest.raises(SchemaRefusal, match="leads back to itself"):
        check_schema(strict_object(part={"$ref": "#/$defs/a"}) | {"$defs": definitions})


def test_levels_count_through_references_once():
    chain = {f"d{n}": strict_object(next={"$ref": f"#/$defs/d{n + 1}"}) for n in range(10)} | {"d10": TEXT}
    check_schema(strict_object(first={"$ref": "#/$defs/d1"}) | {"$defs": chain})
    with pytest.raises(SchemaRefusal, match="11 levels"):
        check_schema(strict_object(first={"$ref": "#/$defs/d0"}) | {"$defs": chain})


def test_a_schema_nested_beyond_reason_is_refused_and_not_a_crash():
    with pytest.raises(SchemaRefusal, match="nesting exceeds limit"):
        check_schema(nested(400))
