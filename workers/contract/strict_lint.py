"""The rules a JSON schema must keep to be held by the provider's strict mode, and the linter for them.

Part of the contract: stdlib only. Knows nothing of Pydantic; `strict_schema` builds what is checked here.

*Source*: OpenAI, "Structured model outputs", section "Supported schemas" (read November 2026).
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_PROPERTIES = 5_000
MAX_DEPTH = 10
MAX_CHARACTERS = 120_000
"""Names of properties and definitions, enum and const values, together."""
MAX_ENUM_VALUES = 1_000
MAX_LONG_ENUM_CHARACTERS = 15_000
"""Of one string enum that has more values than `LONG_ENUM_VALUES`."""
LONG_ENUM_VALUES = 250
FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
KEYWORDS = frozenset(
    {
        *("$defs", "$ref", "type", "description", "enum", "const", "anyOf"),
        *("properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
        *("pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
)
"""All that may stand in a strict schema; minLength and maxLength are left out, because servers differ on them."""
_NOT_PORTABLE = re.compile(r"\(\?<?[=!]|\(\?P=|\(\?\(|\\[1-9]")
"""Lookaround and references to groups: no engine that samples from a pattern can follow them."""

_HINTS: Mapping[str, str] = {
    "allOf": "write the fields of the parts into one model",
    "oneOf": "give the union a discriminator, Field(discriminator=...), so that it can travel as anyOf",
    "not": "check it in a validator of the model instead",
    "if": "check it in a validator of the model instead",
    "then": "check it in a validator of the model instead",
    "else": "check it in a validator of the model instead",
    "dependentRequired": "check it in a validator of the model instead",
    "dependentSchemas": "check it in a validator of the model instead",
    "prefixItems": "make the tuple a model with named fields, or a list of one type",
    "patternProperties": "use dict[str, X] or a list of models with a key and a value",
    "propertyNames": "use dict[str, X] or a list of models with a key and a value",
    "contains": "check it in a validator of the model instead",
    "default": "leave it out: every field is asked of the model",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One place in a schema that strict mode refuses. `path` reads like `/properties/score`."""

    path: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.hint}"


def lint(schema: Mapping[str, object]) -> list[Violation]:
    """Every violation of strict mode in a schema as it would be sent; an empty list means that it is accepted."""
    return [*_root_violations(schema), *_node_violations(schema, "", schema), *_size_violations(schema)]


def _root_violations(schema: Mapping[str, object]) -> Iterator[Violation]:
    if "anyOf" in schema:
        yield Violation("/", "the root is a union", "wrap it in a model with one field")
    elif schema.get("type") != "object":
        kind = schema.get("type", "untyped")
        yield Violation("/", f"the root must be an object, not {kind}", "wrap it in a model with one field")


def _node_violations(node: Mapping[str, object], path: str, root: Mapping[str, object]) -> Iterator[Violation]:
    here = path or "/"
    for keyword in sorted(node.keys() - KEYWORDS):
        hint = _HINTS.get(keyword, "leave it out of the schema")
        yield Violation(here, f"{keyword!r} is not supported", hint)
    if "$ref" in node:
        yield from _reference_violations(node, here, root)
    elif "anyOf" in node:
        yield from _union_violations(node, here)
    else:
        yield from _typed_violations(node, here)
    for step, child in children(node):
        yield from _node_violations(child, f"{path}/{step}", root)


def _reference_violations(node: Mapping[str, object], here: str, root: Mapping[str, object]) -> Iterator[Violation]:
    if node.keys() - {"$ref", "$defs"}:
        yield Violation(here, "'$ref' has siblings", "wrap the reference in anyOf")
    if resolve(node, root) is None:
        yield Violation(here, f"{node['$ref']!r} leads nowhere", "name a definition under $defs")


def _union_violations(node: Mapping[str, object], here: str) -> Iterator[Violation]:
    for keyword in sorted((node.keys() & KEYWORDS) - {"anyOf", "description", "$defs"}):
        yield Violation(here, f"{keyword!r} stands beside 'anyOf'", "move it into the branches")
    if not isinstance(node["anyOf"], list) or not node["anyOf"]:
        yield Violation(here, "'anyOf' has no branches", "name at least one type")


def _typed_violations(node: Mapping[str, object], here: str) -> Iterator[Violation]:
    types = types_of(node)
    if not types or types - TYPES:
        yield Violation(here, "the value is untyped", "give the field a type other than Any or object")
    if "object" in types:
        yield from _object_violations(node, here)
    if "array" in types and "prefixItems" not in node and not isinstance(node.get("items"), dict):
        yield Violation(here, "the array's items are untyped", "write list[X] with a type X")
    yield from _text_violations(node, here)
    yield from _value_violations(node, types, here)


def _object_violations(node: Mapping[str, object], here: str) -> Iterator[Violation]:
    if node.get("additionalProperties") is not False:
        hint = "name the fields in a model, use dict[str, X] with a type X, or set extra='forbid'"
        yield Violation(here, "the object is free-form (additionalProperties)", hint)
    properties = node.get("properties")
    names = set(properties) if isinstance(properties, dict) else set()
    required = node.get("required")
    missing = names - set(required if isinstance(required, list) else ())
    for name in sorted(missing):
        yield Violation(here, f"property {name!r} is not required", "require it and let it be null")


def _text_violations(node: Mapping[str, object], here: str) -> Iterator[Violation]:
    if "pattern" in node and not is_portable(node["pattern"]):
        hint = "rewrite it without (?=, (?!, (?<=, (?<! and references to groups"
        yield Violation(here, "the pattern is not supported", hint)
    if "format" in node and node["format"] not in FORMATS:
        yield Violation(here, f"format {node['format']!r} is not supported", f"use one of {', '.join(sorted(FORMATS))}")


def is_portable(pattern: object) -> bool:
    """Whether every engine reads the pattern alike; Pydantic's own, Rust's, knows more than that."""
    if not isinstance(pattern, str) or _NOT_PORTABLE.search(pattern):
        return False
    with warnings.catch_warnings():
        # A pattern that Python warns of is one that the next engine reads otherwise.
        warnings.simplefilter("error")
        try:
            re.compile(pattern)
        except (re.error, Warning, RecursionError, OverflowError):
            return False
    return True


def _value_violations(node: Mapping[str, object], types: set[str], here: str) -> Iterator[Violation]:
    values = _values(node)
    if "enum" in node and (not values or len({repr(value) for value in values}) < len(values)):
        yield Violation(here, "the enum is empty or names a value twice", "name each value once")
    for value in [*values, *([node["const"]] if "const" in node else [])]:
        if json_type(value) not in types and not (json_type(value) == "integer" and "number" in types):
            yield Violation(here, f"the value {value!r} is not of the type beside it", "name the type of every value")
    characters = sum(len(value) for value in values if isinstance(value, str))
    if len(values) > LONG_ENUM_VALUES and characters > MAX_LONG_ENUM_CHARACTERS:
        yield Violation(here, f"the enum's values have {characters} characters", "shorten the values")


def _size_violations(schema: Mapping[str, object]) -> Iterator[Violation]:
    nodes = list(walk(schema))
    hint = "split the schema, or ask for less at once"
    counts = (
        ("properties", sum(len(_mapping(node, "properties")) for node in nodes), MAX_PROPERTIES),
        ("enum values", sum(len(_values(node)) for node in nodes), MAX_ENUM_VALUES),
        ("characters in names and values", sum(map(_characters, nodes)), MAX_CHARACTERS),
        ("levels of nesting", _depth(schema, schema, frozenset()), MAX_DEPTH),
    )
    for what, count, bound in counts:
        if count > bound:
            yield Violation("/", f"{count} {what}; at most {bound} are allowed", hint)


def _characters(node: Mapping[str, object]) -> int:
    names = [*_mapping(node, "properties"), *_mapping(node, "$defs")]
    return sum(map(len, names)) + sum(len(str(value)) for value in [*_values(node), node.get("const", "")])


def _values(node: Mapping[str, object]) -> list[object]:
    values = node.get("enum")
    return values if isinstance(values, list) else []


def _depth(node: Mapping[str, object], root: Mapping[str, object], open_references: frozenset[str]) -> int:
    """Levels of objects and arrays on the deepest way down; a recursive reference counts once."""
    reference = node.get("$ref")
    if isinstance(reference, str):
        target = resolve(node, root)
        if target is None or reference in open_references:
            return 0
        return _depth(target, root, open_references | {reference})
    own = 1 if types_of(node) & {"object", "array"} else 0
    below = [_depth(child, root, open_references) for step, child in children(node) if not step.startswith("$defs")]
    return own + max(below, default=0)


def walk(node: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the node and every schema below it, definitions included; references are not followed."""
    yield node
    for _, child in children(node):
        yield from walk(child)


def children(node: Mapping[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """Each schema directly inside a node, with the step of the path that leads to it."""
    for keyword in ("properties", "$defs"):
        for name, child in _mapping(node, keyword).items():
            if isinstance(child, dict):
                yield f"{keyword}/{name}", child
    items = node.get("items")
    if isinstance(items, dict):
        yield "items", items
    branches = node.get("anyOf")
    for index, branch in enumerate(branches if isinstance(branches, list) else ()):
        if isinstance(branch, dict):
            yield f"anyOf/{index}", branch


def resolve(node: Mapping[str, object], root: Mapping[str, object]) -> dict[str, object] | None:
    """Find the schema that a `$ref` names, or None when there is none."""
    reference = node.get("$ref")
    if reference == "#":
        return dict(root)
    prefix = "#/$defs/"
    if not isinstance(reference, str) or not reference.startswith(prefix):
        return None
    name = reference.removeprefix(prefix).replace("~1", "/").replace("~0", "~")
    target = _mapping(root, "$defs").get(name)
    return target if isinstance(target, dict) else None


def types_of(node: Mapping[str, object]) -> set[str]:
    """Collect the JSON types a node names; empty when it names none."""
    named = node.get("type")
    if isinstance(named, str):
        return {named}
    return {name for name in named if isinstance(name, str)} if isinstance(named, list) else set()


def json_type(value: object) -> str:
    """Name the JSON type of a value; a whole number is an integer however it is written."""
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (str, "string"), (int, "integer"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "integer" if isinstance(value, float) and value.is_integer() else "number"


def _mapping(node: Mapping[str, object], keyword: str) -> dict[str, object]:
    value = node.get(keyword)
    return value if isinstance(value, dict) else {}
