"""Every ending of a call, decided in one place: an answer or a failed call in, one of a closed set out. Pure.

    Success                the answer, validated
    Failure(kind)          typed and final: refused, truncated, filtered, empty, invalid, too long, rejected
    Throttled(wait)        a temporary limit: waiting cures it
    Transient(wait)        timeout, connection, server error, a broken peer: trying again may cure it
    Blocked(account)       billing or key: neither the job's fault nor cured by waiting

What a provider's codes and words mean is listed in `refusals.toml`, with sources. A refusal that no entry knows and
that may concern every job of the account says so (`could_be_account`), so that an alarm needs no list.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from workers.completion.code_block import without_code_block
from workers.completion.errors.failed_call import FailedCall, Reason
from workers.completion.errors.refusals import Meaning, meaning_of
from workers.completion.errors.rejected_setting import cure_of
from workers.completion.errors.server_wait import MAX_OUTAGE_WAIT_SECONDS, server_wait_seconds
from workers.completion.peer_values import detail_of, raw_text_of
from workers.contract.outcome import AccountState, Failure, FailureKind, Success
from workers.contract.strict.schema import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.contract.outcome import Usage

_STATUS_OF_TYPE: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}
"""For an error under a good status, where the status says nothing."""
_TIMED_OUT_BEHIND = frozenset({408, 504})
"""A gateway's own timeout: the server behind it may have answered, and billed.

*Source*: LiteLLM's proxy sends 408 when its timeout to the upstream passes; RFC 9110 section 15.6.5 for 504.
"""
_UNREACHED = frozenset({502, 503, 520, 521, 522, 523, 530})
"""*Source*: RFC 9110 sections 15.6.3 and 15.6.4; Cloudflare's documentation, "Cloudflare 5xx errors"."""
_UNREACHED_IN_WORDS = re.compile(
    r"connection (error|refused|reset)|no healthy upstream|upstream connect", re.IGNORECASE
)
"""Under 500. *Source*: LiteLLM's proxy passes the SDK's "Connection error." on as an `InternalServerError`."""
_TRANSIENT = frozenset({408, 409, 425})
"""*Source*: openai 3.54, `_base_client.py`, `_should_retry`, for 408 and 409; RFC 8470 section 5.2 for 425."""
_CONTEXT_IN_WORDS = re.compile(
    "(?i)maximum context length|context window|available context size|context length exceeded"
    r"|input token count \+ max_tokens"
)
_TOO_LARGE_IN_WORDS = re.compile(r"request too large|too large for", re.IGNORECASE)
_FILTERED_IN_WORDS = re.compile(
    r"content.?policy|content management policy|usage polic|safety system|content.?filter", re.IGNORECASE
)
"""What is left of the codes behind a gateway: LiteLLM drops `content_policy_violation` and `invalid_prompt`."""
_MODERATED_IN_WORDS = re.compile(r"moderation|flagged", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")
_MAX_VALIDATION_ERRORS = 50
"""A list of a thousand wrong items says nothing more than the first of them."""
_SHARE_OF_FULL_ANSWER = 0.9
"""An answer that was cut with fewer tokens than this share of max_tokens was cut by something else."""
_SHARE_OF_REASONING = 0.5
"""An answer was cut for reasoning when that took this share of the tokens."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """A temporary limit. `wait_seconds` is the server's own, exact, at most a day; None when it named none."""

    message: str
    wait_seconds: float | None
    status_code: int | None
    could_be_account: bool = False
    """Nothing says that this limit passes: no wait and no name that is known for one."""


@dataclass(frozen=True, slots=True)
class Transient:
    """A passing failure of network or server. `wait_seconds` is the server's own, at most ten minutes; None for none.

    `timed_out` also when a gateway's own timeout passed: the request may have been answered, and billed.
    """

    message: str
    wait_seconds: float | None
    status_code: int | None
    timed_out: bool = False
    is_unreachable: bool = False
    """No connection was made: whatever the reason, it is not the job."""
    is_unreached: bool = False
    """A gateway says that it did not reach the provider."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The account cannot be used; every job of it would end the same.

    `is_suspected` when that is only likely: a 403 without the API's error object can come from a firewall or a gateway
    that dislikes this one prompt. Such an answer is the job's own until a second job gets it.
    """

    account: AccountState
    message: str
    status_code: int | None
    is_suspected: bool = False


Ending = Success | Failure | Throttled | Transient | Blocked


def classify_answer(
    completion: object,
    schema_model: type[BaseModel],
    *,
    is_lenient: bool = False,
    max_tokens: int | None = None,
    usage: Usage | None = None,
) -> Success | Failure:
    """Decide what an answer is. Only types are trusted: peers leave members out or fill them with anything.

    A whole valid answer is a success also when it ended `length`; one Markdown code block around it is removed. With
    `max_tokens` as sent and `usage` as counted, a cut answer says what cut it. `is_lenient` as in `decode`.
    """
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list) or not choices:
        return Failure(kind=FailureKind.INVALID_OUTPUT, message="Empty response: no choices")
    message = getattr(choices[0], "message", None)
    content = getattr(message, "content", None)
    raw_output = content if isinstance(content, str) else None
    refusal = getattr(message, "refusal", None)
    if isinstance(refusal, str) and refusal:
        text = "The model refused to generate an answer"
        return _failure(FailureKind.REFUSED, text, raw_output, refusal=raw_text_of(refusal))
    finish_reason = getattr(choices[0], "finish_reason", None)
    if finish_reason == "content_filter":
        return _failure(FailureKind.CONTENT_FILTERED, _SENTENCES[FailureKind.CONTENT_FILTERED], raw_output)
    was_cut = finish_reason == "length"
    if raw_output is not None and raw_output.strip():
        found = without_code_block(raw_output)
        judged = _validated(found.content, schema_model, raw_output, is_lenient=is_lenient)
        if isinstance(judged, Success) or _is_whole(judged) or not (was_cut or found.is_open):
            return judged
    elif not was_cut:
        return _failure(FailureKind.INVALID_OUTPUT, "Empty response", raw_output)
    return _failure(FailureKind.TRUNCATED, _what_cut_it(max_tokens, usage), raw_output)


def classify_failed_call(call: FailedCall, *, now: float) -> Failure | Throttled | Transient | Blocked:
    """Decide what a call without an answer is; `now` is seconds since the epoch."""
    status_code = call.status_code
    match call.reason:
        case Reason.ERROR_RESPONSE:
            return _error_response(call, now)
        case Reason.TIMED_OUT:
            return Transient("The request timed out", None, status_code, timed_out=True)
        case Reason.CONNECTION:
            message = "The connection to the provider failed"
            return Transient(message, None, status_code, is_unreachable=call.is_unreachable)
        case Reason.GARBLED:
            return Transient("What came back is not an answer of this API; check OPENAI_BASE_URL", None, status_code)
        case Reason.TOO_LARGE:
            message = "More came back than an answer within max_tokens can hold; check OPENAI_BASE_URL"
            return Transient(message, None, status_code)
        case Reason.UNSENDABLE:
            message = "The prompt holds characters that are not valid Unicode"
            return Failure(kind=FailureKind.REJECTED_REQUEST, message=message)


def _failure(kind: FailureKind, message: str, raw_output: str | None, *, refusal: str | None = None) -> Failure:
    return Failure(kind=kind, message=message, raw_output=raw_text_of(raw_output), refusal=refusal)


def _what_cut_it(max_tokens: int | None, usage: Usage | None) -> str:
    count = usage.completion_tokens if usage is not None else 0
    if max_tokens is None or usage is None or not count:
        return "The answer was cut off at max_tokens or at the end of the context"
    if count >= max_tokens * _SHARE_OF_FULL_ANSWER:
        if usage.reasoning_tokens >= count * _SHARE_OF_REASONING:
            return (
                f"The model spent {usage.reasoning_tokens} of its max_tokens ({max_tokens}) on reasoning before the "
                "answer was written; regrade with a lower --effort or a higher --max-tokens"
            )
        return f"The answer was cut off at max_tokens ({max_tokens}); raise --max-tokens"
    return (
        f"The model's context was full after {count} tokens of the answer, before max_tokens ({max_tokens}): "
        "shorten the prompt, or give the model or server a larger context"
    )


def _validated(content: str, schema_model: type[BaseModel], raw_output: str, *, is_lenient: bool) -> Success | Failure:
    try:
        success = Success(decode(schema_model, content, is_lenient=is_lenient))
        return success if is_lenient else success.written()
    except ValidationError as error:
        count = error.error_count()
        return Failure(
            kind=FailureKind.INVALID_OUTPUT,
            message=f"The answer does not fit {schema_model.__name__} ({count} validation error{'s' * (count > 1)})",
            raw_output=raw_text_of(raw_output),
            validation_errors=_json_safe(error),
        )
    except BaseException as error:
        if is_lenient:
            raise  # to the caller of the seed's function, whose model it is
        # The schema's own code, whatever it raised: nothing is awaited here. The answer is paid for, and kept.
        message = f"The code of {schema_model.__name__} itself raised {type(error).__name__} on this answer"
        return Failure(kind=FailureKind.INTERNAL, message=message, raw_output=raw_text_of(raw_output))


def _is_whole(judged: Failure) -> bool:
    """Whether the answer is complete JSON, however wrong: then nothing was cut off that matters."""
    return all(error.get("type") != "json_invalid" for error in judged.validation_errors)


def _json_safe(error: ValidationError) -> tuple[Mapping[str, object], ...]:
    # Through JSON: `ctx` may hold a validator's own exception, and NaN in `input` is no JSON either.
    found = json.loads(error.json(include_url=False), parse_constant=str)
    return tuple(detail_of(each) for each in found[:_MAX_VALIDATION_ERRORS])


def _error_response(call: FailedCall, now: float) -> Failure | Throttled | Transient | Blocked:
    status = call.status_code or next((_STATUS_OF_TYPE[name] for name in call.names if name in _STATUS_OF_TYPE), None)
    meaning = meaning_of(call.names, status=status, message=call.message)
    blocked = _blocked(call, status, meaning)
    if blocked is not None:
        return blocked
    if status == 429 or meaning is Meaning.THROTTLED:  # noqa: PLR2004 - HTTP's own number
        return _limited(call, status, meaning, now)
    if status is not None and 300 <= status < 500 and status not in _TRANSIENT:  # noqa: PLR2004 - as above
        return _rejected(call, status, meaning)
    wait_seconds = _wait(call, now, is_limited=False)
    return Transient(
        f"The provider failed ({_named(call, status)})",
        None if wait_seconds is None else min(wait_seconds, MAX_OUTAGE_WAIT_SECONDS),
        status,
        timed_out=status in _TIMED_OUT_BEHIND,
        is_unreached=status in _UNREACHED or bool(_UNREACHED_IN_WORDS.search(call.message)),
    )


_ACCOUNT_OF_MEANING: Mapping[Meaning, AccountState] = {
    Meaning.QUOTA_EXHAUSTED: AccountState.QUOTA_EXHAUSTED,
    Meaning.AUTH_FAILED: AccountState.AUTH_FAILED,
}
_ACCOUNT_OF_STATUS: Mapping[int, AccountState] = {402: AccountState.QUOTA_EXHAUSTED, 401: AccountState.AUTH_FAILED}


def _blocked(call: FailedCall, status: int | None, meaning: Meaning | None) -> Blocked | None:
    account = _ACCOUNT_OF_MEANING.get(meaning) if meaning else None
    if account is None and status is not None:
        account = _ACCOUNT_OF_STATUS.get(status)
    is_suspected = False
    if account is None and status == 403 and _kind_of(call, status, meaning) is None:  # noqa: PLR2004 - as above
        account, is_suspected = AccountState.AUTH_FAILED, not call.has_error_object
    if account is None:
        return None
    sentence = _SUSPECTED_SENTENCE if is_suspected else _ACCOUNT_SENTENCES[account]
    return Blocked(account, f"{sentence} ({_named(call, status)})", status, is_suspected)


def _limited(call: FailedCall, status: int | None, meaning: Meaning | None, now: float) -> Failure | Throttled:
    """A limit that passes, or one request that is larger than the whole limit and never fits."""
    names_its_passing = {"slow_down", "all_deployments_in_cooldown"} & call.names
    never_fits = call.headers.get("x-should-retry") == "false" or _TOO_LARGE_IN_WORDS.search(call.message)
    if never_fits and not names_its_passing:
        message = "Rate limit exceeded by this request alone: shorten the prompt or lower max_tokens"
        return Failure(kind=FailureKind.REJECTED_REQUEST, message=f"{message} ({_named(call, status)})")
    wait_seconds = _wait(call, now, is_limited=True)
    could_be_account = wait_seconds is None and meaning is not Meaning.THROTTLED
    return Throttled("Rate limit exceeded", wait_seconds, status, could_be_account=could_be_account)


_ACCOUNT_SENTENCES: Mapping[AccountState, str] = {
    AccountState.QUOTA_EXHAUSTED: "The account's credit or spend limit is used up",
    AccountState.AUTH_FAILED: "The provider refused the API key; check OPENAI_API_KEY",
}
_SUSPECTED_SENTENCE = "The provider, or a gateway or firewall before it, refused this call"
_SENTENCES: Mapping[FailureKind, str] = {
    FailureKind.CONTEXT_TOO_LONG: "Prompt and answer exceed the model's context",
    FailureKind.CONTENT_FILTERED: "The provider's content filter withheld the answer",
    FailureKind.REJECTED_REQUEST: "The provider rejected the request",
}


def _rejected(call: FailedCall, status: int, meaning: Meaning | None) -> Failure:
    """A 3xx or 4xx that the same request would get again."""
    kind = _kind_of(call, status, meaning) or FailureKind.REJECTED_REQUEST
    message = f"{_SENTENCES[kind]} ({_named(call, status)})"
    if kind is not FailureKind.REJECTED_REQUEST:
        return Failure(kind=kind, message=message)
    cure = cure_of(call.param, call.message)
    if status < 400:  # noqa: PLR2004 - as above
        cure = "redirects are not followed: set OPENAI_BASE_URL to the address that answers itself"
    is_requests_own = meaning is Meaning.REQUEST or call.param not in {None, "model"}
    return Failure(
        kind=kind,
        message=f"{message}: {cure}" if cure else message,
        could_be_account=not is_requests_own,
    )


def _kind_of(call: FailedCall, status: int, meaning: Meaning | None) -> FailureKind | None:
    """What a rejection is about, as far as codes or words say; None when they say nothing of the job."""
    if meaning is Meaning.CONTEXT_TOO_LONG or status == 413 or _CONTEXT_IN_WORDS.search(call.message):  # noqa: PLR2004
        return FailureKind.CONTEXT_TOO_LONG
    if meaning is Meaning.CONTENT_FILTERED or (meaning is None and _is_filtered_in_words(call.message, status)):
        return FailureKind.CONTENT_FILTERED
    return FailureKind.REJECTED_REQUEST if meaning in {Meaning.NO_ACCESS_TO_MODEL, Meaning.REQUEST} else None


def _is_filtered_in_words(message: str, status: int) -> bool:
    says_policy = status in {400, 403, 422} and _FILTERED_IN_WORDS.search(message)
    says_moderated = status == 403 and _MODERATED_IN_WORDS.search(message)  # noqa: PLR2004 - as above
    return bool(says_policy or says_moderated)


def _wait(call: FailedCall, now: float, *, is_limited: bool) -> float | None:
    return server_wait_seconds(
        call.headers,
        message=call.message,
        own_seconds=call.own_wait_seconds,
        in_details=call.wait_in_details,
        now=now,
        is_limited=is_limited,
    )


def _named(call: FailedCall, status: int | None) -> str:
    """Status, code and parameter: identifiers only, because the provider's words can repeat the prompt or the key."""
    parts = [f"status {status}"] if status else []
    names = (call.code, call.type, *reversed(call.further_names))
    code = next((name for name in names if name and name != str(status)), None)
    for label, value in (("code", code), ("parameter", call.param)):
        if value and _IDENTIFIER.fullmatch(value):
            parts.append(f"{label} {value}")
    return ", ".join(parts) or "no status"
