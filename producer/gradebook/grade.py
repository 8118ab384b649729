"""What is written back of one item: its points as the chosen standing says them, and what tells whose they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from producer.inputs.courses.roster import display_name
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.contract.flag import Flag

_POINTS = ("total_points", "score", "points", "grade")
_DEDUCTION = "total_deduction"


class Standing(StrEnum):
    """Which grades are written: what students may see, what a person made official, or what the model said too."""

    RELEASED = "released"
    APPROVED = "approved"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """One item. `points` is None when there is nothing to write, and `why_none` says why."""

    id: str
    points: Decimal | None = None
    why_none: str = ""
    band: str = ""
    result: Mapping[str, object] | None = field(default=None, repr=False)
    flags: tuple[Flag, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)
    is_standin: bool = False

    @property
    def name(self) -> str:
        """As the course system or the roster says it; empty when neither does."""
        return display_name(self.metadata)

    @property
    def shown(self) -> str:
        """Name and id, for messages."""
        return f"{self.name} ({self.id})" if self.name and self.name != self.id else self.id


def points_of(result: object, *, out_of: Decimal | None) -> Decimal | None:
    """The points that a result gives; of a deduction, what is left of `out_of`. None when it gives none."""
    if not isinstance(result, dict):
        return None
    for name in _POINTS:
        if (found := _number(result.get(name))) is not None:
            return found
    deduction = _number(result.get(_DEDUCTION))
    return None if deduction is None or out_of is None else max(Decimal(0), out_of - deduction)


def scaled(points: Decimal, result: object, *, out_of: Decimal | None, to: Decimal | None) -> Decimal:
    """The points out of `to`, to the hundredth, for another maximum than the result's own.

    Raises `InvalidInput` when the maximum is unknown.
    """
    if to is None:
        return points
    highest = _number(result.get("max_points")) if isinstance(result, dict) else None
    highest = out_of or highest
    if not highest:
        raise InvalidInput("--scale-to needs the present maximum; give --out-of, such as --out-of 100")
    return (points * to / highest).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def needs_out_of(result: object) -> bool:
    """Whether the result says what is deducted and not from how much."""
    return isinstance(result, dict) and _DEDUCTION in result and not any(name in result for name in _POINTS)


def written(points: Decimal) -> str:
    """With a decimal point and no zeros at the end, never in powers of ten."""
    text = f"{points:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
