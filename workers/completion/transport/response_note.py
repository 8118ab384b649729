"""Status and headers of the response that belongs to the current call, noted by a hook of the HTTP client.

A ContextVar leads from the hook to the call, so that any number run side by side. `with_raw_response` would cost a
second code path, and clients made for tests do not have it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from workers.completion.errors.server_wait import MAX_WAIT_SECONDS, duration_seconds
from workers.completion.peer_values import MAX_COUNT, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import httpx2

_FORWARDED = "llm_provider-"
"""LiteLLM hands the upstream's headers on under this prefix, waits and resets under no other name.

*Source*: docs.litellm.ai, "Response Headers" (October 2026); measured with its proxy 1.108.
"""
_REQUEST_IDS = (
    "x-request-id",  # also the upstream's, handed on
    "request-id",
    "apim-request-id",
    "x-ms-request-id",
    "x-litellm-call-id",
    "x-amzn-requestid",
    "x-goog-request-id",
    "cf-ray",
)
"""In this order: the provider's own id is the one that its support and its invoice know."""
_LONGEST_MINUTE_SECONDS = 61.0


@dataclass(slots=True)
class ResponseNote:
    """Empty until a response begins."""

    max_body_bytes: int | None = None
    """How much of the body may be read; None leaves it to the hook that bounds it."""
    on_headers: Callable[[Mapping[str, str]], None] | None = None
    """Called with the headers of a 200, before its body is read."""
    status_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def begin(self, status_code: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Note a response whose headers are here."""
        self.status_code = status_code
        self.headers = plain_headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
        if self.on_headers is not None and status_code == HTTPStatus.OK:
            self.on_headers(self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """The buckets as the response's headers show them. A reset is the time until the bucket is full."""

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_seconds: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_seconds: float | None = None

    def without_contradicted_resets(self, wait_seconds: float | None) -> RateLimits:
        """Forget the reset of an empty bucket that the server's own wait makes nonsense of.

        A bucket of a minute is full after a minute, so an empty one with a longer reset would count as deep in debt;
        a server that takes the next call within a minute says that it is not. The shorter of the two is right.
        *Source*: aimock 1.43 sends remaining 0, reset 6m0s and Retry-After 1.
        """
        if wait_seconds is None or wait_seconds > _LONGEST_MINUTE_SECONDS:
            return self
        limits = self
        if self.remaining_requests == 0 and (self.reset_requests_seconds or 0.0) > _LONGEST_MINUTE_SECONDS:
            limits = replace(limits, reset_requests_seconds=None)
        if self.remaining_tokens == 0 and (self.reset_tokens_seconds or 0.0) > _LONGEST_MINUTE_SECONDS:
            limits = replace(limits, reset_tokens_seconds=None)
        return limits


_current: ContextVar[ResponseNote | None] = ContextVar("current_response_note", default=None)


@contextmanager
def noting_response(
    *, max_body_bytes: int | None = None, on_headers: Callable[[Mapping[str, str]], None] | None = None
) -> Iterator[ResponseNote]:
    """Note the responses to what is sent inside the block, by this task."""
    note = ResponseNote(max_body_bytes, on_headers)
    token = _current.set(note)
    try:
        yield note
    finally:
        _current.reset(token)


def current_note() -> ResponseNote | None:
    """Find the note of the call that this task is in."""
    return _current.get()


async def note_response(response: httpx2.Response) -> None:
    """Hook for the HTTP client's `response` event; it runs before the body is read."""
    note = _current.get()
    if note is not None:
        note.begin(response.status_code, response.headers.raw)


def plain_headers(pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Build one plain dict with names in lower case, and a gateway's forwarded headers under the upstream's names.

    The gateway's own header of a name wins. A forwarded reset is taken only where it belongs to the bucket that the
    plain headers show: a gateway with limits of its own shows those.
    """
    # One plain dict: every look-up in the HTTP library's own type walks all headers.
    headers = {name.lower(): value for name, value in pairs}
    if _FORWARDED not in " ".join(headers):
        return headers
    forwarded = [name for name in headers if name.startswith(_FORWARDED)]
    plain = dict(headers)
    for name in forwarded:
        upstream_name = name.removeprefix(_FORWARDED)
        if upstream_name not in headers and _is_of_shown_bucket(upstream_name, headers):
            plain[upstream_name] = headers[name]
    return plain


def _is_of_shown_bucket(upstream_name: str, headers: Mapping[str, str]) -> bool:
    if not upstream_name.startswith("x-ratelimit-reset-"):
        return True
    remaining = upstream_name.replace("-reset-", "-remaining-")
    shown, upstreams = headers.get(remaining), headers.get(_FORWARDED + remaining)
    return shown is None or upstreams is None or shown == upstreams


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Find the id under which the provider, or else the gateway, knows this request."""
    return next((found for name in _REQUEST_IDS if name in headers and (found := name_of(headers[name]))), None)


def rate_limits_of(headers: Mapping[str, str]) -> RateLimits | None:
    """Read the buckets; None when the server names none. Values that cannot be read are None."""
    if _OF_BUCKETS.isdisjoint(headers):
        return None
    limits = RateLimits(
        limit_requests=_count(headers.get("x-ratelimit-limit-requests")),
        remaining_requests=_count(headers.get("x-ratelimit-remaining-requests")),
        reset_requests_seconds=_reset(headers.get("x-ratelimit-reset-requests")),
        limit_tokens=_count(headers.get("x-ratelimit-limit-tokens")),
        remaining_tokens=_count(headers.get("x-ratelimit-remaining-tokens")),
        reset_tokens_seconds=_reset(headers.get("x-ratelimit-reset-tokens")),
    )
    return None if limits == _NO_LIMITS else limits


_NO_LIMITS = RateLimits()
_OF_BUCKETS = frozenset(
    f"x-ratelimit-{what}-{bucket}" for what in ("limit", "remaining", "reset") for bucket in ("requests", "tokens")
)


def _count(text: str | None) -> int | None:
    # Azure counts the remaining tokens below zero; an empty bucket is an empty bucket.
    try:
        return min(max(int(text), 0), MAX_COUNT) if text is not None else None
    except ValueError:
        return None


def _reset(text: str | None) -> float | None:
    # Some gateways write the hour of the reset here, as seconds since the epoch: that is no duration.
    seconds = duration_seconds(text)
    return None if seconds is None or not 0.0 <= seconds <= MAX_WAIT_SECONDS else seconds
