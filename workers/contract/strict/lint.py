"""The rules a JSON schema must keep to be held by the provider's strict mode, and the linter for them.

Part of the contract: stdlib only. Knows nothing of Pydantic; `wire_schema` builds what is checked here. Whatever is
given as a schema, the answer is a list of violations and never an exception.

*Source*: OpenAI, "Structured model outputs", section "Supported schemas" (read November 2026).
"""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.contract.schema_tree import children, json_type, mapping, parts, resolve, types_of, walk
from workers.contract.strict.formats import FORMATS
from workers.contract.strict.labels import unsafe_character

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
TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
KEYWORDS = frozenset(
    {
        *("$defs", "$ref", "type", "description", "enum", "const", "anyOf"),
        *("properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
        *("pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
)
"""Keywords that every strict schema may have."""
LENGTHS = frozenset({"minLength", "maxLength"})
"""Only for servers that take them: on some a string with a limit can hold no line break and no quotation mark."""
BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_SIZES = ("minItems", "maxItems", "minLength", "maxLength")
_PATTERN_TOKEN = re.compile(r"\\[\s\S]|\[\^?\]?(?:\\[\s\S]|[^\]\\])*\]|[\s\S]")
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


def lint(schema: Mapping[str, object], *, takes_lengths: bool = False) -> list[Violation]:
    """Every violation of strict mode in a schema as it would be sent; an empty list means that it is accepted.

    `takes_lengths` is for servers that hold `minLength` and `maxLength`.
    """
    known = KEYWORDS | LENGTHS if takes_lengths else KEYWORDS
    try:
        found = [*_root_violations(schema), *_node_violations(schema, "", schema, known)]
        return [*found, *_circle_violations(schema), *_size_violations(schema)]
    except RecursionError:
        return [Violation("/", "the schema is nested too deeply", "split the schema")]


def _root_violations(schema: Mapping[str, object]) -> Iterator[Violation]:
    if "anyOf" in schema:
        yield Violation("/", "the root is a union", "wrap it in a model with one field")
    elif schema.get("type") != "object":
        kind = schema.get("type", "untyped")
        yield Violation("/", f"the root must be an object, not {kind}", "wrap it in a model with one field")


def _node_violations(
    node: Mapping[str, object], path: str, root: Mapping[str, object], known: frozenset[str]
) -> Iterator[Violation]:
    here = path or "/"
    for keyword in sorted(node.keys() - known):
        hint = _HINTS.get(keyword, "leave it out of the schema")
        yield Violation(here, f"{keyword!r} is not supported", hint)
    if "$ref" in node:
        yield from _reference_violations(node, here, root)
    elif "anyOf" in node:
        yield from _union_violations(node, here)
    else:
        yield from _typed_violations(node, here)
    yield from _part_violations(node, path)
    for step, child in children(node):
        yield from _node_violations(child, f"{path}/{step}", root, known)


def _part_violations(node: Mapping[str, object], path: str) -> Iterator[Violation]:
    """What lies where a schema belongs and is none: `true` allows anything, a list names nothing."""
    here = path or "/"
    for keyword in ("properties", "$defs"):
        if keyword in node and not isinstance(node[keyword], dict):
            yield Violation(here, f"{keyword!r} is not an object", "give a schema under each name")
    for name, part in parts(node):
        if not isinstance(part, dict):
            shown = "true" if part is True else "false" if part is False else type(part).__name__
            yield Violation(f"{path}/{name}", f"{shown} is no schema of a type", "give the value a type")
    for name in (*mapping(node, "properties"), *mapping(node, "$defs")):
        if character := unsafe_character(str(name)):
            yield Violation(here, f"the name {name!r} holds {character!r}", "rename it, or give the field an alias")


def _reference_violations(node: Mapping[str, object], here: str, root: Mapping[str, object]) -> Iterator[Violation]:
    if node.keys() - {"$ref", "$defs"}:
        yield Violation(here, "'$ref' has siblings", "wrap the reference in anyOf")
    if resolve(node, root) is None:
        yield Violation(here, f"{node['$ref']!r} leads nowhere", "name a definition under $defs")


def _union_violations(node: Mapping[str, object], here: str) -> Iterator[Violation]:
    for keyword in sorted((node.keys() & KEYWORDS) - {"anyOf", "description", "$defs"}):
        yield Violation(here, f"{keyword!r} is beside 'anyOf'", "move it into the branches")
    if not isinstance(node["anyOf"], list) or not node["anyOf"]:
        yield Violation(here, "'anyOf' has no branches", "name at least one type")


def _typed_violations(node: Mapping[str, object], here: str) -> Iterator[Violation]:
    types = types_of(node)
    if not types or types - TYPES or not _names_types_alone(node):
        yield Violation(here, "the value is untyped", "give the field a type other than Any or object")
    if "object" in types:
        yield from _object_violations(node, here)
    if "array" in types and "prefixItems" not in node and "items" not in node:
        yield Violation(here, "the array's items are untyped", "write list[X] with a type X")
    yield from _text_violations(node, types, here)
    yield from _number_violations(node, types, here)
    yield from _value_violations(node, types, here)


def _names_types_alone(node: Mapping[str, object]) -> bool:
    named = node.get("type")
    return not isinstance(named, list) or all(isinstance(name, str) for name in named)


def _object_violations(node: Mapping[str, object], here: str) -> Iterator[Violation]:
    if node.get("additionalProperties") is not False:
        hint = "name the fields in a model, use dict[str, X] with a type X, or set extra='forbid'"
        yield Violation(here, "the object is free-form (additionalProperties)", hint)
    if "properties" not in node:
        yield Violation(here, "the object has no 'properties'", "name the fields in a model")
    names = list(mapping(node, "properties"))
    required = node.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield Violation(here, "'required' is no list of names", "require every property")
        return
    for name in sorted(set(names) - set(required)):
        yield Violation(here, f"property {name!r} is not required", "require it and let it be null")
    for name in sorted(set(required) - set(names)):
        yield Violation(here, f"required property {name!r} does not exist", "name it under properties")


def _text_violations(node: Mapping[str, object], types: set[str], here: str) -> Iterator[Violation]:
    if "description" in node and not isinstance(node["description"], str):
        yield Violation(here, "'description' is no text", "describe the field in words")
    for keyword in sorted({"pattern", "format"} & node.keys()):
        if "string" not in types:
            yield Violation(here, f"{keyword!r} is for strings only", "leave it out")
    if "pattern" in node and not is_portable(node["pattern"]):
        hint = "rewrite it without (?=, (?!, (?<=, (?<! and references to groups"
        yield Violation(here, "the pattern is not supported", hint)
    if "format" in node and not (isinstance(node["format"], str) and node["format"] in FORMATS):
        yield Violation(here, f"format {node['format']!r} is not supported", f"use one of {', '.join(sorted(FORMATS))}")


def is_portable(pattern: object) -> bool:
    """Whether every engine reads the pattern alike; Pydantic's own, Rust's, knows more than that."""
    if not isinstance(pattern, str) or _NOT_PORTABLE.search(_bare(pattern)):
        return False
    with warnings.catch_warnings():
        # A pattern that Python warns of is one that the next engine reads otherwise.
        warnings.simplefilter("error")
        try:
            re.compile(pattern)
        except (re.error, Warning, RecursionError, OverflowError):
            return False
    return True


def _bare(pattern: str) -> str:
    """Write a pattern without its escaped characters and character sets: in them, `(?=` is mere text."""
    tokens = _PATTERN_TOKEN.findall(pattern)
    return "".join(token if len(token) == 1 or re.fullmatch(r"\\[1-9]", token) else "x" for token in tokens)


def _number_violations(node: Mapping[str, object], types: set[str], here: str) -> Iterator[Violation]:
    for keyword in sorted(BOUNDS & node.keys()):
        bound = node[keyword]
        if not types & {"number", "integer"}:
            yield Violation(here, f"{keyword!r} is for numbers only", "leave it out")
        elif not is_writable_number(bound) or (keyword == "multipleOf" and not _is_above_zero(bound)):
            yield Violation(here, f"{bound!r} cannot be a {keyword!r}", "give a finite number")
    for keyword in _SIZES:
        size = node.get(keyword, 0)
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            yield Violation(here, f"{size!r} cannot be a {keyword!r}", "give a whole number from 0")


def is_writable_number(value: object) -> bool:
    """Whether a bound can travel: a number that a float can hold, and no NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def _is_above_zero(value: object) -> bool:
    return isinstance(value, int | float) and value > 0


def _value_violations(node: Mapping[str, object], types: set[str], here: str) -> Iterator[Violation]:
    values = _values(node)
    if "enum" in node and (not values or len({repr(value) for value in values}) < len(values)):
        yield Violation(here, "the enum is empty or names a value twice", "name each value once")
    for value in [*values, *([node["const"]] if "const" in node else [])]:
        if isinstance(value, str) and (character := unsafe_character(value)):
            yield Violation(here, f"the value {value!r} holds {character!r}", "let the value travel under a safe id")
        if json_type(value) not in types and not (json_type(value) == "integer" and "number" in types):
            yield Violation(here, f"the value {value!r} is not of the type beside it", "name the type of every value")
        elif isinstance(value, dict | list):
            yield Violation(here, f"the value {value!r} is an object or a list", "name plain values")
    characters = sum(len(value) for value in values if isinstance(value, str))
    if len(values) > LONG_ENUM_VALUES and characters > MAX_LONG_ENUM_CHARACTERS:
        yield Violation(here, f"the enum's values have {characters} characters", "shorten the values")


def _circle_violations(schema: Mapping[str, object]) -> Iterator[Violation]:
    """References that come back to themselves with no object or list in between describe no value at all."""
    for name, definition in mapping(schema, "$defs").items():
        if isinstance(definition, dict) and _leads_to(definition, f"#/$defs/{name}", schema, set()):
            hint = "put the recursion into a list or a model"
            yield Violation(f"/$defs/{name}", "the definition leads back to itself without an object or list", hint)


def _leads_to(node: Mapping[str, object], reference: str, root: Mapping[str, object], seen: set[str]) -> bool:
    found = node.get("$ref")
    if isinstance(found, str):
        if found == reference:
            return True
        target = None if found in seen or found == "#" else resolve(node, root)
        seen.add(found)
        return target is not None and _leads_to(target, reference, root, seen)
    branches = node.get("anyOf")
    return isinstance(branches, list) and any(
        isinstance(branch, dict) and _leads_to(branch, reference, root, seen) for branch in branches
    )


def _size_violations(schema: Mapping[str, object]) -> Iterator[Violation]:
    nodes = list(walk(schema))
    hint = "split the schema, or ask for less at once"
    counts = (
        ("properties", sum(len(mapping(node, "properties")) for node in nodes), MAX_PROPERTIES),
        ("enum values", sum(len(_values(node)) for node in nodes), MAX_ENUM_VALUES),
        ("characters in names and values", sum(map(_characters, nodes)), MAX_CHARACTERS),
        ("levels of nesting", _depth(schema, schema, {}), MAX_DEPTH),
    )
    for what, count, bound in counts:
        if count > bound:
            yield Violation("/", f"{count} {what}; at most {bound} are allowed", hint)


def _characters(node: Mapping[str, object]) -> int:
    names = [*mapping(node, "properties"), *mapping(node, "$defs")]
    return sum(map(len, names)) + sum(len(str(value)) for value in [*_values(node), node.get("const", "")])


def _values(node: Mapping[str, object]) -> list[object]:
    values = node.get("enum")
    return values if isinstance(values, list) else []


def _depth(node: Mapping[str, object], root: Mapping[str, object], known: dict[str, int]) -> int:
    """Levels of objects and arrays on the deepest way down; a recursive reference counts once."""
    reference = node.get("$ref")
    if isinstance(reference, str):
        if reference not in known:
            known[reference] = 0
            known[reference] = _depth(resolve(node, root) or {}, root, known)
        return known[reference]
    own = 1 if types_of(node) & {"object", "array"} else 0
    below = [_depth(child, root, known) for step, child in children(node) if not step.startswith("$defs")]
    return own + max(below, default=0)
