"""Numbers within the bounds that a schema sets, on its grid when it asks for multiples."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.standin.draw import Draw

# An open range is closed at this distance: made-up scores look like scores.
_SPAN = 10
_SHARE_STEPS = 2**53
_LARGEST = Fraction(sys.float_info.max)


def number_drawer(schema: dict[str, Any], *, whole: bool) -> Callable[[Draw], int | float] | None:
    """A function that draws a number the schema allows; None when it allows none."""
    step = _exact(schema["multipleOf"]) if "multipleOf" in schema else None
    if whole:
        step = Fraction(1) if step is None else Fraction(math.lcm(step.numerator, step.denominator), step.denominator)
    low, high, low_open, high_open = _bounds(schema)
    if step is not None:
        return _grid_drawer(step, _first(low, step, is_open=low_open), _last(high, step, is_open=high_open))
    return _range_drawer(low, high, low_open=low_open, high_open=high_open)


def allows(value: float, schema: dict[str, Any]) -> bool:
    """Whether the schema's bounds and grid contain this number."""
    exact = _exact(value)
    low, high, low_open, high_open = _bounds(schema)
    above = low is None or exact > low or (exact == low and not low_open)
    below = high is None or exact < high or (exact == high and not high_open)
    return above and below and ("multipleOf" not in schema or exact % _exact(schema["multipleOf"]) == 0)


def _bounds(schema: dict[str, Any]) -> tuple[Fraction | None, Fraction | None, bool, bool]:
    low, low_open = _tighter(schema, "minimum", "exclusiveMinimum", max)
    high, high_open = _tighter(schema, "maximum", "exclusiveMaximum", min)
    return low, high, low_open, high_open


def _tighter(
    schema: dict[str, Any],
    closed: str,
    exclusive: str,
    pick: Callable[[Fraction, Fraction], Fraction],
) -> tuple[Fraction | None, bool]:
    at, beyond = (_exact(schema[key]) if key in schema else None for key in (closed, exclusive))
    if beyond is None:
        return at, False
    if at is None or pick(at, beyond) == beyond:
        return beyond, True
    return at, False


def _exact(number: float) -> Fraction:
    # Through its text, so that 0.1 means a tenth and not the double nearest to it.
    return Fraction(str(number))


def _first(low: Fraction | None, step: Fraction, *, is_open: bool) -> int | None:
    if low is None:
        return None
    return math.floor(low / step) + 1 if is_open else math.ceil(low / step)


def _last(high: Fraction | None, step: Fraction, *, is_open: bool) -> int | None:
    if high is None:
        return None
    return math.ceil(high / step) - 1 if is_open else math.floor(high / step)


def _grid_drawer(step: Fraction, first: int | None, last: int | None) -> Callable[[Draw], int | float] | None:
    steps_in_span = max(1, int(_SPAN / step))
    if first is None:
        first = 0 if last is None or last >= 0 else last - steps_in_span
    if last is None:
        last = first + steps_in_span
    if first > last:
        return None
    lowest, count = first, last - first + 1

    def draw_multiple(draw: Draw) -> int | float:
        multiple = (lowest + count * int(draw.graded_share() * _SHARE_STEPS) // _SHARE_STEPS) * step
        return multiple.numerator if multiple.denominator == 1 else float(multiple)

    return draw_multiple


def _range_drawer(
    low: Fraction | None,
    high: Fraction | None,
    *,
    low_open: bool,
    high_open: bool,
) -> Callable[[Draw], float] | None:
    if low is None:
        low = Fraction(0) if high is None or high > 0 else max(high - _span_beside(high), -_LARGEST)
    if high is None:
        high = min(low + _span_beside(low), _LARGEST)
    least, most = float(low), float(high)
    if low_open:
        least = math.nextafter(least, math.inf)
    if high_open:
        most = math.nextafter(most, -math.inf)
    if least > most:
        return None

    def draw_number(draw: Draw) -> float:
        share = draw.graded_share()
        value = least * (1 - share) + most * share
        rounded = round(value, 1)
        # One decimal reads like a score; bounds closer than that keep the exact value.
        return rounded if least <= rounded <= most else min(max(value, least), most)

    return draw_number


def _span_beside(bound: Fraction) -> Fraction:
    # Relative for large numbers, beside which ten is lost in rounding.
    return max(Fraction(_SPAN), abs(bound) / _SPAN)
