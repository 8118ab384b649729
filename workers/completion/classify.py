"""Every ending of a call, decided in one place: an answer or a fault goes in, one of a closed set comes out. Pure.

    Success                the answer, validated
    Failure(kind)          typed and final: refused, truncated, filtered, empty, invalid, too long, rejected
    Throttled(wait)        a temporary limit: waiting cures it
    Transient(wait)        timeout, connection, server error, a broken peer: trying again may cure it
    Blocked(account)       billing or key: neither the job's fault nor cured by waiting

*Source* for codes and types: OpenAI, "Error codes" and "Rate limits" (read November 2026); OpenRouter, "Errors".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from workers.completion.fault import Fault, Reason
from workers.completion.server_wait import server_wait_seconds
from workers.contract.outcome import AccountState, Failure, FailureKind, Success
from workers.contract.strict_schema import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

BILLING = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)
CONTEXT = frozenset({"context_length_exceeded", "string_above_max_length", "exceed_context_size_error"})
FILTERED = frozenset({"content_filter", "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation"})
NO_ACCESS_TO_MODEL = frozenset({"model_not_found", "model_not_available"})

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
_CONTEXT_IN_WORDS = re.compile(
    r"maximum context length|context window|available context size|context length exceeded", re.IGNORECASE
)
_TOO_LARGE_IN_WORDS = re.compile(r"request too large|too large for", re.IGNORECASE)
_MODERATED_IN_WORDS = re.compile(r"moderation|flagged", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")
_MAX_VALIDATION_ERRORS = 50
"""A list of a thousand wrong items says nothing more than the first of them."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """A temporary limit. `wait_seconds` is the server's own, exact; None when it named none."""

    message: str
    wait_seconds: float | None
    status_code: int | None


@dataclass(frozen=True, slots=True)
class Transient:
    """A passing fault of network or server. `wait_seconds` as in `Throttled`."""

    message: str
    wait_seconds: float | None
    status_code: int | None
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """The account cannot be used; every job of it would end the same."""

    account: AccountState
    message: str
    status_code: int | None


Ending = Success | Failure | Throttled | Transient | Blocked


def classify_answer(completion: object, schema_model: type[BaseModel]) -> Success | Failure:
    """Decide what an answer is. Only types are trusted: peers leave members out or fill them with anything."""
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list) or not choices:
        return Failure(kind=FailureKind.INVALID_OUTPUT, message="Empty response: no choices")
    message = getattr(choices[0], "message", None)
    content = getattr(message, "content", None)
    raw_output = content if isinstance(content, str) else None
    refusal = getattr(message, "refusal", None)
    if isinstance(refusal, str) and refusal:
        return Failure(kind=FailureKind.REFUSED, message="The model refused", raw_output=raw_output, refusal=refusal)
    if cut := _cut_short(getattr(choices[0], "finish_reason", None), raw_output):
        return cut
    if raw_output is None or not raw_output.strip():
        return Failure(kind=FailureKind.INVALID_OUTPUT, message="Empty response", raw_output=raw_output)
    return _validated(raw_output, schema_model)


def classify_fault(fault: Fault, *, now: float) -> Failure | Throttled | Transient | Blocked:
    """Decide what a call without an answer is; `now` is seconds since the epoch."""
    if fault.reason is Reason.ANSWERED:
        return _answered(fault, now)
    status_code = fault.status_code
    if fault.reason is Reason.TIMED_OUT:
        return Transient("The request timed out", None, status_code, timed_out=True)
    if fault.reason is Reason.CONNECTION:
        return Transient("The connection to the provider failed", None, status_code)
    if fault.reason is Reason.GARBLED:
        return Transient("What came back is not an answer of this API; check OPENAI_BASE_URL", None, status_code)
    return Failure(kind=FailureKind.REJECTED_REQUEST, message="The prompt holds characters that are not valid Unicode")


def _cut_short(finish_reason: object, raw_output: str | None) -> Failure | None:
    if finish_reason == "length":
        message = "The answer was cut off at max_tokens"
        return Failure(kind=FailureKind.TRUNCATED, message=message, raw_output=raw_output)
    if finish_reason == "content_filter":
        message = "The provider's content filter withheld the answer"
        return Failure(kind=FailureKind.CONTENT_FILTERED, message=message, raw_output=raw_output)
    return None


def _validated(raw_output: str, schema_model: type[BaseModel]) -> Success | Failure:
    try:
        return Success(decode(schema_model, raw_output))
    except ValidationError as error:
        count = error.error_count()
        return Failure(
            kind=FailureKind.INVALID_OUTPUT,
            message=f"The answer does not fit {schema_model.__name__} ({count} validation error{'s' * (count > 1)})",
            raw_output=raw_output,
            validation_errors=_json_safe(error),
        )


def _json_safe(error: ValidationError) -> tuple[Mapping[str, object], ...]:
    # Through JSON: a validator's own exception stands in `ctx`, and NaN in `input` is no JSON either.
    found = json.loads(error.json(include_url=False), parse_constant=str)
    return tuple(found[:_MAX_VALIDATION_ERRORS])


def _answered(fault: Fault, now: float) -> Failure | Throttled | Transient | Blocked:
    names = {name for name in (fault.code, fault.type) if name}
    status = fault.status_code or next((_STATUS_OF_TYPE[name] for name in names if name in _STATUS_OF_TYPE), None)
    account = _blocked_account(names, status, fault.message)
    if account is not None:
        return Blocked(account, f"{_ACCOUNT_SENTENCES[account]} ({_named(fault, status)})", status)
    if status == 429 or "slow_down" in names:  # noqa: PLR2004 - HTTP's own number
        return _limited(fault, status, now)
    if kind := _final_kind(names, status, fault.message):
        return Failure(kind=kind, message=f"{_SENTENCES[kind]} ({_named(fault, status)})")
    wait_seconds = _wait(fault, now, is_limited=False)
    return Transient(f"The provider failed ({_named(fault, status)})", wait_seconds, status)


def _blocked_account(names: set[str], status: int | None, message: str) -> AccountState | None:
    if names & BILLING or status == 402:  # noqa: PLR2004 - HTTP's own number
        return AccountState.QUOTA_EXHAUSTED
    if status == 401:  # noqa: PLR2004 - HTTP's own number
        return AccountState.AUTH_FAILED
    is_about_job = names & (NO_ACCESS_TO_MODEL | FILTERED) or _MODERATED_IN_WORDS.search(message)
    if status == 403 and not is_about_job:  # noqa: PLR2004 - HTTP's own number
        return AccountState.AUTH_FAILED
    return None


def _limited(fault: Fault, status: int | None, now: float) -> Failure | Throttled:
    """A limit that passes, or one request that is larger than the whole limit and never fits."""
    never_fits = fault.headers.get("x-should-retry") == "false" or _TOO_LARGE_IN_WORDS.search(fault.message)
    if never_fits and "slow_down" not in (fault.code, fault.type):
        message = "Rate limit exceeded by this request alone: shorten the prompt or lower max_tokens"
        return Failure(kind=FailureKind.REJECTED_REQUEST, message=f"{message} ({_named(fault, status)})")
    return Throttled("Rate limit exceeded", _wait(fault, now, is_limited=True), status)


_ACCOUNT_SENTENCES: Mapping[AccountState, str] = {
    AccountState.QUOTA_EXHAUSTED: "The account's credit or spend limit is used up",
    AccountState.AUTH_FAILED: "The provider refused the API key; check OPENAI_API_KEY",
}
_SENTENCES: Mapping[FailureKind, str] = {
    FailureKind.CONTEXT_TOO_LONG: "Prompt and answer exceed the model's context",
    FailureKind.CONTENT_FILTERED: "The provider's content filter withheld the answer",
    FailureKind.REJECTED_REQUEST: "The provider rejected the request",
}


def _final_kind(names: set[str], status: int | None, message: str) -> FailureKind | None:
    """The failure that a 3xx or 4xx stands for; None when trying again may help."""
    if status is None or not 300 <= status < 500:  # noqa: PLR2004 - HTTP's own numbers
        return None
    if names & CONTEXT or status == 413 or _CONTEXT_IN_WORDS.search(message):  # noqa: PLR2004 - HTTP's own number
        return FailureKind.CONTEXT_TOO_LONG
    if names & FILTERED or (status == 403 and _MODERATED_IN_WORDS.search(message)):  # noqa: PLR2004 - as above
        return FailureKind.CONTENT_FILTERED
    return FailureKind.REJECTED_REQUEST


def _wait(fault: Fault, now: float, *, is_limited: bool) -> float | None:
    return server_wait_seconds(
        fault.headers,
        message=fault.message,
        own_seconds=fault.own_wait_seconds,
        now=now,
        is_limited=is_limited,
    )


def _named(fault: Fault, status: int | None) -> str:
    """Status, code and parameter: identifiers only, because the provider's words can repeat the prompt or the key."""
    parts = [f"status {status}"] if status else []
    for label, value in (("code", fault.code or fault.type), ("parameter", fault.param)):
        if value and value != str(status) and _IDENTIFIER.fullmatch(value):
            parts.append(f"{label} {value}")
    return ", ".join(parts) or "no status"
