"""What OpenAI's strict mode refuses in a JSON schema, in its own words.

Checks form only: that every part is one strict mode knows. Whether any value can satisfy the schema is found out when
its answers are planned. *Source*: OpenAI's guide on structured outputs, and error bodies quoted in public issue
threads, 2024-2026; where no wording could be found the sentence is ours.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import Any

from ops.standin import patterns

MAX_PROPERTIES = 5_000
MAX_LEVELS = 10
MAX_NAME_CHARACTERS = 120_000
MAX_ENUM_VALUES = 1_000
LONG_ENUM_VALUES = 250
LONG_ENUM_CHARACTERS = 15_000

TYPES = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}
FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_ANNOTATIONS = {"title", "description"}
_DEFINITIONS = {"$defs", "definitions"}
_ROOT_ONLY = {*_DEFINITIONS, "$schema", "$id"}
_KEYWORDS = {
    *_ANNOTATIONS,
    *("type", "enum", "const", "anyOf", "$ref"),
    *("properties", "required", "additionalProperties"),
    *("items", "minItems", "maxItems"),
    *("pattern", "format"),
    *("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
# Far beyond ten levels however written, and well within the interpreter's stack.
_MAX_STEPS = 120
# Not allowed in names and listed values. *Source*: community.openai.com, topic 1366742, for the quotation mark; public
# issue threads for the line break; backslash and control characters are refused by the same rule.
_NOT_IN_LITERALS = re.compile(r'["\\\x00-\x1f\x7f]')
_NUMBER_KEYWORDS = ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_REFERENCE = re.compile(r"#(?:/(?:\$defs|definitions)/(?P<name>[^/]+))?")

Context = tuple[str, ...]


class SchemaRefusal(Exception):  # noqa: N818 - a refusal is the expected ending, not a fault of this program
    """What strict mode has against a schema, without the opening that names it."""


@dataclass(slots=True)
class _Counts:
    properties: int = 0
    name_characters: int = 0
    enum_values: int = 0
    definitions: dict[str, Any] = field(default_factory=dict)


def check_schema(schema: Any) -> None:
    """Return for a schema that strict mode takes; raise SchemaRefusal with the first thing it does not."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        shown = schema.get("type") if isinstance(schema, dict) else schema
        raise SchemaRefusal(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{shown}\"'.")
    if "anyOf" in schema:
        raise _refusal(
            (), "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top"
        )
    counts = _Counts(definitions=definitions_of(schema))
    for keyword in _DEFINITIONS & schema.keys():
        for name, definition in schema[keyword].items():
            _check_literal(name, (keyword,))
            counts.name_characters += len(name)
            _check(definition, (keyword, name), counts)
    _check({key: value for key, value in schema.items() if key not in _ROOT_ONLY}, (), counts)
    _check_totals(counts)
    _check_recursion(counts.definitions)
    _check_levels(schema)


def definitions_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Every definition under the reference that names it, the root under "#"."""
    found: dict[str, Any] = {"#": {key: value for key, value in schema.items() if key not in _ROOT_ONLY}}
    for keyword in _DEFINITIONS & schema.keys():
        if not isinstance(schema[keyword], dict):
            raise _refusal((keyword,), f"{schema[keyword]!r} is not of type 'object'")
        found |= {f"#/{keyword}/{name}": definition for name, definition in schema[keyword].items()}
    return found


def has_type(value: Any, name: str) -> bool:
    """Whether a JSON value is of this JSON type; true is no number, 2.0 is an integer."""
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[name])  # type: ignore[arg-type]  # the table holds types and tuples of them


def types_of(schema: dict[str, Any]) -> list[Any]:
    """The schema's types as a list; empty when it names none."""
    types = schema.get("type", [])
    return types if isinstance(types, list) else [types]


def _check(schema: Any, context: Context, counts: _Counts) -> None:
    if not isinstance(schema, dict):
        raise _refusal(context, f"{schema!r} is not of type 'object', 'boolean'")
    if len(context) > _MAX_STEPS:
        raise SchemaRefusal(f"nesting exceeds limit of {MAX_LEVELS} levels.")
    _check_keywords(schema, context)
    if "$ref" in schema:
        _check_reference(schema, context, counts)
    elif "anyOf" in schema:
        _check_union(schema, context, counts)
    else:
        _check_typed(schema, context, counts)


def _check_keywords(schema: dict[str, Any], context: Context) -> None:
    for keyword in schema:
        if keyword not in _KEYWORDS:
            raise _refusal(context, f"'{keyword}' is not permitted")


def _check_reference(schema: dict[str, Any], context: Context, counts: _Counts) -> None:
    siblings = schema.keys() - {"$ref"}
    if siblings:
        raise _refusal(context, f"$ref cannot have keywords {siblings}")
    reference = schema["$ref"]
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference) or reference not in counts.definitions:
        raise _refusal(context, f"reference can only point to definitions defined at the top level, not {reference!r}")


def _check_union(schema: dict[str, Any], context: Context, counts: _Counts) -> None:
    siblings = schema.keys() - {"anyOf"} - _ANNOTATIONS
    if siblings:
        raise _refusal(context, f"anyOf cannot have keywords {siblings}")
    options = schema["anyOf"]
    if not isinstance(options, list) or not options:
        raise _refusal(context, "'anyOf' must be a non-empty array")
    for number, option in enumerate(options):
        _check(option, (*context, "anyOf", str(number)), counts)


def _check_typed(schema: dict[str, Any], context: Context, counts: _Counts) -> None:
    types = types_of(schema)
    if not types and not {"enum", "const"} & schema.keys():
        raise _refusal(context, "schema must have a 'type' key")
    for name in types:
        if not isinstance(name, str) or name not in TYPES:
            raise _refusal(context, f"{name!r} is not valid under any of the given schemas")
    _check_values(schema, context, counts)
    if "object" in types:
        _check_object(schema, context, counts)
    if "array" in types:
        _check_array(schema, context, counts)
    _check_string(schema, context, types)
    _check_numbers(schema, context, types)


def _check_values(schema: dict[str, Any], context: Context, counts: _Counts) -> None:
    if "enum" in schema:
        _check_enum(schema["enum"], context)
        counts.enum_values += len(schema["enum"])
    values = [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
    types = types_of(schema)
    for value in values:
        if isinstance(value, dict | list):
            raise _refusal(context, f"enum value {value!r} is not a string, number, boolean or null")
        if types and not any(has_type(value, name) for name in types):
            raise _refusal(context, f"enum value {value!r} does not validate against {{'type': {schema['type']!r}}}")
        if isinstance(value, str):
            _check_literal(value, context)
            counts.name_characters += len(value)
        if not _fits_beside(value, schema):
            shown = {keyword: schema[keyword] for keyword in schema if keyword != "enum"}
            raise _refusal(context, f"enum value {value} does not validate against {shown}")


def _check_literal(text: str, context: Context) -> None:
    found = _NOT_IN_LITERALS.search(text)
    if found:
        shown = found.group() if found.group() in {'"', "\\"} else repr(found.group())[1:-1]
        raise _refusal(context, f"{shown} is not allowed in string literals for structured outputs (strict=true)")


def _fits_beside(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a listed value keeps to the constant and the pattern beside it."""
    pattern = schema.get("pattern")
    if isinstance(value, str) and isinstance(pattern, str) and not patterns.problem_with(pattern):
        return re.search(pattern, value) is not None
    return True


def _check_enum(values: Any, context: Context) -> None:
    if not isinstance(values, list) or not values:
        raise _refusal(context, "'enum' must be a non-empty array")
    if len({repr(value) for value in values}) < len(values):
        raise _refusal(context, "'enum' has non-unique elements")
    characters = sum(len(value) for value in values if isinstance(value, str))
    if len(values) > LONG_ENUM_VALUES and characters > LONG_ENUM_CHARACTERS:
        limit = f"{LONG_ENUM_CHARACTERS} characters for more than {LONG_ENUM_VALUES} values"
        raise _refusal(context, f"enum has {characters} characters in total, which exceeds the limit of {limit}")


def _check_object(schema: dict[str, Any], context: Context, counts: _Counts) -> None:
    if schema.get("additionalProperties") is not False:
        raise _refusal(context, "'additionalProperties' is required to be supplied and to be false")
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        raise _refusal(context, "object schema missing properties")
    _check_required(schema.get("required"), properties, context)
    counts.properties += len(properties)
    for name, part in properties.items():
        _check_literal(name, context)
        counts.name_characters += len(name)
        _check(part, (*context, "properties", name), counts)


def _check_required(required: Any, properties: dict[str, Any], context: Context) -> None:
    rule = "'required' is required to be supplied and to be an array including every key in properties"
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        # An object without properties needs no list of them.
        if properties or required is not None:
            raise _refusal(context, rule)
        return
    missing = next((name for name in properties if name not in required), None)
    if missing is not None:
        raise _refusal(context, f"{rule}. Missing '{missing}'")
    extra = next((name for name in required if name not in properties), None)
    if extra is not None:
        raise _refusal(context, f"{rule}. Extra required key '{extra}' supplied")


def _check_array(schema: dict[str, Any], context: Context, counts: _Counts) -> None:
    if "items" not in schema:
        raise _refusal(context, "array schema missing items")
    for keyword in ("minItems", "maxItems"):
        size = schema.get(keyword, 0)
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise _refusal(context, f"{size!r} of '{keyword}' is not a non-negative integer")
    _check(schema["items"], (*context, "items"), counts)


def _check_string(schema: dict[str, Any], context: Context, types: list[Any]) -> None:
    for keyword in {"pattern", "format"} & schema.keys():
        if "string" not in types:
            raise _refusal(context, f"'{keyword}' is not permitted without type 'string'")
    if "format" in schema and schema["format"] not in FORMATS:
        raise _refusal(context, f"'{schema['format']}' is not a valid format")
    if "pattern" in schema:
        problem = patterns.problem_with(schema["pattern"])
        if problem:
            raise _refusal(context, f"'pattern' is not valid: {problem}")


def _check_numbers(schema: dict[str, Any], context: Context, types: list[Any]) -> None:
    for keyword in _NUMBER_KEYWORDS:
        if keyword not in schema:
            continue
        if not {"number", "integer"} & set(types):
            raise _refusal(context, f"'{keyword}' is not permitted without type 'number' or 'integer'")
        bound = schema[keyword]
        if not has_type(bound, "number") or not -sys.float_info.max <= bound <= sys.float_info.max:
            raise _refusal(context, f"{bound!r} of '{keyword}' is not of type 'number'")
        if keyword == "multipleOf" and bound <= 0:
            raise _refusal(context, f"{bound!r} of 'multipleOf' is not above 0")


def _check_totals(counts: _Counts) -> None:
    for found, limit, what in (
        (counts.properties, MAX_PROPERTIES, "object properties"),
        (counts.name_characters, MAX_NAME_CHARACTERS, "characters in property names, definition names and enum values"),
        (counts.enum_values, MAX_ENUM_VALUES, "enum values"),
    ):
        if found > limit:
            raise SchemaRefusal(f"schema has {found} {what} in total, which exceeds the limit of {limit}.")


def _check_recursion(definitions: dict[str, Any]) -> None:
    # A reference that comes back to itself with no object or array in between describes no value at all.
    for name, definition in definitions.items():
        seen: set[str] = set()
        waiting = _direct_references(definition)
        while waiting:
            reference = waiting.pop()
            if reference == name:
                raise SchemaRefusal(f"reference {name!r} leads back to itself without an object or array in between.")
            if reference not in seen:
                seen.add(reference)
                waiting += _direct_references(definitions[reference])


def _direct_references(schema: dict[str, Any]) -> list[str]:
    if "$ref" in schema:
        return [schema["$ref"]]
    return [reference for option in schema.get("anyOf", []) for reference in _direct_references(option)]


def _check_levels(schema: dict[str, Any]) -> None:
    levels = _Levels(definitions_of(schema)).of(schema)
    if levels > MAX_LEVELS:
        raise SchemaRefusal(f"{levels} levels of nesting exceeds limit of {MAX_LEVELS}.")


@dataclass(slots=True)
class _Levels:
    """How deep objects and arrays nest; a recursive reference counts once, since it has no depth of its own."""

    definitions: dict[str, Any]
    known: dict[str, int] = field(default_factory=dict)

    def of(self, schema: dict[str, Any]) -> int:
        if "$ref" in schema:
            return self._of_reference(schema["$ref"])
        if "anyOf" in schema:
            return max(self.of(option) for option in schema["anyOf"])
        parts = list(schema.get("properties", {}).values()) if "object" in types_of(schema) else []
        if "array" in types_of(schema):
            parts.append(schema["items"])
        nests = {"object", "array"} & set(types_of(schema))
        return (1 if nests else 0) + max((self.of(part) for part in parts), default=0)

    def _of_reference(self, reference: str) -> int:
        if reference not in self.known:
            self.known[reference] = 0
            self.known[reference] = self.of(self.definitions[reference])
        return self.known[reference]


def _refusal(context: Context, problem: str) -> SchemaRefusal:
    return SchemaRefusal(f"In context={context}, {problem}.")
