"""Identifiers that sort by the time they were made, so that new rows land at the end of an index."""

from __future__ import annotations

import secrets
import time

_RANDOM_BYTES = 10
_TIME_DIGITS = 12


def new_id() -> str:
    """32 hex digits: 48 bits of milliseconds, 80 bits of chance (the layout of UUID version 7, without its marks)."""
    return f"{time.time_ns() // 1_000_000:0{_TIME_DIGITS}x}{secrets.token_hex(_RANDOM_BYTES)}"
