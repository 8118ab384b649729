"""A few answers that satisfy a wire schema, made from the schema alone.

Part of the contract: stdlib only. They show whether a model takes its own answers at all; text is made up, so what a
validator thinks of it says nothing. Variation n takes the n-th branch of every union and the n-th value of every enum.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from workers.contract.schema_tree import mapping, resolve, types_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIATIONS = 4
_DEEPEST = 24
"""Ten levels are allowed; what is deeper by references ends in the branches that need the least."""
_FORMATS: Mapping[str, str] = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:30:00Z",
    "time": "12:30:00Z",
    "duration": "PT1H",
    "email": "someone@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "7d44a1b0-6f5c-4f0e-9a55-0d8f0a6c1e11",
}
_TEXTS = (
    *("Some text.", "a", "A", "1", "0", "-1", "1.5", "abc", "ABC", "Abc", "123", "1234", "12345", "a1", "A1", "a-b"),
    *(*_FORMATS.values(), "2026-01-31T12:30:00", "12:30:00", "https://example.org/", "true", "yes", "10", "99", "100"),
)
"""Tried in turn for a pattern; the first stays when none fits."""


def samples(schema: Mapping[str, object]) -> Iterator[object]:
    """Make some different answers; the first has the fewest parts."""
    for variation in range(VARIATIONS):
        yield _Sampler(schema, variation).value(schema, _DEEPEST)


class _Sampler:
    def __init__(self, root: Mapping[str, object], variation: int) -> None:
        self._root = root
        self._variation = variation

    def value(self, node: Mapping[str, object], room: int) -> object:
        if "$ref" in node:
            return self.value(resolve(node, self._root) or {}, room - 1)
        branches = node.get("anyOf")
        if isinstance(branches, list):
            return self.value(self._branch(branches, room), room - 1)
        values = node.get("enum") or ([node["const"]] if "const" in node else None)
        if isinstance(values, list):
            return values[self._variation % len(values)]
        types = sorted(types_of(node)) or ["null"]
        return self._typed(node, types[self._variation % len(types)], room)

    def _branch(self, branches: list[Mapping[str, object]], room: int) -> Mapping[str, object]:
        if room > 0:
            return branches[self._variation % len(branches)]
        simple = [branch for branch in branches if types_of(branch) & _SIMPLE]
        return simple[0] if simple else branches[-1]

    def _typed(self, node: Mapping[str, object], name: str, room: int) -> object:
        if name == "object":
            parts: Mapping[str, Any] = mapping(node, "properties")
            return {key: self.value(part, room - 1) for key, part in parts.items()}
        if name == "array":
            return [self.value(mapping(node, "items"), room - 1) for _ in range(self._count(node, room))]
        if name == "string":
            return _text(node)
        if name in {"number", "integer"}:
            return _number(node, whole=name == "integer")
        return self._variation % 2 == 0 if name == "boolean" else None

    def _count(self, node: Mapping[str, object], room: int) -> int:
        least = node.get("minItems", 0)
        most = node.get("maxItems", math.inf)
        count = least if isinstance(least, int) else 0
        wanted = 1 if self._variation and room > 0 else 0
        return max(count, wanted if isinstance(most, int | float) and most >= wanted else 0)


_SIMPLE = frozenset({"null", "string", "number", "integer", "boolean", "array"})


def _text(node: Mapping[str, object]) -> str:
    if isinstance(form := node.get("format"), str) and form in _FORMATS:
        return _FORMATS[form]
    pattern = node.get("pattern")
    if not isinstance(pattern, str):
        return _TEXTS[0]
    return next((text for text in _TEXTS if re.search(pattern, text)), _TEXTS[0])


def _number(node: Mapping[str, object], *, whole: bool) -> float:
    """Find a number within the bounds: zero where it fits, else one near a bound."""
    step = _exact(node.get("multipleOf")) or Fraction(1)
    step = Fraction(step.numerator) if whole else step
    for candidate in _candidates(node, step):
        if _within(candidate, node):
            return int(candidate) if candidate.denominator == 1 else float(candidate)
    return 0


def _candidates(node: Mapping[str, object], step: Fraction) -> Iterator[Fraction]:
    yield Fraction(0)
    for keyword in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        bound = _exact(node.get(keyword))
        if bound is not None:
            near = Fraction(math.floor(bound / step)) * step
            yield from (near, near + step, near - step)
    low, high = _exact(node.get("exclusiveMinimum")), _exact(node.get("exclusiveMaximum"))
    if low is not None and high is not None:
        yield (low + high) / 2


def _within(value: Fraction, node: Mapping[str, object]) -> bool:
    low, above = _exact(node.get("minimum")), _exact(node.get("exclusiveMinimum"))
    high, below = _exact(node.get("maximum")), _exact(node.get("exclusiveMaximum"))
    return (
        (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
        and (below is None or value < below)
    )


def _exact(bound: object) -> Fraction | None:
    return Fraction(repr(bound)) if isinstance(bound, int | float) else None
