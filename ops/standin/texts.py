"""What the stand-in writes into string fields: short sentences that say they are made up, and samples per format."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ops.standin.draw import Draw

_SENTENCES = (
    "Stand-in feedback: the structure is clear.",
    "Stand-in feedback: check the empty input.",
    "Stand-in feedback: one edge case is missing.",
    "Stand-in feedback: the names read well.",
    "Stand-in feedback: the loop ends too early.",
    "Stand-in feedback: explain the last step.",
    "Stand-in feedback: correct, but hard to follow.",
    "Stand-in feedback: a test would show the fault.",
)

REFUSAL_TEXT = "I'm sorry, but I can't assist with that request. (stand-in)"


def sentence(draw: Draw) -> str:
    """A short sentence of feedback that names the stand-in."""
    return draw.choice(_SENTENCES)


def _digits(draw: Draw, *, low: int, high: int) -> str:
    return f"{low + draw.index(high - low + 1):02d}"


def _date(draw: Draw) -> str:
    return f"2026-{_digits(draw, low=1, high=12)}-{_digits(draw, low=1, high=28)}"


def _time(draw: Draw) -> str:
    clock = ":".join((_digits(draw, low=0, high=23), _digits(draw, low=0, high=59), _digits(draw, low=0, high=59)))
    return f"{clock}Z"


def _uuid(draw: Draw) -> str:
    digits = "".join(draw.choice("0123456789abcdef") for _ in range(30))
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:30]}"


FORMAT_TEXTS: Mapping[str, Callable[[Draw], str]] = {
    "date-time": lambda draw: f"{_date(draw)}T{_time(draw)}",
    "time": _time,
    "date": _date,
    "duration": lambda draw: f"PT{1 + draw.index(59)}M",
    "email": lambda draw: f"stand-in-{draw.index(1000)}@example.org",
    "hostname": lambda draw: f"stand-in-{draw.index(1000)}.example.org",
    "ipv4": lambda draw: f"192.0.2.{draw.index(256)}",
    "ipv6": lambda draw: f"2001:db8::{1 + draw.index(65535):x}",
    "uuid": _uuid,
}
