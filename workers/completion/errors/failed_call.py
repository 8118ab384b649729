"""What is known of a call that brought no answer: one record, whatever was raised or sent.

Here end the SDK's exceptions and the HTTP libraries'; nothing behind this file knows them. The provider's own words
are kept for reading only: they can repeat the prompt or a key, so no message shows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
import httpx2
import openai

from workers.completion.transport.bounded_body import AnswerTooLargeError
from workers.completion.transport.response_note import plain_headers

PEER_ERRORS: tuple[type[Exception], ...] = (
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


_HTTP_ERROR = re.compile(r"[345][0-9]{2}", re.ASCII)
_MAX_NAME_LENGTH = 80
_MAX_DETAILS = 20
_MAX_WORDS = 8_192
"""Of a message: what it says is said early, and the rest may be the whole prompt."""


class Reason(StrEnum):
    """At which point the call went wrong."""

    TIMED_OUT = "timed_out"
    CONNECTION = "connection"
    GARBLED = "garbled"
    """Something came back that is not an answer of this API."""
    ERROR_RESPONSE = "error_response"
    """The provider answered with an error."""
    TOO_LARGE = "too_large"
    """More came than an answer of this request can have."""
    UNSENDABLE = "unsendable"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCall:
    """One call without an answer."""

    reason: Reason
    status_code: int | None = None
    code: str | None = None
    type: str | None = None
    param: str | None = None
    further_names: tuple[str, ...] = ()
    """What else the error is called: its status, an inner error's code, the reasons in its details."""
    has_error_object: bool = False
    """The body held the API's error object, so the API itself refused, and nobody on the way to it."""
    message: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    own_wait_seconds: object = None
    """What an exception carries as `retry_after`; checked where it is read."""
    wait_in_details: object = None
    """What the body's details say of waiting: a duration or a number; checked where it is read."""
    is_unreachable: bool = False
    """There was no connection to send anything on."""

    @property
    def names(self) -> frozenset[str]:
        """Every name the error goes by."""
        return frozenset(name for name in (self.code, self.type, *self.further_names) if name)


def failed_call_of(error: Exception, *, status_code: int | None, headers: Mapping[str, str]) -> FailedCall:
    """Read an exception; `status_code` and `headers` are those of the response, if one had begun."""
    if isinstance(error, UnicodeEncodeError):
        return FailedCall(reason=Reason.UNSENDABLE)
    if any(isinstance(cause, AnswerTooLargeError) for cause in _causes(error)):
        return FailedCall(reason=Reason.TOO_LARGE, status_code=status_code, headers=headers)
    own_status = getattr(error, "status_code", None)
    if isinstance(own_status, int):
        return _error_response(error, own_status, headers)
    if _is_timeout(error):
        return FailedCall(reason=Reason.TIMED_OUT, headers=headers)
    if status_code is not None and not _is_broken_off(error):
        return FailedCall(reason=Reason.GARBLED, status_code=status_code, headers=headers)
    is_garbled = isinstance(error, json.JSONDecodeError | UnicodeDecodeError | aiohttp.ClientResponseError)
    return FailedCall(
        reason=Reason.GARBLED if is_garbled else Reason.CONNECTION,
        headers=headers,
        is_unreachable=not is_garbled and _is_unreachable(error),
    )


def _is_unreachable(error: BaseException) -> bool:
    causes = list(_causes(error))
    if any(isinstance(cause, aiohttp.ClientConnectorError) for cause in causes):
        return True
    # the aiohttp transport calls every lost connection a ConnectTimeout (see `_is_timeout`)
    is_httpx = not any(isinstance(cause, aiohttp.ClientError) for cause in causes)
    return is_httpx and any(isinstance(cause, httpx2.ConnectError) for cause in causes)


def failed_call_in(completion: object, *, status_code: int | None, headers: Mapping[str, str]) -> FailedCall | None:
    """Find the error in what came back with a good status: an error object, or no completion at all."""
    body = _error_object(completion)
    if body is not None:
        return _from_body(body, status_code=_status_in(body.get("code")), headers=headers)
    if isinstance(getattr(completion, "choices", None), list):
        return None
    return FailedCall(reason=Reason.GARBLED, status_code=status_code, headers=headers)


def failed_call_in_body(body: object, *, status_code: int | None) -> FailedCall:
    """Read an error body that came without its HTTP response: in a line of a file, or inside another object."""
    return _from_body(_inner_error(body), status_code=status_code, headers={})


def _error_response(error: Exception, status_code: int, headers: Mapping[str, str]) -> FailedCall:
    response_headers = getattr(getattr(error, "response", None), "headers", None)
    if not headers and isinstance(response_headers, httpx2.Headers):
        headers = plain_headers(response_headers.multi_items())
    return _from_body(
        _inner_error(getattr(error, "body", None)),
        status_code=status_code,
        headers=headers,
        own_wait_seconds=getattr(error, "retry_after", None),
    )


def _inner_error(body: object) -> Mapping[str, object]:
    """Unwrap the error object: Google sends it in a list, xAI as a plain string, and the SDK takes one envelope off."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, str):
        # a page is nobody's words about this request: a portal, a firewall, a proxy
        return {} if body.lstrip().startswith("<") else {_WORDS_ALONE: body}
    content = body if isinstance(body, Mapping) else {}
    inner = content.get("error")
    if isinstance(inner, str):
        return {_WORDS_ALONE: inner}
    return inner if isinstance(inner, Mapping) else content


_WORDS_ALONE = "words alone"


def _from_body(
    body: Mapping[str, object],
    *,
    status_code: int | None,
    headers: Mapping[str, str],
    own_wait_seconds: object = None,
) -> FailedCall:
    code, kind, words = (_text(body.get(name)) for name in ("code", "type", "message"))
    return FailedCall(
        reason=Reason.ERROR_RESPONSE,
        status_code=status_code,
        code=code,
        type=kind,
        param=_text(body.get("param")),
        further_names=_further_names(body),
        # a message alone is what firewalls and gateways on the way send, too
        has_error_object=any((code, kind, _text(body.get("status")))),
        message=" ".join(filter(None, (words or _text(body.get(_WORDS_ALONE)), _upstreams_words(body)))),
        headers=headers,
        own_wait_seconds=own_wait_seconds,
        wait_in_details=_wait_in_details(body),
    )


def _further_names(body: Mapping[str, object]) -> tuple[str, ...]:
    """Google names the error in `status` and the reasons of its details, Azure in an inner error."""
    inner = body.get("innererror")
    found = [
        body.get("status"),
        inner.get("code") if isinstance(inner, Mapping) else None,
        *(detail.get("reason") for detail in _details(body)),
    ]
    return tuple(name[:_MAX_NAME_LENGTH] for name in found if isinstance(name, str))


def _details(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    details = body.get("details")
    return [each for each in details[:_MAX_DETAILS] if isinstance(each, Mapping)] if isinstance(details, list) else []


def _wait_in_details(body: Mapping[str, object]) -> object:
    """Read `google.rpc.RetryInfo`; *Source*: google/rpc/error_details.proto. Others put a number beside the message."""
    for detail in _details(body):
        if str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            return detail.get("retryDelay")
    return body.get("retry_after", body.get("retry_after_seconds"))


def _upstreams_words(body: Mapping[str, object]) -> str | None:
    """Find what OpenRouter and its kin keep of the upstream's own body. *Source*: OpenRouter, "Errors"."""
    metadata = body.get("metadata")
    return _text(metadata.get("raw")) if isinstance(metadata, Mapping) else None


def _status_in(code: object) -> int | None:
    """Read the HTTP status that some write as the error's code under a good status."""
    text = str(code) if isinstance(code, str | int) and not isinstance(code, bool) else ""
    return int(text) if _HTTP_ERROR.fullmatch(text) else None


def _error_object(completion: object) -> Mapping[str, object] | None:
    """The error under a good status; OpenRouter puts it beside the choices or into the first one."""
    if isinstance(completion, list) and completion and isinstance(completion[0], Mapping):
        found = completion[0].get("error")
        return found if isinstance(found, Mapping) else None
    found = getattr(completion, "error", None)
    choices = getattr(completion, "choices", None)
    if not isinstance(found, Mapping) and isinstance(choices, list) and choices:
        found = getattr(choices[0], "error", None)
    return found if isinstance(found, Mapping) else None


def _is_timeout(error: BaseException) -> bool:
    """Distinguish a real timeout from what the aiohttp transport of the SDK calls one.

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
        return value[:_MAX_WORDS]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
