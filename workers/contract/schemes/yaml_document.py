"""Grading documents in YAML, read as JSON would mean them: `no` is a text, `0:30` is one, a date is one.

YAML 1.1 turns `yes`, `1:30` or `2026-11-27` into something else, so that a level named `No` would become false. Here
only numbers, `true`, `false` and `null` are read as such. *Source*: yaml.org/spec/1.2.2, 10.3 (core schema).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from yaml import Node

YAML_SUFFIXES = frozenset({".yaml", ".yml"})
_MOST_NODES = 100_000
"""With every alias written out: ten lines of aliases of aliases are a billion."""
_MOST_DEPTH = 40
_SCALARS = {
    "bool": r"true|false",
    "null": r"null|~|",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
}


def parse_yaml(text: str, *, where: str) -> object:
    """The one document of the text, of dicts, lists, texts, numbers, truths and None. `InvalidInput` with its line."""
    import yaml  # noqa: PLC0415 - documents in JSON need none of it

    loader = yaml.SafeLoader(text)
    loader.yaml_implicit_resolvers = {}
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _refuse_unbounded(root, where)
        return _value(root, where)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"is not valid YAML ({error.problem})", where=f"{where} line {line}") from None
    except yaml.YAMLError:
        raise InvalidInput("is not valid YAML", where=where) from None
    except RecursionError:
        raise InvalidInput("is nested too deep", where=where) from None
    finally:
        loader.dispose()


def _refuse_unbounded(root: Node, where: str) -> None:
    sizes: dict[int, int] = {}

    def size(node: Node, depth: int) -> int:
        if depth > _MOST_DEPTH:
            raise InvalidInput("is nested too deep, or an alias refers to itself", where=where)
        if id(node) not in sizes:
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in _children(node))
        if sizes[id(node)] > _MOST_NODES:
            raise InvalidInput("is too large with its aliases written out", where=where)
        return sizes[id(node)]

    size(root, 0)


def _children(node: Any) -> list[Node]:
    if not isinstance(node.value, list):
        return []
    return [child for each in node.value for child in (each if isinstance(each, tuple) else (each,))]


def _value(node: Any, where: str) -> object:
    if node.id == "mapping":
        return _mapping(node, where)
    if node.id == "sequence":
        return [_value(child, where) for child in node.value]
    return _scalar(node.value) if node.style is None else node.value


def _mapping(node: Any, where: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in node.value:
        line = f"{where} line {key.start_mark.line + 1}"
        if key.id != "scalar":
            raise InvalidInput("a key is not a text", where=line)
        if key.value in found:
            raise InvalidInput(f"the key {key.value!r} appears twice; rename one", where=line)
        found[key.value] = _value(value, where)
    return found


def _scalar(text: str) -> object:
    kind = next((kind for kind, pattern in _SCALARS.items() if re.fullmatch(pattern, text)), "text")
    if kind == "bool":
        return text == "true"
    if kind == "null":
        return None
    if kind == "int":
        return int(text) if len(text) < 300 else text  # noqa: PLR2004 - longer is no number of points
    return float(text) if kind == "float" else text
