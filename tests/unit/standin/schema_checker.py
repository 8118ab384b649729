"""A second, independent reading of JSON Schema: does this value satisfy that schema? Only what strict mode allows."""

from __future__ import annotations

import ipaddress
import re
import uuid
from datetime import date, datetime, time
from fractions import Fraction
from typing import Any


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "$") -> list[str]:
    """Every way in which the value fails its schema; empty when it satisfies it."""
    root = schema if root is None else root
    if "$ref" in schema:
        return problems(value, _target(schema["$ref"], root), root, at)
    if "anyOf" in schema:
        failures = [problems(value, option, root, at) for option in schema["anyOf"]]
        return [] if [] in failures else [f"{at}: none of the alternatives"]
    found = []
    if "const" in schema and not _same(value, schema["const"]):
        found.append(f"{at}: not the constant")
    if "enum" in schema and not any(_same(value, option) for option in schema["enum"]):
        found.append(f"{at}: not listed")
    if "type" in schema:
        found += _typed_problems(value, schema, root, at)
    return found


def _target(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    target = root
    for step in reference.removeprefix("#").split("/")[1:]:
        target = target[step]
    return target


def _same(left: Any, right: Any) -> bool:
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _typed_problems(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    actual = _types_of(value)
    if not set(types) & actual:
        return [f"{at}: is {actual}, not {types}"]
    if isinstance(value, dict):
        return _object_problems(value, schema, root, at)
    if isinstance(value, list):
        return _array_problems(value, schema, root, at)
    if isinstance(value, str):
        return _string_problems(value, schema, at)
    return _number_problems(value, schema, at) if "number" in actual else []


def _types_of(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    if isinstance(value, float):
        return {"number", "integer"} if value.is_integer() else {"number"}
    return {{str: "string", dict: "object", list: "array", type(None): "null"}[type(value)]}


def _object_problems(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    if value.keys() != schema["properties"].keys():
        return [f"{at}: has {sorted(value)}, not {sorted(schema['properties'])}"]
    parts = schema["properties"].items()
    return [problem for name, part in parts for problem in problems(value[name], part, root, f"{at}.{name}")]


def _array_problems(value: list[Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return [f"{at}: has {len(value)} items"]
    return [problem for item in value for problem in problems(item, schema["items"], root, f"{at}[]")]


def _string_problems(value: str, schema: dict[str, Any], at: str) -> list[str]:
    found = []
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{at}: {value!r} does not match {schema['pattern']}")
    if "format" in schema and not _FORMATS[schema["format"]](value):
        found.append(f"{at}: {value!r} is no {schema['format']}")
    return found


def _number_problems(value: float, schema: dict[str, Any], at: str) -> list[str]:
    exact = Fraction(str(value))
    bounds = {key: Fraction(str(schema[key])) for key in _BOUNDS if key in schema}
    return [f"{at}: {value} breaks {key} {bound}" for key, bound in bounds.items() if not _BOUNDS[key](exact, bound)]


_BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
    "multipleOf": lambda value, bound: value % bound == 0,
}


def _parses(read: Any) -> Any:
    def check(value: str) -> bool:
        try:
            read(value)
        except ValueError:
            return False
        return True

    return check


_FORMATS = {
    "date-time": _parses(datetime.fromisoformat),
    "date": _parses(date.fromisoformat),
    "time": _parses(time.fromisoformat),
    "duration": lambda value: bool(re.fullmatch(r"P(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?", value)),
    "email": lambda value: bool(re.fullmatch(r"[^@\s]+@[a-z0-9.-]+", value)),
    "hostname": lambda value: bool(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", value)),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "uuid": _parses(uuid.UUID),
}
