"""How long a server asks us to wait, read from headers and message. Pure; the clock is passed in.

*Source*: RFC 9110 section 10.2.3 (Retry-After); OpenAI, "Rate limits" and "Error codes" (read November 2026).
"""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_WAIT_SECONDS = 86_400.0
"""A daily limit's reset is the longest honest wait; anything longer is a server's mistake."""

_UNIT_SECONDS: Mapping[str, float] = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_NUMBER = r"\d{1,20}(?:\.\d{0,20})?"
_PART = re.compile(rf"({_NUMBER})(ms|us|µs|ns|h|m|s)")
_DURATION = rf"(?:{_NUMBER}(?:ms|us|µs|ns|h|m|s))+"
_WAIT_IN_WORDS = re.compile(
    rf"(?:try again|retry)\s+(?:in|after)\s+(?:({_DURATION})\b|({_NUMBER})\s*seconds?)", re.IGNORECASE
)


def server_wait_seconds(
    headers: Mapping[str, str],
    *,
    message: str = "",
    own_seconds: object = None,
    now: float,
    is_limited: bool = True,
) -> float | None:
    """Read the wait a server asks for, in 0 to `MAX_WAIT_SECONDS`; None when it asks for none.

    In this order: `retry-after-ms`, `retry-after` (seconds or a date), a number the exception carries, the message,
    the reset of the bucket that is empty (when a limit was the trouble). `now` is seconds since the epoch. What cannot
    be read is passed over.
    """
    candidates = (
        _number(headers.get("retry-after-ms"), scale=1e-3),
        _number(headers.get("retry-after")),
        _until_date(headers.get("retry-after"), now),
        float(own_seconds) if isinstance(own_seconds, int | float) and not isinstance(own_seconds, bool) else None,
        _in_words(message),
        _empty_bucket_reset(headers) if is_limited else None,
    )
    return next((_clamped(wait) for wait in candidates if wait is not None and math.isfinite(wait)), None)


def duration_seconds(text: object) -> float | None:
    """Read a Go duration (`6m0s`, `1.5s`, `12ms`); a bare number is seconds. None when it is neither."""
    if not isinstance(text, str):
        return None
    text = text.strip()
    if re.fullmatch(_DURATION, text):
        return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))
    return _number(text)


def _number(text: object, scale: float = 1.0) -> float | None:
    try:
        number = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        return None
    return number * scale if math.isfinite(number) else None


def _until_date(text: object, now: float) -> float | None:
    if not isinstance(text, str) or not any(character.isalpha() for character in text):
        return None
    try:
        return parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _in_words(message: str) -> float | None:
    found = _WAIT_IN_WORDS.search(message)
    return duration_seconds(found[1] or found[2]) if found else None


def _empty_bucket_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the fuller of the empty buckets is full again: the server's own upper bound."""
    resets = [
        duration_seconds(headers.get(f"x-ratelimit-reset-{bucket}"))
        for bucket in ("requests", "tokens")
        if _number(headers.get(f"x-ratelimit-remaining-{bucket}")) == 0
    ]
    return max((reset for reset in resets if reset is not None), default=None)


def _clamped(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_WAIT_SECONDS)
