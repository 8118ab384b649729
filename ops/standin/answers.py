"""From a strict schema to answers that satisfy it: planned once per schema, drawn once per call.

A plan is a tree of closures. Recursion ends because every part knows its height, the least nesting it can be answered
with: when the room is used up, alternatives of least height and the shortest arrays are taken.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.standin import judging, patterns, texts
from ops.standin.bounded_numbers import allows, number_drawer
from ops.standin.draw import Draw
from ops.standin.schema_rules import SchemaRefusal, definitions_of, has_type, types_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOM = 8
_MOST_ITEMS = 3
# Beyond it one answer would fill megabytes; no model could give it either.
_MOST_REQUIRED_ITEMS = 10_000
# How many answers are drawn on trial for a pattern or format before the schema counts as unsatisfiable.
_TRIALS = 5

DrawValue = Callable[[Draw, float], Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """One place of the schema: its least nesting, and how to answer it within some room."""

    height: float
    value: DrawValue


Plan = Callable[[Draw], Any]


def plan_answers(schema: dict[str, Any]) -> Plan:
    """A function from draws to answers that satisfy the schema; SchemaRefusal when nothing can."""
    planner = _Planner(definitions_of(schema))
    root = planner.part(planner.definitions["#"])
    if root is None or math.isinf(root.height):
        raise SchemaRefusal("In context=(), no value can satisfy this schema.")
    planner.plan_references()
    room = max(root.height, _ROOM)
    return lambda draw: root.value(draw, room)


class _Planner:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions
        self._heights: dict[str, float] = dict.fromkeys(definitions, math.inf)
        self._parts: dict[str, _Part] = {}
        self._find_heights()

    def _find_heights(self) -> None:
        # A height is found once those it rests on are; each round fixes at least one, or the rest has none.
        for _ in self.definitions:
            found = {name: self._height(schema) for name, schema in self.definitions.items()}
            if found == self._heights:
                return
            self._heights = found

    def _height(self, schema: dict[str, Any]) -> float:
        part = self.part(schema)
        return math.inf if part is None else part.height

    def plan_references(self) -> None:
        """Plan what references point to, once heights are final."""
        for name, schema in self.definitions.items():
            part = self.part(schema)
            if part is not None:
                self._parts[name] = part

    def part(self, schema: dict[str, Any]) -> _Part | None:
        """The plan for one place; None when no value satisfies it."""
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        if "anyOf" in schema:
            return self._alternatives(schema["anyOf"])
        if "const" in schema or "enum" in schema:
            return _listed(schema)
        return _union([self._typed(schema, name) for name in types_of(schema)])

    def _reference(self, name: str) -> _Part | None:
        height = self._heights[name] + 1
        parts = self._parts
        return None if math.isinf(height) else _Part(height, lambda draw, room: parts[name].value(draw, room - 1))

    def _alternatives(self, options: list[dict[str, Any]]) -> _Part | None:
        refusing = [option for option in options if judging.abstains(self._resolved(option))]
        judged = _union([self.part(option) for option in options if option not in refusing])
        refused = _union([self.part(option) for option in refusing])
        if judged is None or refused is None:
            return judged or refused
        height = max(judged.height, refused.height)
        return _Part(height, lambda draw, room: (refused if draw.happens(draw.doubt) else judged).value(draw, room))

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        found = self.definitions.get(schema.get("$ref", ""), schema)
        return found if isinstance(found, dict) else schema

    def _typed(self, schema: dict[str, Any], name: str) -> _Part | None:
        if name == "object":
            return self._object(schema)
        if name == "array":
            return self._array(schema)
        if name == "string":
            return _string(schema)
        if name in ("number", "integer"):
            return _number(schema, whole=name == "integer")
        return _leaf(lambda draw: draw.graded_choice((True, False)) if name == "boolean" else None)

    def _object(self, schema: dict[str, Any]) -> _Part | None:
        parts: dict[str, _Part] = {}
        for name, property_schema in schema["properties"].items():
            part = self.part(property_schema)
            if part is None:
                return None
            if name in judging.QUOTED_FIELDS and property_schema.get("type") == "string":
                part = part if {"pattern", "format"} & property_schema.keys() else _leaf(judging.quotation)
            parts[name] = part
        height = 1 + max((part.height for part in parts.values()), default=0)

        def value(draw: Draw, room: float) -> dict[str, Any]:
            return {name: part.value(draw, room - 1) for name, part in parts.items()}

        return _Part(height, value)

    def _array(self, schema: dict[str, Any]) -> _Part | None:
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", math.inf), max(least, _MOST_ITEMS))
        item = self.part(schema["items"])
        if least > min(most, _MOST_REQUIRED_ITEMS) or (item is None and least):
            return None
        if item is None:
            return _leaf(lambda _draw: [])
        # A dict travels as a list of keys and values: a model would name each key once, and no schema can ask for it.
        names_keys = set(schema["items"].get("properties", ())) == {"key", "value"}

        def value(draw: Draw, room: float) -> list[Any]:
            may_grow = room > item.height and draw.has_room()
            size = least + draw.index(int(most) - least + 1) if may_grow else least
            items = [item.value(draw, room - 1) for _ in range(size)]
            return _each_key_once(items, least) if names_keys else items

        return _Part(1 + item.height if least else 1, value)


def _each_key_once(entries: list[Any], least: int) -> list[Any]:
    distinct = {json.dumps(entry["key"]): entry for entry in entries}
    return list(distinct.values()) if len(distinct) >= least else entries


def _leaf(draw_value: Callable[[Draw], Any]) -> _Part:
    return _Part(0, lambda draw, _room: draw_value(draw))


def _union(options: list[_Part | None]) -> _Part | None:
    possible = [option for option in options if option is not None]
    if len(possible) <= 1:
        return possible[0] if possible else None
    height = min(option.height for option in possible)
    lowest = [option for option in possible if option.height == height]

    def value(draw: Draw, room: float) -> Any:
        fitting = [option for option in possible if option.height <= room] if draw.has_room() else lowest
        return draw.choice(fitting or lowest).value(draw, room)

    return _Part(height, value)


def _listed(schema: dict[str, Any]) -> _Part | None:
    values = schema.get("enum", [schema.get("const")])
    if "const" in schema:
        values = [value for value in values if value == schema["const"] and type(value) is type(schema["const"])]
    types = types_of(schema)
    values = [value for value in values if not types or any(has_type(value, name) for name in types)]
    values = [value for value in values if _within(value, schema)]
    if judging.is_work_state(values):
        return _leaf(lambda draw: draw.choice(values[1:] if draw.happens(draw.doubt) else values[:1]))
    return _leaf(lambda draw: draw.graded_choice(values)) if values else None


def _within(value: Any, schema: dict[str, Any]) -> bool:
    if isinstance(value, str):
        # Listed values of a format are legal and pointless; none is taken for valid unseen.
        return "format" not in schema and bool(re.search(schema.get("pattern", ""), value))
    return not has_type(value, "number") or allows(value, schema)


def _number(schema: dict[str, Any], *, whole: bool) -> _Part | None:
    draw_number = number_drawer(schema, whole=whole)
    return None if draw_number is None else _leaf(draw_number)


def _string(schema: dict[str, Any]) -> _Part | None:
    if "pattern" in schema and "format" in schema:
        # Matching both at once is not generated; nobody has needed it.
        return None
    if "pattern" in schema:
        return _patterned(schema["pattern"])
    return _leaf(texts.FORMAT_TEXTS[schema["format"]] if "format" in schema else texts.sentence)


def _patterned(pattern: str) -> _Part | None:
    draw_text = patterns.matching_text(pattern)
    samples = [draw_text(Draw(bytes([number]))) for number in range(_TRIALS)]
    fallback = next((sample for sample in samples if sample is not None), None)
    if fallback is None:
        return None
    return _leaf(lambda draw: draw_text(draw) or fallback)
