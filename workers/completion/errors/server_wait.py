"""How long a server asks us to wait, read from headers and message. Pure; the clock is passed in.

*Source*: RFC 9110 section 10.2.3 (Retry-After); OpenAI, "Rate limits" and "Error codes" (read November 2026).
"""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_WAIT_SECONDS = 86_400.0
"""A daily limit's reset is the longest honest wait. Anything longer is a mistake, an epoch or a date years away, and
counts as not said: the next source decides."""
MAX_OUTAGE_WAIT_SECONDS = 600.0
"""The longest wait accepted for a failure of the server. How long an outage lasts is a guess, unlike a limit's reset; a
call every ten minutes finds its end."""

_UNIT_SECONDS: Mapping[str, float] = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_WORD_SECONDS: Mapping[str, float] = {"mil": 1e-3, "sec": 1.0, "min": 60.0, "hou": 3600.0}
_NUMBER = r"\d{1,20}(?:\.\d{0,20})?"
_PART = re.compile(rf"({_NUMBER})(ms|us|µs|ns|h|m|s)")
_DURATION = rf"(?:{_NUMBER}(?:ms|us|µs|ns|h|m|s))+"
_WAIT_IN_WORDS = re.compile(
    rf"(?:try again|retry|wait|retry.?delay|retry.?after)[\"']?(?: in| after| for|\s*[:=])?\s*[\"']?(?:about )?"
    rf"(?:({_DURATION})\b|({_NUMBER})\s*(milliseconds?|sec(?:ond)?s?|min(?:ute)?s?|hours?)\b)",
    re.IGNORECASE,
)
_SEARCHED_CHARACTERS = 4_096
"""Of a message: what a server has to say about waiting comes early."""


def server_wait_seconds(
    headers: Mapping[str, str],
    *,
    message: str = "",
    own_seconds: object = None,
    in_details: object = None,
    now: float,
    is_limited: bool = True,
) -> float | None:
    """Read the wait a server asks for, in 0 to `MAX_WAIT_SECONDS`; None when it asks for none.

    The first of these that can be read decides, also where a later one says more: `retry-after-ms`, `retry-after`
    (seconds or a date), a number the exception carries, the body's details (`RetryInfo`), the message's words, and,
    when a limit was the trouble, the reset of the bucket that is empty. So a Retry-After of 1 beside a reset of six
    minutes is one second: a reset is the time until the bucket is full, not until one call fits. `now` is seconds
    since the epoch.
    """
    candidates = (
        _number(headers.get("retry-after-ms"), scale=1e-3),
        _number(headers.get("retry-after")),
        _until_date(headers.get("retry-after"), now),
        _own(own_seconds),
        _own(in_details) if isinstance(in_details, int | float) else duration_seconds(in_details),
        _in_words(message),
        _empty_bucket_reset(headers) if is_limited else None,
    )
    return next((max(wait, 0.0) for wait in candidates if _is_readable(wait)), None)


def _is_readable(seconds: float | None) -> TypeGuard[float]:
    return seconds is not None and math.isfinite(seconds) and seconds <= MAX_WAIT_SECONDS


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


def _own(seconds: object) -> float | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return float(seconds)
    except OverflowError:
        return None


def _in_words(message: str) -> float | None:
    found = _WAIT_IN_WORDS.search(message[:_SEARCHED_CHARACTERS])
    if found is None:
        return None
    if found[1]:
        return duration_seconds(found[1].lower())
    return float(found[2]) * _WORD_SECONDS[found[3][:3].lower()]


def _empty_bucket_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the fuller of the empty buckets is full again: the server's own upper bound."""
    resets = [
        duration_seconds(headers.get(f"x-ratelimit-reset-{bucket}"))
        for bucket in ("requests", "tokens")
        if _number(headers.get(f"x-ratelimit-remaining-{bucket}")) == 0
    ]
    return max((reset for reset in resets if _is_readable(reset)), default=None)
