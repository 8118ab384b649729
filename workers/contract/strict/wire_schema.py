"""From a Pydantic model to the schema as it is sent, with notes on how an answer is read back.

Part of the contract: stdlib and pydantic only. What strict mode cannot hold but Pydantic can check (lengths,
lookaround, unusual formats) is left off the wire, told to the model in words, and enforced when the answer is decoded.
What travels in another form:

    dict[str, X]            a list of entries with a key and a value
    discriminated union     anyOf
    default                 a required field: every value is asked of the model
    Json[X]                 X itself
    Decimal                 a number
    unsafe name or value    a safe id, with its meaning in the description
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from workers.contract.schema_tree import json_type, mapping, resolve, types_of
from workers.contract.strict.formats import FORMATS
from workers.contract.strict.labels import meaning, safe_ids, unsafe_character
from workers.contract.strict.limits import SchemaGenerator, described, in_words
from workers.contract.strict.lint import BOUNDS, KEYWORDS, LENGTHS, is_portable, is_writable_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

_STRUCTURAL = frozenset(
    {
        *("allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"),
        *("prefixItems", "patternProperties", "propertyNames", "contains"),
    }
)
"""Keywords that carry meaning: never dropped in silence, so that the linter sees them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a value of one node is read back; the default is: as it came."""

    shape: Literal["plain", "entries", "json_text"] = "plain"
    """`entries` is a list that becomes a dict, `json_text` a value that becomes its JSON."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The model's name for each property that travels under another."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The model's value for each id that travels in its place."""
    defaulted: frozenset[str] = frozenset()
    """Properties, by the name that travels, that the model itself could do without."""


class WireNode(dict[str, object]):
    """One node of a wire schema: as a dict, what is sent; beside it, how an answer is read back."""

    reading = Reading()

    def read_as(self, **changes: object) -> WireNode:
        """Note how the node's values are read back."""
        self.reading = replace(self.reading, **changes)  # type: ignore[arg-type] # the fields of Reading
        return self


def build_wire_schema(model: type[BaseModel], *, takes_lengths: bool = False) -> WireNode:
    """Build the schema as it would be sent; what strict mode cannot hold is left in it, for the linter to find.

    A model whose `sends_equal_parts_once` is true has definitions that differ in nothing but their names sent once.
    """
    source = model.model_json_schema(schema_generator=SchemaGenerator)
    if getattr(model, "sends_equal_parts_once", False):
        source = _with_equal_parts_once(source)
    definitions = mapping(source, "$defs")
    source.pop("$defs", None)
    root = resolve(source, {"$defs": definitions}) or source
    build = _Builder(takes_lengths=takes_lengths)
    wire = build.node(root)
    if definitions:
        wire["$defs"] = {name: build.part(definition) for name, definition in definitions.items()}
    return wire


def _with_equal_parts_once(source: Mapping[str, object]) -> dict[str, object]:
    definitions = mapping(source, "$defs")
    first: dict[str, str] = {}
    same = {name: first.setdefault(_content(definition), name) for name, definition in definitions.items()}
    kept = {name: definition for name, definition in definitions.items() if same[name] == name}
    places = {f"#/$defs/{name}": f"#/$defs/{one}" for name, one in same.items()}
    return {key: _referring(value, places) for key, value in {**source, "$defs": kept}.items()}


def _content(definition: object) -> str:
    return json.dumps({**definition, "title": None} if isinstance(definition, dict) else definition, sort_keys=True)


def _referring(part: object, places: Mapping[str, str]) -> object:
    """The same with every reference to the place that `places` names for it."""
    if isinstance(part, dict):
        return {
            key: places.get(value, value) if key == "$ref" and isinstance(value, str) else _referring(value, places)
            for key, value in part.items()
        }
    return [_referring(each, places) for each in part] if isinstance(part, list) else part


@dataclass(frozen=True, slots=True)
class _Builder:
    takes_lengths: bool

    def part(self, source: object) -> object:
        """Build a node, or leave what is none as it is, for the linter to find."""
        return self.node(source) if isinstance(source, dict) else source

    def node(self, source: Mapping[str, object]) -> WireNode:
        """Build one node of Pydantic's schema as strict mode wants it."""
        if "$ref" in source:
            return _reference(source)
        if "contentSchema" in source:
            return self._json_text(source)
        if "discriminator" in source and "oneOf" in source:
            branches = source["oneOf"]
            source = {**{key: value for key, value in source.items() if key != "oneOf"}, "anyOf": branches}
        known = KEYWORDS | _STRUCTURAL | LENGTHS
        node = WireNode({key: value for key, value in source.items() if key in known})
        left_out = self._left_out(node)
        described(node, in_words(source, left_out))
        return self._entries(source, node) or self._completed(source, node)

    def _json_text(self, source: Mapping[str, object]) -> WireNode:
        content = mapping(source, "contentSchema")
        if "description" in source and "description" not in content:
            content = {**content, "description": source["description"]}
        inner = self.node(content)
        # The content may itself be read in a way of its own, so the text is a node around it.
        return WireNode({"anyOf": [inner]}).read_as(shape="json_text")

    def _left_out(self, node: WireNode) -> dict[str, object]:
        if "enum" in node or "const" in node:
            # The values themselves say it, and the provider checks each of them against what is beside it.
            for key in (BOUNDS | LENGTHS | {"pattern", "format"}) & node.keys():
                del node[key]
            return {}
        types = types_of(node)
        is_text = "string" in types
        left_out = [
            *(("pattern",) if "pattern" in node and not (is_text and is_portable(node["pattern"])) else ()),
            *(("format",) if "format" in node and not (is_text and node["format"] in FORMATS) else ()),
            *(key for key in BOUNDS & node.keys() if not _can_bound(node[key], types)),
            *(LENGTHS & node.keys() if not (self.takes_lengths and is_text) else ()),
        ]
        return {key: node.pop(key) for key in left_out}

    def _completed(self, source: Mapping[str, object], node: WireNode) -> WireNode:
        """Add what strict mode asks for at every level, and build what lies below."""
        if "enum" in node or "const" in node:
            _list_values(node)
        if isinstance(node.get("properties"), dict):
            self._add_properties(source, node)
        if "items" in node:
            node["items"] = self.part(node["items"])
        branches = node.get("anyOf")
        if isinstance(branches, list):
            node["anyOf"] = [self.part(branch) for branch in branches]
        return node

    def _add_properties(self, source: Mapping[str, object], node: WireNode) -> None:
        names = {str(name): part for name, part in mapping(node, "properties").items()}
        required = source.get("required")
        needed = set(required) if isinstance(required, list) else set()
        ids = safe_ids(names)
        properties: dict[str, object] = {}
        for name, part in names.items():
            built = self.part(part)
            if ids[name] != name and isinstance(built, WireNode):
                built = _explained(built, [meaning(ids[name], name)])
            properties[ids[name]] = built
        node["properties"] = properties
        node["required"] = list(properties)
        node.setdefault("additionalProperties", False)
        node.read_as(
            names={ids[name]: name for name in names if ids[name] != name},
            defaulted=frozenset(ids[name] for name in names if name not in needed),
        )

    def _entries(self, source: Mapping[str, object], node: WireNode) -> WireNode | None:
        """Build the list of entries that carries a `dict[str, X]`, or None when the node is something else."""
        pair = None if node.get("properties") else self._key_and_value(source)
        if pair is None:
            return None
        key, value = pair
        entry = WireNode(
            {
                "type": "object",
                "properties": {"key": key, "value": value},
                "required": ["key", "value"],
                "additionalProperties": False,
            }
        )
        entries = WireNode({"type": "array", "items": entry}).read_as(shape="entries")
        if "description" in node:
            entries["description"] = node["description"]
        described(entries, ["Each key once."])
        for theirs, ours in (("minProperties", "minItems"), ("maxProperties", "maxItems")):
            if theirs in source:
                entries[ours] = source[theirs]
        return entries

    def _key_and_value(self, source: Mapping[str, object]) -> tuple[WireNode, WireNode] | None:
        values = source.get("additionalProperties")
        if isinstance(values, dict) and values:
            return self._key(source.get("propertyNames")), self.node(values)
        by_pattern = source.get("patternProperties")
        if isinstance(by_pattern, dict) and len(by_pattern) == 1:
            [(pattern, values)] = by_pattern.items()
            if isinstance(values, dict) and values:
                return self.node({"type": "string", "pattern": pattern}), self.node(values)
        return None

    def _key(self, names: object) -> WireNode:
        if isinstance(names, dict):
            # Pydantic leaves the type out: a name is text, whatever its format or length.
            key = self.node(names if {"$ref", "type", "enum", "const"} & names.keys() else {"type": "string", **names})
            if "$ref" in key or types_of(key) == {"string"}:
                return key
        return WireNode({"type": "string"})


def _reference(source: Mapping[str, object]) -> WireNode:
    # A reference may have no siblings; a description is worth a wrapper.
    reference = WireNode({"$ref": source["$ref"]})
    if "description" in source:
        return WireNode({"anyOf": [reference], "description": source["description"]})
    return reference


def _can_bound(bound: object, types: set[str]) -> bool:
    return bool(types & {"number", "integer"}) and is_writable_number(bound)


def _list_values(node: WireNode) -> None:
    """Name each value once, by a safe id where a decoder needs one, and the types of all."""
    values = node.get("enum")
    if isinstance(values, list):
        # 1, True, 1.0 and "1" are equal to Python or look alike, and are four values.
        values = list({(type(value).__name__, repr(value)): value for value in values}.values())
        node["enum"] = values
    else:
        values = [node["const"]] if "const" in node else []
    if "type" not in node:
        node["type"] = _types_of_values(values)
    if any(isinstance(value, str) and unsafe_character(value) for value in values):
        _list_labels(node, values)


def _list_labels(node: WireNode, values: list[object]) -> None:
    ids = safe_ids(value for value in values if isinstance(value, str))
    travelling = [ids[value] if isinstance(value, str) else value for value in values]
    if "enum" in node:
        node["enum"] = travelling
    if "const" in node:
        node["const"] = travelling[0]
    changed = {safe_id: label for label, safe_id in ids.items() if safe_id != label}
    described(node, [meaning(safe_id, label) for safe_id, label in changed.items()])
    node.read_as(labels=changed)


def _types_of_values(values: list[object]) -> str | list[str]:
    names = sorted({json_type(value) for value in values})
    return names[0] if len(names) == 1 else list(names)


def _explained(node: WireNode, sentences: list[str]) -> WireNode:
    if "$ref" in node:
        return WireNode(described({"anyOf": [node]}, sentences))
    described(node, sentences)
    return node
