"""What is known of a call that brought no answer: one record, whatever was raised or sent.

Here end the SDK's exceptions and the HTTP libraries'; nothing behind this file knows them. The provider's own words
are kept for reading only: they can repeat the prompt or a key, so no message shows them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
import httpx2
import openai

PEER_FAULTS: tuple[type[Exception], ...] = (
    openai.OpenAIError,
    aiohttp.ClientError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    OSError,
    # What the SDK raises over an answer that is not the JSON it expects; TimeoutError is an OSError.
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""All that a call can raise for reasons outside this process."""


class Reason(StrEnum):
    """At which point the call went wrong."""

    TIMED_OUT = "timed_out"
    CONNECTION = "connection"
    GARBLED = "garbled"
    """Something came back that is not an answer of this API."""
    ANSWERED = "answered"
    """The provider answered with an error."""
    UNSENDABLE = "unsendable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One call without an answer."""

    reason: Reason
    status_code: int | None = None
    code: str | None = None
    type: str | None = None
    param: str | None = None
    message: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    own_wait_seconds: object = None
    """What an exception carries as `retry_after`; checked where it is read."""


def fault_of(error: Exception, *, status_code: int | None, headers: Mapping[str, str]) -> Fault:
    """Read an exception; `status_code` and `headers` are those of the response, if one had begun."""
    if isinstance(error, UnicodeEncodeError):
        return Fault(reason=Reason.UNSENDABLE)
    own_status = getattr(error, "status_code", None)
    if isinstance(own_status, int):
        return _answered(error, own_status, headers)
    if _is_timeout(error):
        return Fault(reason=Reason.TIMED_OUT, headers=headers)
    if status_code is not None and not _is_broken_off(error):
        return Fault(reason=Reason.GARBLED, status_code=status_code, headers=headers)
    is_garbled = isinstance(error, json.JSONDecodeError | UnicodeDecodeError | aiohttp.ClientResponseError)
    return Fault(reason=Reason.GARBLED if is_garbled else Reason.CONNECTION, headers=headers)


def fault_in(completion: object, *, status_code: int | None, headers: Mapping[str, str]) -> Fault | None:
    """Find the fault in what came back with a good status: an error object, or no completion at all."""
    body = _error_object(completion)
    if body is not None:
        code = body.get("code")
        text = "" if code is None else str(code)
        status = int(text) if text.isascii() and text.isdigit() else None
        return _from_body(body, status_code=status, headers=headers)
    if isinstance(getattr(completion, "choices", None), list):
        return None
    return Fault(reason=Reason.GARBLED, status_code=status_code, headers=headers)


def _answered(error: Exception, status_code: int, headers: Mapping[str, str]) -> Fault:
    response_headers = getattr(getattr(error, "response", None), "headers", None)
    if not headers and isinstance(response_headers, httpx2.Headers):
        headers = response_headers
    body = getattr(error, "body", None)
    content = body if isinstance(body, Mapping) else {}
    inner = content.get("error")
    return _from_body(
        inner if isinstance(inner, Mapping) else content,
        status_code=status_code,
        headers=headers,
        own_wait_seconds=getattr(error, "retry_after", None),
    )


def _from_body(
    body: Mapping[str, object],
    *,
    status_code: int | None,
    headers: Mapping[str, str],
    own_wait_seconds: object = None,
) -> Fault:
    return Fault(
        reason=Reason.ANSWERED,
        status_code=status_code,
        code=_text(body.get("code")),
        type=_text(body.get("type")),
        param=_text(body.get("param")),
        message=_text(body.get("message")) or "",
        headers=headers,
        own_wait_seconds=own_wait_seconds,
    )


def _error_object(completion: object) -> Mapping[str, object] | None:
    """The error under a good status; OpenRouter puts it beside the choices or into the first one."""
    found = getattr(completion, "error", None)
    choices = getattr(completion, "choices", None)
    if not isinstance(found, Mapping) and isinstance(choices, list) and choices:
        found = getattr(choices[0], "error", None)
    return found if isinstance(found, Mapping) else None


def _is_timeout(error: BaseException) -> bool:
    """Tell a real timeout from what the aiohttp transport of the SDK calls one.

    *Source*: openai 3.54, `_vendor/httpx_aiohttp/transport.py`: it maps every `ClientConnectionError`, a refused or
    closed connection too, to `ConnectTimeout`.
    """
    causes = list(_causes(error))
    theirs = [cause for cause in causes if isinstance(cause, aiohttp.ClientError)]
    if theirs:
        return isinstance(theirs[-1], TimeoutError)
    return any(isinstance(cause, TimeoutError | httpx2.TimeoutException | openai.APITimeoutError) for cause in causes)


def _is_broken_off(error: BaseException) -> bool:
    """Whether the connection ended inside the body."""
    broken = (httpx2.TransportError, aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, OSError)
    return any(isinstance(cause, broken) for cause in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__
    return chain


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
