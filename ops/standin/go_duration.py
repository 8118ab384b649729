"""Go's text form of a duration, as OpenAI writes resets and waits: 12ms, 1.2s, 1m26.4s, 6m0s, 1h0m0s."""

from __future__ import annotations

import math

_MS_PER_SECOND = 1_000
_MS_PER_MINUTE = 60 * _MS_PER_SECOND
_MS_PER_HOUR = 60 * _MS_PER_MINUTE


def go_duration(seconds: float) -> str:
    """The duration rounded up to whole milliseconds, so that who waits this long never comes early."""
    # The margin keeps 0.644 s, which is 644.0000000000001 ms in floating point, from becoming 645 ms.
    milliseconds = max(0, math.ceil(seconds * _MS_PER_SECOND - 1e-6))
    if milliseconds == 0:
        return "0s"
    if milliseconds < _MS_PER_SECOND:
        return f"{milliseconds}ms"
    hours, rest = divmod(milliseconds, _MS_PER_HOUR)
    minutes, rest = divmod(rest, _MS_PER_MINUTE)
    text = f"{hours}h" if hours else ""
    if hours or minutes:
        text += f"{minutes}m"
    return text + f"{rest / _MS_PER_SECOND:g}s"
