"""From a Pydantic model to the strict JSON schema that is sent, and from the answer back to the model.

Part of the contract: stdlib and pydantic only. What strict mode cannot hold but Pydantic can check (lengths,
lookaround, unusual formats) is left off the wire and enforced by `decode`. Three shapes travel in another form:
`dict[str, X]` as a list of key/value entries, a discriminated union as `anyOf`, a default as a required field.
"""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from pydantic import PydanticUserError, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticCustomError, from_json

from workers.contract.errors import InvalidInput
from workers.contract.strict_lint import (
    FORMATS,
    KEYWORDS,
    Violation,
    is_portable,
    json_type,
    lint,
    resolve,
    types_of,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

Model = TypeVar("Model", bound="BaseModel")

_CACHED_MODELS = 512
"""Schemas made from a rubric are classes of their own; the bound lets old ones go."""
_MAX_NAME_LENGTH = 64
_STRUCTURAL = frozenset(
    {
        *("allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"),
        *("prefixItems", "patternProperties", "propertyNames", "contains"),
    }
)
"""Keywords that carry meaning: never dropped in silence, so that the linter sees them."""
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_CONSTANT = re.compile(r"NaN|Infinity")


class UnsupportedSchema(InvalidInput):
    """Strict mode cannot hold this model. `violations` lists every place."""

    violations: tuple[Violation, ...] = ()


class _Entries(dict[str, object]):
    """The wire schema of a `dict[str, X]`: an array of entries, told apart from a list by its class alone."""


class _Generator(GenerateJsonSchema):
    # A default that JSON cannot write is no fault here: defaults never travel.
    ignored_warning_kinds = {"non-serializable-default"}  # noqa: RUF012 - the parent's own declaration


def strict_schema(model: type[BaseModel]) -> dict[str, object]:
    """Build the strict schema of a model, once; the dict is shared, so do not change it.

    Raises `UnsupportedSchema` when strict mode cannot hold the model.
    """
    found = violations(model)
    if found:
        raise unsupported(model.__name__, found)
    return wire_schema(model)


def violations(model_or_schema: type[BaseModel] | Mapping[str, object]) -> list[Violation]:
    """Everything that strict mode would refuse in a model, or in a schema as it would be sent."""
    if isinstance(model_or_schema, type):
        return list(_model_violations(model_or_schema))
    return lint(model_or_schema)


def unsupported(name: str, found: list[Violation]) -> UnsupportedSchema:
    """Name every violation in one error."""
    lines = "".join(f"\n  {violation}" for violation in found)
    error = UnsupportedSchema(f"{name} cannot be held by a strict JSON schema:{lines}")
    error.violations = tuple(found)
    return error


def schema_name(model: type[BaseModel]) -> str:
    """Write the class name, with what the provider refuses in names (the brackets of a generic) replaced."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", model.__name__)[:_MAX_NAME_LENGTH]


def decode(model: type[Model], raw_json: str) -> Model:
    """Validate an answer in its wire form; raises pydantic's `ValidationError` and nothing else.

    NaN and Infinity are refused: JSON has no such values, and no store would take them. A key that stands twice in
    one object is refused too: which of the two the model meant is a guess, and a guess may be a wrong grade.
    """
    if _CONSTANT.search(raw_json) and _holds_a_constant(raw_json):
        message = "Invalid JSON: NaN and Infinity are not values"
        raise _refusal(model, PydanticCustomError("json_constant", message))
    if (doubled := _doubled_key(raw_json)) is not None:
        message = "The key '{key}' stands twice in one object"
        raise _refusal(model, PydanticCustomError("doubled_key", message, {"key": doubled}))
    if not _has_entries(model):
        return model.model_validate_json(raw_json)
    schema = wire_schema(model)
    try:
        restored = _restored(schema, from_json(raw_json), schema)
    except ValueError:
        # No JSON at all: Pydantic says where.
        return model.model_validate_json(raw_json)
    except RecursionError:
        raise _refusal(model, PydanticCustomError("too_deep", "The answer is nested too deeply")) from None
    except _RepeatedKeyError as error:
        message = "The key '{key}' stands twice among the entries"
        raise _refusal(model, PydanticCustomError("repeated_key", message, {"key": error.key})) from None
    return model.model_validate_json(json.dumps(restored))


class _DoubledKeyError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _without_doubles(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _value in pairs:
        if key in seen:
            raise _DoubledKeyError(key)
        seen.add(key)


def _doubled_key(raw_json: str) -> str | None:
    try:
        json.loads(raw_json, object_pairs_hook=_without_doubles)
    except _DoubledKeyError as error:
        return error.key
    except (ValueError, RecursionError):
        return None  # no JSON: whoever parses it next says so
    return None


@lru_cache(maxsize=_CACHED_MODELS)
def _model_violations(model: type[BaseModel]) -> tuple[Violation, ...]:
    try:
        return tuple(lint(wire_schema(model)))
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        # The first line alone: the rest of Pydantic's text is a link.
        reason = str(error).splitlines()[0]
        return (Violation("/", f"no JSON schema can be made ({reason})", "use types that JSON can carry"),)
    except RecursionError:
        return (Violation("/", "the schema is nested too deeply", "split the schema"),)


@lru_cache(maxsize=_CACHED_MODELS)
def wire_schema(model: type[BaseModel]) -> dict[str, object]:
    """Build the schema as it would be sent; what strict mode cannot hold is left in it, for the linter to find."""
    source = model.model_json_schema(schema_generator=_Generator)
    definitions = _as_dict(source.pop("$defs", {}))
    root = resolve(source, {"$defs": definitions}) or source
    wire = _wire(root)
    if definitions:
        wire["$defs"] = {name: _wire(_as_dict(definition)) for name, definition in definitions.items()}
    return wire


def _wire(source: Mapping[str, object]) -> dict[str, object]:
    """One node of Pydantic's schema as strict mode wants it."""
    if "$ref" in source:
        return _reference(source)
    if "discriminator" in source and "oneOf" in source:
        branches = source["oneOf"]
        source = {**{key: value for key, value in source.items() if key != "oneOf"}, "anyOf": branches}
    node = {key: value for key, value in source.items() if key in KEYWORDS or key in _STRUCTURAL}
    _drop_what_only_pydantic_checks(node)
    if entries := _entries(source, node):
        return entries
    return _completed(node)


def _reference(source: Mapping[str, object]) -> dict[str, object]:
    # A reference may have no siblings; a description is worth a wrapper.
    reference: dict[str, object] = {"$ref": source["$ref"]}
    if "description" in source:
        return {"anyOf": [reference], "description": source["description"]}
    return reference


def _drop_what_only_pydantic_checks(node: dict[str, object]) -> None:
    types = types_of(node)
    if "pattern" in node and not ("string" in types and is_portable(node["pattern"])):
        del node["pattern"]
    if "format" in node and not ("string" in types and node["format"] in FORMATS):
        del node["format"]
    for bound in _BOUNDS & node.keys():
        if not types & {"number", "integer"} or not _is_writable_number(node[bound]):
            del node[bound]


def _is_writable_number(value: object) -> bool:
    return isinstance(value, int | float) and -sys.float_info.max <= value <= sys.float_info.max


def _completed(node: dict[str, object]) -> dict[str, object]:
    """Add what strict mode asks for at every level, and build what lies below."""
    if "type" not in node and ("enum" in node or "const" in node):
        node["type"] = _types_of_values(node)
    if "properties" in node:
        properties = {name: _wire(_as_dict(child)) for name, child in _as_dict(node["properties"]).items()}
        node |= {"properties": properties, "required": list(properties)}
        node.setdefault("additionalProperties", False)
    if isinstance(node.get("items"), dict):
        node["items"] = _wire(_as_dict(node["items"]))
    branches = node.get("anyOf")
    if isinstance(branches, list):
        node["anyOf"] = [_wire(branch) for branch in branches]
    return node


def _entries(source: Mapping[str, object], node: Mapping[str, object]) -> _Entries | None:
    """Build the list of entries that carries a `dict[str, X]`, or None when the node is something else."""
    pair = None if node.get("properties") else _key_and_value(source)
    if pair is None:
        return None
    key, value = pair
    entry = {
        "type": "object",
        "properties": {"key": key, "value": value},
        "required": ["key", "value"],
        "additionalProperties": False,
    }
    entries = _Entries({"type": "array", "items": entry})
    for theirs, ours in (("description", "description"), ("minProperties", "minItems"), ("maxProperties", "maxItems")):
        if theirs in source:
            entries[ours] = source[theirs]
    return entries


def _key_and_value(source: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]] | None:
    values = source.get("additionalProperties")
    if isinstance(values, dict) and values:
        return _key(source.get("propertyNames")), _wire(values)
    by_pattern = source.get("patternProperties")
    if isinstance(by_pattern, dict) and len(by_pattern) == 1:
        [(pattern, values)] = by_pattern.items()
        if isinstance(values, dict) and values:
            return _wire({"type": "string", "pattern": pattern}), _wire(values)
    return None


def _key(names: object) -> dict[str, object]:
    # JSON knows string keys only; Pydantic turns "3" into 3 where the model says dict[int, X].
    if isinstance(names, dict):
        key = _wire(names)
        if "$ref" in key or types_of(key) == {"string"}:
            return key
    return {"type": "string"}


def _types_of_values(node: Mapping[str, object]) -> str | list[str]:
    values = node["enum"] if isinstance(node.get("enum"), list) else [node.get("const")]
    names = sorted({json_type(value) for value in values}) if isinstance(values, list) else []
    return names[0] if len(names) == 1 else names


class _RepeatedKeyError(Exception):
    """A dict can hold one of two values; which one is meant nobody knows."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@lru_cache(maxsize=_CACHED_MODELS)
def _has_entries(model: type[BaseModel]) -> bool:
    return any(isinstance(node, _Entries) for node in walk(wire_schema(model)))


def _restored(node: Mapping[str, object], value: object, root: Mapping[str, object]) -> object:
    """Copy the value with every list of entries turned into the dict that the model knows."""
    if "$ref" in node:
        target = resolve(node, root)
        return value if target is None else _restored(target, value, root)
    branches = node.get("anyOf")
    if isinstance(branches, list):
        fitting = next((branch for branch in branches if _fits(branch, value, root)), None)
        return value if fitting is None else _restored(fitting, value, root)
    if isinstance(node, _Entries):
        return _restored_entries(node, value, root)
    if isinstance(value, dict):
        properties = _as_dict(node.get("properties", {}))
        return {
            name: _restored(_as_dict(properties[name]), item, root) if name in properties else item
            for name, item in value.items()
        }
    if isinstance(value, list):
        items = _as_dict(node.get("items", {}))
        return [_restored(items, item, root) for item in value]
    return value


def _restored_entries(node: _Entries, value: object, root: Mapping[str, object]) -> object:
    if not isinstance(value, list) or not all(isinstance(entry, dict) and "key" in entry for entry in value):
        return value
    if any(set(entry) != {"key", "value"} or not isinstance(entry["key"], str) for entry in value):
        return value
    properties = _as_dict(_as_dict(node["items"])["properties"])
    restored: dict[str, object] = {}
    for entry in value:
        if entry["key"] in restored:
            raise _RepeatedKeyError(entry["key"])
        restored[entry["key"]] = _restored(_as_dict(properties["value"]), entry["value"], root)
    return restored


def _fits(node: Mapping[str, object], value: object, root: Mapping[str, object]) -> bool:
    """Tell the branch of a union that an answer was written for, by shape and constants."""
    if "$ref" in node:
        target = resolve(node, root)
        return target is not None and _fits(target, value, root)
    branches = node.get("anyOf")
    if isinstance(branches, list):
        return any(_fits(branch, value, root) for branch in branches)
    return _is_one_of(types_of(node), value) and _is_allowed(node, value) and _parts_fit(node, value, root)


def _is_allowed(node: Mapping[str, object], value: object) -> bool:
    values = [node["const"]] if "const" in node else node.get("enum")
    return not isinstance(values, list) or value in values


def _parts_fit(node: Mapping[str, object], value: object, root: Mapping[str, object]) -> bool:
    if isinstance(value, dict):
        properties = _as_dict(node.get("properties", {}))
        return set(properties) == set(value) and all(
            _fits(_as_dict(properties[name]), item, root) for name, item in value.items()
        )
    if isinstance(value, list):
        items = _as_dict(node.get("items", {}))
        return all(_fits(items, item, root) for item in value)
    return True


def _is_one_of(types: set[str], value: object) -> bool:
    name = json_type(value)
    return name in types or (name == "integer" and "number" in types)


def _holds_a_constant(raw_json: str) -> bool:
    found: list[str] = []
    try:
        json.loads(raw_json, parse_constant=found.append)
    except (ValueError, RecursionError):
        return False
    return bool(found)


def _refusal(model: type[BaseModel], error: PydanticCustomError) -> ValidationError:
    return ValidationError.from_exception_data(model.__name__, [{"type": error, "loc": (), "input": None}])


def _as_dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
