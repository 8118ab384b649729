"""Drift: what two gradings of the same submissions say differently, field by field. Pure; reads rows, stores nothing.

Fields are compared where both batches have a result. Numbers have a distance; whatever else is equal or not. A field
that its schema declares as a decimal is a number, though JSON holds it as text: `10.00` is `10`, and above `9.5`. Of a
list the number of entries is compared, and its objects by their ids; where neither side has ids, its whole content.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from producer.batch import ResultRow

MOST_TRANSITIONS = 3
"""The commonest moves from one label to another; more would not be read."""
_LABEL_LENGTH = 40
"""A longer text is prose: that it changed says something, from what to what does not."""
_BY_IDENTITY = object()
"""Placeholder for a list whose objects are compared one by one."""
_IN_BRACKETS = re.compile(r"\[.*?\]")
"""The entry of a list, in a field's path: the schema knows the list alone."""
_IDENTITIES = ("criterion_id", "error_id", "id", "name")
"""Fields that identify an object in a list, tried in this order."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of one submission that differs. None means that one side lacks the field."""

    id: str
    field: str
    old: object
    new: object

    @property
    def difference(self) -> float | None:
        """New less old, for numbers."""
        if _is_number(self.old) and _is_number(self.new):
            return float(_exact(self.new) - _exact(self.old))
        return None


@dataclass(slots=True)
class FieldDrift:
    """What one field did over all submissions compared."""

    name: str
    compared: int = 0
    changes: list[FieldChange] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """Submissions in which it differs."""
        return len(self.changes)

    @property
    def mean_difference(self) -> float | None:
        """Over all compared, the unchanged counted as 0; None for what is no number."""
        found = self._differences()
        return sum(found) / self.compared if found and self.compared else None

    @property
    def mean_size(self) -> float | None:
        """Mean size of the differences among the changed, whatever their sign."""
        found = self._differences()
        return sum(map(abs, found)) / len(found) if found else None

    @property
    def largest(self) -> FieldChange | None:
        """The change that moved furthest."""
        moved = [change for change in self.changes if change.difference is not None]
        return max(moved, key=lambda change: abs(change.difference or 0.0), default=None)

    @property
    def transitions(self) -> list[tuple[str, str, int]]:
        """The commonest moves between short labels, such as levels, or True and False: (from, to, how often)."""
        moves: Counter[tuple[str, str]] = Counter()
        for change in self.changes:
            old, new = _label(change.old), _label(change.new)
            if old is not None and new is not None:
                moves[old, new] += 1
        return [(old, new, count) for (old, new), count in moves.most_common(MOST_TRANSITIONS)]

    @property
    def numbers(self) -> list[float]:
        """Every difference where both sides have a number, the unchanged as 0; empty for what is no number."""
        moved = self._differences()
        return [*moved, *[0.0] * (self.compared - self.changed)] if moved else []

    @property
    def has_labels(self) -> bool:
        """Its changes are between short labels, such as levels, or True and False."""
        return bool(self.transitions)

    def _differences(self) -> list[float]:
        return [change.difference for change in self.changes if change.difference is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Two batches side by side."""

    compared: int
    """Submissions with a result in both."""
    unchanged: int
    only_old: int
    """With a result in the old batch alone: failed, unfinished or missing in the new one."""
    only_new: int
    fields: tuple[FieldDrift, ...]
    has_standin: bool
    """Part of the grades compared are not real."""

    @property
    def changes(self) -> Iterator[FieldChange]:
        """Every difference, field by field."""
        return chain.from_iterable(field.changes for field in self.fields)


def compare(
    old_rows: Iterable[ResultRow],
    new_rows: Iterable[ResultRow],
    *,
    decimals_of: Callable[[str], Collection[str]] = lambda _schema: (),
) -> Drift:
    """Compare by the submissions' ids. Order of rows does not matter; the old batch's results are held in memory.

    `decimals_of` names the fields of a schema that are decimals, as `decimal_fields` does.
    """
    old = {row.id: row for row in old_rows if row.result is not None}
    seen: set[str] = set()
    only_new = unchanged = 0
    has_standin = any(row.is_standin for row in old.values())
    fields: dict[str, FieldDrift] = {}
    for row in new_rows:
        if row.result is None:
            continue
        has_standin = has_standin or row.is_standin
        before = old.get(row.id)
        if before is None:
            only_new += 1
            continue
        seen.add(row.id)
        decimals = {*decimals_of(before.schema), *decimals_of(row.schema)}
        unchanged += not _compare_one(row.id, before.result, row.result, fields, decimals)
    return Drift(
        compared=len(seen),
        unchanged=unchanged,
        only_old=len(old) - len(seen),
        only_new=only_new,
        fields=tuple(fields.values()),
        has_standin=has_standin,
    )


def _compare_one(
    identity: str, old: object, new: object, fields: dict[str, FieldDrift], decimals: Collection[str]
) -> bool:
    """Note what differs; true when anything does."""
    before, after = _numbers_read(dict(_flat(old)), decimals), _numbers_read(dict(_flat(new)), decimals)
    differs = False
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) is _BY_IDENTITY or after.get(name) is _BY_IDENTITY:
            continue
        drift = fields.setdefault(name, FieldDrift(name))
        drift.compared += 1
        change = FieldChange(identity, name, before.get(name), after.get(name))
        if change.old != change.new:
            drift.changes.append(change)
            differs = True
    return differs


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Path -> plain value. `criteria[style].points` for objects in a list that have an id."""
    match value:
        case dict():
            for key, part in value.items():
                yield from _flat(part, f"{name}.{key}" if name else str(key))
        case list():
            yield from _flat_list(value, name)
        case _:
            yield name or "result", value


def _flat_list(parts: list[object], name: str) -> Iterator[tuple[str, object]]:
    identity = _identity_of(parts)
    yield f"{name} (number)", len(parts)
    yield f"{name} (content)", repr(parts) if identity is None else _BY_IDENTITY
    if identity is None:
        return
    for part in parts:
        content: Mapping[str, object] = part  # type: ignore[assignment] # _identity_of saw that it is an object
        rest = {key: value for key, value in content.items() if key != identity}
        yield from _flat(rest, f"{name}[{content[identity]}]")


def _identity_of(parts: list[object]) -> str | None:
    if not parts or not all(isinstance(part, dict) for part in parts):
        return None
    for key in _IDENTITIES:
        found = [part.get(key) for part in parts if isinstance(part, dict)]
        if all(isinstance(each, str) for each in found) and len(set(found)) == len(found):
            return key
    return None


def _label(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and len(value) <= _LABEL_LENGTH else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value)


def _exact(value: object) -> Decimal:
    """As it was written, so that 0.3 less 0.1 is 0.2."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _numbers_read(flat: dict[str, object], decimals: Collection[str]) -> dict[str, object]:
    """The same fields, with texts as numbers where the schema says that they are."""
    if decimals:
        for name, value in flat.items():
            if isinstance(value, str) and _IN_BRACKETS.sub("", name) in decimals:
                flat[name] = _finite_decimal(value)
    return flat


def _finite_decimal(text: str) -> Decimal | str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return number if number.is_finite() else text
