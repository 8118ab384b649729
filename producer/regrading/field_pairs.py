"""What two results of one submission say differently, field by field. Pure.

Numbers have a distance; whatever else is equal or not. A field that its schema declares as a decimal is a number,
though JSON holds it as text: `10.00` is `10`, and above `9.5`. Of a list the number of entries is compared, and its
objects by their ids; where neither side has ids, its whole content.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from typing import TypeAlias

    from producer.batch import ResultRow

    DecimalsOf: TypeAlias = Callable[[str], Collection[str]]
    """Schema -> its fields that are decimals, as `decimal_fields` names them."""

_LABEL_LENGTH = 40
"""A longer text is prose: that it changed says something, from what to what does not."""
_BY_IDENTITY = object()
"""Placeholder for a list whose objects are compared one by one."""
_IN_BRACKETS = re.compile(r"\[.*?\]")
"""The entry of a list, in a field's path: the schema knows the list alone."""
_IDENTITIES = ("criterion_id", "error_id", "id", "name")
"""Fields that identify an object in a list, tried in this order."""


@dataclass(frozen=True, slots=True)
class FieldPair:
    """One field of one submission in both results. None means that one side lacks the field."""

    id: str
    field: str
    old: object
    new: object

    @property
    def is_changed(self) -> bool:
        """The two differ."""
        return self.old != self.new

    @property
    def difference(self) -> float | None:
        """New less old, for numbers."""
        if _is_number(self.old) and _is_number(self.new):
            return float(_exact(self.new) - _exact(self.old))
        return None

    @property
    def transition(self) -> tuple[str, str] | None:
        """From one short label to another, such as levels, or True and False; None for what is no label."""
        old, new = _label(self.old), _label(self.new)
        return None if old is None or new is None else (old, new)


def no_decimals(_schema: str) -> Collection[str]:
    """Of schemas that are not known here."""
    return ()


def fields_of(old: ResultRow, new: ResultRow, decimals_of: DecimalsOf = no_decimals) -> Iterator[FieldPair]:
    """Every field that either result has, in the order of the results."""
    decimals = {*decimals_of(old.schema), *decimals_of(new.schema)}
    before, after = (_numbers_read(dict(_flat(each.result)), decimals) for each in (old, new))
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) is _BY_IDENTITY or after.get(name) is _BY_IDENTITY:
            continue
        yield FieldPair(new.id, name, before.get(name), after.get(name))


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
