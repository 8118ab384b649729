"""The judge of an answer: the wire schema as it was sent, compiled for pydantic-core in strict mode.

Part of the contract: stdlib and pydantic only. A value passes when JSON Schema lets it pass, with two differences: a
number must be finite, and what a `format` means is checked. As in JSON Schema a whole number is an integer however it
is written (85.0 is 85), true is no number, and no text is ever read as a number. What passes comes out in the form that
the model knows: entries as a dict, safe ids as the values they stand for.

A lenient judge also takes what the seed project's callers rely on: a property with a default may be missing, one that
the model ignores may be there, and a dict may come as an object. Types are judged alike by both.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pydantic_core import CoreConfig, PydanticCustomError, PydanticKnownError, SchemaError, SchemaValidator, to_json
from pydantic_core import core_schema as core

from workers.contract.schema_tree import json_type, mapping, resolve, types_of
from workers.contract.strict.formats import FORMATS
from workers.contract.strict.wire_schema import Reading, WireNode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PLAIN = Reading()


class Judge:
    """Validates answers against one wire schema. Making one takes about a millisecond, an answer some microseconds."""

    def __init__(self, schema: Mapping[str, object], *, title: str, is_lenient: bool = False) -> None:
        compiler = _Compiler(schema, is_lenient=is_lenient)
        self._validator = SchemaValidator(compiler.compiled(), CoreConfig(title=title))
        self.changes_form = compiler.changes_form
        """Whether the model knows answers in another form than they travel in."""

    def restored(self, raw_json: bytes) -> object:
        """Return the answer in the model's form; raises pydantic's `ValidationError` when the schema refuses it."""
        return self._validator.validate_json(raw_json)


class _Compiler:
    def __init__(self, root: Mapping[str, object], *, is_lenient: bool) -> None:
        self._root = root
        self._is_lenient = is_lenient
        self.changes_form = False

    def compiled(self) -> core.CoreSchema:
        """Compile the root, with a definition for everything that a reference can name."""
        definitions = [self._definition("#", self._root)]
        for name, node in mapping(self._root, "$defs").items():
            definitions.append(self._definition(f"#/$defs/{_escaped(name)}", node))
        return core.definitions_schema(core.definition_reference_schema("#"), definitions)

    def _definition(self, reference: str, node: Any) -> core.CoreSchema:
        seen = {reference}
        while "$ref" in node and str(node["$ref"]) not in seen:
            # pydantic-core takes no reference for a definition, so its target is compiled once more.
            seen.add(str(node["$ref"]))
            node = resolve(node, self._root) or {}
        schema: Any = self._node(node)
        return {**schema, "ref": reference}

    def _node(self, node: Mapping[str, object]) -> core.CoreSchema:
        reading = node.reading if isinstance(node, WireNode) else _PLAIN
        if "$ref" in node:
            return core.definition_reference_schema(str(node["$ref"]))
        branches = node.get("anyOf")
        if isinstance(branches, list):
            schema = _union([(self._node(branch), _label(branch)) for branch in branches])
        elif "enum" in node or "const" in node:
            schema = self._listed(node, reading)
        else:
            schema = _union([(self._typed(node, name), name) for name in sorted(types_of(node))])
        if reading.shape == "plain":
            return schema
        self.changes_form = True
        if reading.shape == "json_text":
            return core.no_info_after_validator_function(_as_json_text, schema)
        as_dict = core.no_info_after_validator_function(_as_dict, schema)
        return core.no_info_before_validator_function(_as_entries, as_dict) if self._is_lenient else as_dict

    def _listed(self, node: Mapping[str, object], reading: Reading) -> core.CoreSchema:
        enum = node.get("enum")
        values = enum if isinstance(enum, list) else [node["const"]]
        self.changes_form = self.changes_form or bool(reading.labels)
        if not all(isinstance(value, str) for value in values):
            return core.no_info_plain_validator_function(_one_of(values, reading.labels))
        schema = core.literal_schema(values)
        labels = reading.labels
        return (
            core.no_info_after_validator_function(lambda value: labels.get(value, value), schema) if labels else schema
        )

    def _typed(self, node: Mapping[str, object], name: str) -> core.CoreSchema:
        if name == "object":
            return self._object(node)
        if name == "array":
            return core.list_schema(
                self._node(mapping(node, "items")),
                min_length=_size(node, "minItems"),
                max_length=_size(node, "maxItems"),
                strict=True,
            )
        return _SCALARS[name](node)

    def _object(self, node: Mapping[str, object]) -> core.CoreSchema:
        reading = node.reading if isinstance(node, WireNode) else _PLAIN
        self.changes_form = self.changes_form or bool(reading.names)
        parts: Mapping[str, Any] = mapping(node, "properties")
        fields = {
            reading.names.get(name, name): core.typed_dict_field(
                self._node(part),
                required=not (self._is_lenient and name in reading.defaulted),
                validation_alias=name if name in reading.names else None,
            )
            for name, part in parts.items()
        }
        # Kept, not dropped: whether the model ignores or forbids them is the model's to say.
        return core.typed_dict_schema(fields, strict=True, extra_behavior="allow" if self._is_lenient else "forbid")


def _union(choices: list[tuple[core.CoreSchema, str]]) -> core.CoreSchema:
    if len(choices) == 1:
        return choices[0][0]
    others = [choice for choice in choices if choice[0]["type"] != "none"]
    if len(others) < len(choices) and others:
        return core.nullable_schema(_union(others))
    # The first that fits, as in the schema: all are strict, so none can bend a value into its own.
    return core.union_schema([*choices], mode="left_to_right")


def _label(branch: Mapping[str, object]) -> str:
    """Name a branch for the place of an error."""
    reference = branch.get("$ref")
    return str(reference).rpartition("/")[2] if reference else "|".join(sorted(types_of(branch))) or "any of"


def _string(node: Mapping[str, object]) -> core.CoreSchema:
    schema = _text(node, node.get("pattern"))
    check = FORMATS.get(str(node.get("format")))
    return core.no_info_after_validator_function(_in_format(str(node["format"]), check), schema) if check else schema


def _text(node: Mapping[str, object], pattern: object) -> core.CoreSchema:
    lengths = {"min_length": _size(node, "minLength"), "max_length": _size(node, "maxLength"), "strict": True}
    if not isinstance(pattern, str):
        return core.str_schema(**lengths)  # type: ignore[arg-type] # whole numbers or None
    schema = core.str_schema(pattern=pattern, **lengths)  # type: ignore[arg-type] # as above
    try:
        SchemaValidator(schema)
    except SchemaError:
        # Rust's expressions lack what Python's have; the model's own check may use either.
        return core.str_schema(pattern=pattern, regex_engine="python-re", **lengths)  # type: ignore[arg-type] # as above
    return schema


def _integer(node: Mapping[str, object]) -> core.CoreSchema:
    whole = core.int_schema(
        strict=True,
        ge=_rounded(node, "minimum", math.ceil),
        gt=_rounded(node, "exclusiveMinimum", math.floor),
        le=_rounded(node, "maximum", math.floor),
        lt=_rounded(node, "exclusiveMaximum", math.ceil),
    )
    return _multiples(node, core.no_info_before_validator_function(_as_whole, whole))


def _number(node: Mapping[str, object]) -> core.CoreSchema:
    number = core.float_schema(
        strict=True,
        allow_inf_nan=False,
        ge=_bound(node, "minimum"),
        gt=_bound(node, "exclusiveMinimum"),
        le=_bound(node, "maximum"),
        lt=_bound(node, "exclusiveMaximum"),
    )
    return _multiples(node, number)


def _multiples(node: Mapping[str, object], schema: core.CoreSchema) -> core.CoreSchema:
    factor = _bound(node, "multipleOf")
    if factor is None:
        return schema
    exact = Fraction(repr(node["multipleOf"]))

    def check(value: float) -> float:
        # As they are written: 0.3 is a multiple of 0.1, although its binary fraction is not.
        if Fraction(repr(value)) % exact:
            raise PydanticKnownError("multiple_of", {"multiple_of": factor})
        return value

    return core.no_info_after_validator_function(check, schema)


_SCALARS: Mapping[str, Callable[[Mapping[str, object]], core.CoreSchema]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda _node: core.bool_schema(strict=True),
    "null": lambda _node: core.none_schema(),
}


def _one_of(values: list[object], labels: Mapping[str, str]) -> Callable[[object], object]:
    listed = {
        (json_type(value), value): labels.get(value, value) if isinstance(value, str) else value for value in values
    }
    expected = " or ".join(repr(value) for value in values)

    def check(value: object) -> object:
        if not isinstance(value, list | dict) and (json_type(value), value) in listed:
            return listed[json_type(value), value]
        raise PydanticKnownError("literal_error", {"expected": expected})

    return check


def _in_format(name: str, check: Callable[[str], bool]) -> Callable[[str], str]:
    def checked(value: str) -> str:
        if check(value):
            return value
        raise PydanticCustomError("format", "Input should be in the format {format}", {"format": name})

    return checked


def _as_whole(value: object) -> object:
    return int(value) if type(value) is float and value.is_integer() else value


def _as_json_text(value: object) -> str:
    return to_json(value).decode()


def _as_dict(entries: list[dict[str, object]]) -> dict[object, object]:
    restored: dict[object, object] = {}
    for entry in entries:
        key = entry["key"]
        if key in restored:
            # A dict can hold one of two values; which one is meant nobody knows.
            raise PydanticCustomError("repeated_key", "The key '{key}' is there twice among the entries", {"key": key})
        restored[key] = entry["value"]
    return restored


def _as_entries(value: object) -> object:
    return [{"key": key, "value": item} for key, item in value.items()] if isinstance(value, dict) else value


def _size(node: Mapping[str, object], keyword: str) -> int | None:
    size = node.get(keyword)
    return size if isinstance(size, int) else None


def _bound(node: Mapping[str, object], keyword: str) -> float | None:
    bound = node.get(keyword)
    return float(bound) if isinstance(bound, int | float) else None


def _rounded(node: Mapping[str, object], keyword: str, rounding: Callable[[float], int]) -> int | None:
    bound = node.get(keyword)
    return rounding(bound) if isinstance(bound, int | float) else None


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
