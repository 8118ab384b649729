"""What is written back of one item: its points as the chosen standing says them, and what identifies their student."""

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


@dataclass(frozen=True, slots=True)
class Score:
    """Points and the most that there are, always on one scale. `maximum` is None where nobody says it."""

    points: Decimal
    maximum: Decimal | None = None
    own: Score | None = None
    """As the result says it, when these points are scaled."""

    def scaled(self, to: Decimal) -> Score:
        """Out of `to`, the points to the hundredth. Raises `InvalidInput` when the present maximum is unknown."""
        if not self.maximum:
            raise InvalidInput("--scale-to needs the present maximum; give --out-of, such as --out-of 100")
        points = (self.points * to / self.maximum).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
        return Score(points, to, own=self.own or self)

    @property
    def shown(self) -> str:
        """`18 of 20`; `90 of 100 (18 of 20)` when scaled to another maximum."""
        text = written(self.points) if self.maximum is None else f"{written(self.points)} of {written(self.maximum)}"
        return text if self.own is None or self.own.maximum == self.maximum else f"{text} ({self.own.shown})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """One item. `score` is None when there is nothing to write, and `why_none` says why."""

    id: str
    score: Score | None = None
    why_none: str = ""
    band: str = ""
    result: Mapping[str, object] | None = field(default=None, repr=False)
    flags: tuple[Flag, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)
    is_standin: bool = False
    criteria: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Id -> name of the rubric's criteria; empty without a rubric."""

    @property
    def points(self) -> Decimal | None:
        """On the scale on which they are written."""
        return None if self.score is None else self.score.points

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


def score_of(result: object, *, out_of: Decimal | None = None, scale_to: Decimal | None = None) -> Score | None:
    """The points that a result gives, out of `out_of` or what the result says, scaled where `scale_to` is given.

    None when it gives none. Raises `InvalidInput` when there is something to scale and the maximum is unknown.
    """
    points = points_of(result, out_of=out_of)
    if points is None:
        return None
    highest = _number(result.get("max_points")) if isinstance(result, dict) else None
    score = Score(points, out_of or highest)
    return score if scale_to is None else score.scaled(scale_to)


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
