"""Status and headers of the response that belongs to the current call, noted by a hook of the HTTP client.

A ContextVar leads from the hook to the call, so that any number run side by side. `with_raw_response` would cost a
second code path, and clients made for tests do not have it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.completion.server_wait import duration_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx2


@dataclass(slots=True)
class ResponseNote:
    """Empty until a response begins; after a redirect the last one stands."""

    status_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """The buckets as the response's headers show them. A reset is the time until the bucket is full."""

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_seconds: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_seconds: float | None = None


_current: ContextVar[ResponseNote | None] = ContextVar("current_response_note", default=None)


@contextmanager
def noting_response() -> Iterator[ResponseNote]:
    """Note the responses to what is sent inside the block, by this task."""
    note = ResponseNote()
    token = _current.set(note)
    try:
        yield note
    finally:
        _current.reset(token)


async def note_response(response: httpx2.Response) -> None:
    """Hook for the HTTP client's `response` event; it runs before the body is read."""
    note = _current.get()
    if note is not None:
        note.status_code = response.status_code
        # One plain dict: every look-up in the library's own type walks all headers.
        note.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}


def rate_limits_of(headers: Mapping[str, str]) -> RateLimits | None:
    """Read the buckets; None when the server names none. Values that cannot be read are None."""
    limits = RateLimits(
        limit_requests=_count(headers.get("x-ratelimit-limit-requests")),
        remaining_requests=_count(headers.get("x-ratelimit-remaining-requests")),
        reset_requests_seconds=duration_seconds(headers.get("x-ratelimit-reset-requests")),
        limit_tokens=_count(headers.get("x-ratelimit-limit-tokens")),
        remaining_tokens=_count(headers.get("x-ratelimit-remaining-tokens")),
        reset_tokens_seconds=duration_seconds(headers.get("x-ratelimit-reset-tokens")),
    )
    return None if limits == _NO_LIMITS else limits


_NO_LIMITS = RateLimits()


def _count(text: str | None) -> int | None:
    # Azure counts the remaining tokens below zero; an empty bucket is an empty bucket.
    try:
        return max(int(text), 0) if text is not None else None
    except ValueError:
        return None
