"""How long the slow lanes take: fixed times, ranges and distributions, one after another as a script says.

420        exactly so many seconds
60-600     anything between, evenly
420~3600   half of them within the first number, nine of ten within the second (log-normal)
never      not within any window
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DELAY = re.compile(rf"(?P<first>{_NUMBER})(?:(?P<kind>[-~])(?P<second>{_NUMBER}))?")
_NINTH_DECILE = 1.2815515655446004
"""Of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Delay:
    """One entry of a script; `str` gives what `parse_delay` reads."""

    text: str
    first: float
    second: float
    is_range: bool

    def __str__(self) -> str:
        return self.text

    def draw(self, random: Random) -> float:
        """Seconds; infinite for `never`."""
        if self.first == self.second:
            return self.first
        if self.is_range:
            return random.uniform(self.first, self.second)
        spread = math.log(self.second / self.first) / _NINTH_DECILE
        return self.first * math.exp(random.gauss(0.0, spread))


def parse_delay(value: object) -> Delay:
    """A delay from its text, or from a number of seconds; ValueError says what one is."""
    text = f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    if text == "never":
        return Delay(text, math.inf, math.inf, is_range=False)
    match = _DELAY.fullmatch(text)
    if match is None:
        raise ValueError(f"a time is A, A-B or A~B seconds or 'never', not {value!r}")
    first, second = float(match["first"]), float(match["second"] or match["first"])
    if first > second or (match["kind"] == "~" and first == 0):
        raise ValueError(f"of a time, the first number is the smaller one, not {value!r}")
    return Delay(text, first, second, is_range=match["kind"] == "-")


def read_delays(value: object) -> tuple[Delay, ...]:
    """A script from one delay or a list of them; the last one repeats."""
    parts = value if isinstance(value, list | tuple) else [value]
    if not parts:
        raise ValueError("a script of times has at least one")
    return tuple(part if isinstance(part, Delay) else parse_delay(part) for part in parts)


def delay_of(script: tuple[Delay, ...], number: int) -> Delay:
    """The n-th of a script, from 0."""
    return script[min(number, len(script) - 1)]
