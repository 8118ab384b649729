"""Reading a JSON schema: the parts of a node, what a reference names, the types it allows.

Part of the contract: stdlib only. Odd content is read as absent and raises nothing; only endless nesting does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def walk(node: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the node and every schema below it, definitions included; references are not followed."""
    yield node
    for _, child in children(node):
        yield from walk(child)


def children(node: Mapping[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """Each schema directly inside a node, with the step of the path that leads to it."""
    for step, part in parts(node):
        if isinstance(part, dict):
            yield step, part


def parts(node: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Every value in the place of a schema, whatever it is."""
    for keyword in ("properties", "$defs"):
        for name, part in mapping(node, keyword).items():
            yield f"{keyword}/{name}", part
    if "items" in node:
        yield "items", node["items"]
    branches = node.get("anyOf")
    for index, branch in enumerate(branches if isinstance(branches, list) else ()):
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
    target = mapping(root, "$defs").get(name)
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


def mapping(node: Mapping[str, object], keyword: str) -> dict[str, object]:
    """Read the value of a keyword as an object; empty when it is none."""
    value = node.get(keyword)
    return value if isinstance(value, dict) else {}
