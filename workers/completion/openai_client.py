"""Structured completions: a prompt and a Pydantic model in, a validated instance of the model out.

The public face of the core, for graders that call it directly; workers use `attempt_completion`. Settings are read
when a client is made, from the environment, `.env` or `.streamlit/secrets.toml`. `AsyncOpenAI`, `OPENAI_API_KEY` and
`_client` are looked up here when called, so that a test can put its own in their place.
"""

from __future__ import annotations

import asyncio
import math
import threading
import uuid
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx2
from openai import AsyncOpenAI
from pydantic import BaseModel

from workers.completion.attempt import (
    DEFAULT_TIMEOUT_SECONDS,
    Attempt,
    CompletionRequest,
    Reply,
    attempt_completion,
    host_of,
)
from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.errors.server_wait import MAX_WAIT_SECONDS
from workers.completion.openai_exceptions import OpenAISchemaValidationError, OpenAITransportError
from workers.completion.retry_policy import Retry, RetryRules, Spent, retry_of
from workers.completion.transport.clients import LoopClients, new_client
from workers.contract.job import MAX_TEMPERATURE
from workers.contract.model_profile import ModelProfile, load_profiles, profile_of
from workers.contract.outcome import Failure, FailureKind, Success
from workers.contract.strict.schema import UnsupportedSchema, strict_schema
from workers.log import get_logger
from workers.settings import load_settings

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

    from workers.settings import Settings

__all__ = [
    "OpenAISchemaValidationError",
    "OpenAITransportError",
    "close_client",
    "get_client",
    "get_structured_completion",
]

T = TypeVar("T", bound=BaseModel)


class _Unset(Enum):
    LOOK_UP = "read the setting when it is needed"


OPENAI_API_KEY: str | _Unset | None = _Unset.LOOK_UP
_client: LoopClients | Any = None

_making: Final = threading.Lock()
"""Threads come and go: none may make a second holder, or let go of the one in which another is about to be held."""
DEFAULT_MAX_RETRIES: Final = 3
DEFAULT_RETRY_DELAY: Final = 1.0
_logger: Final = get_logger(__name__)
_ANSWERS_THAT_FAIL: Final = frozenset(
    {FailureKind.REFUSED, FailureKind.TRUNCATED, FailureKind.CONTENT_FILTERED, FailureKind.INVALID_OUTPUT}
)
_ID_LENGTH: Final = 12
_LONGEST_BACKOFF_SECONDS: Final = MAX_WAIT_SECONDS
"""The backoff is the caller's own, and grows as this function promises; it ends where a server's wait does."""


async def get_structured_completion(  # noqa: PLR0917 - the signature its users call
    prompt: str,
    model_name: str,
    schema_model: type[T],
    temperature: float = 0.2,
    max_tokens: int | None = 4096,
    max_retries: int = DEFAULT_MAX_RETRIES,
    retry_delay: float = DEFAULT_RETRY_DELAY,
    allow_repair: bool = False,  # noqa: FBT001, FBT002 - as above
    retry_empty_response: bool = False,  # noqa: FBT001, FBT002 - as above
) -> T:
    """Return a validated instance of `schema_model`; at most `max_retries` + 1 attempts, and one repair if allowed.

    Timeouts, connection errors, server errors and temporary limits are tried again after `retry_delay * 2**n` seconds,
    or after exactly the wait that the server asks for. A repair shows the model its invalid answer and the errors.
    `max_tokens` None sends no limit. With `retry_empty_response` an empty answer, which is paid for, is tried again
    like a server error, under the same strict schema.

    An answer must fit the schema as it was sent. Three things that the function's callers rely on are taken all the
    same, and in workers are not: a field with a default may be missing, fields that the model ignores may be there,
    and a dict may come as an object. Types are never bent: text is no number, true is none, and numbers are finite.

    Raises `OpenAITransportError`, `OpenAISchemaValidationError`, and ValueError for arguments or a missing key.
    """
    _check_arguments(prompt, model_name, temperature, max_tokens, max_retries=max_retries, retry_delay=retry_delay)
    _check_schema(schema_model)
    client = await get_client()
    request = CompletionRequest(
        prompt=prompt,
        model=model_name,
        schema_model=schema_model,
        temperature=temperature,
        max_tokens=max_tokens,
        timeout_seconds=_timeout_seconds(client),
        profile=_profile(client, model_name),
        is_lenient=True,
    )
    rules = RetryRules(
        max_retries=max_retries,
        retry_delay_seconds=retry_delay,
        longest_backoff_seconds=_LONGEST_BACKOFF_SECONDS,
        may_repair=allow_repair,
        retries_blank=retry_empty_response,
    )
    value: Any = await _complete(client, request, rules)
    validated: T = value
    return validated


async def get_client() -> AsyncOpenAI:
    """Return the running loop's client, made at the first call; ValueError when no API key is set."""
    global _client  # noqa: PLW0603 - the one global, named by the surface its users patch
    with _making:
        if _client is None:
            _client = LoopClients(load_profiles(load_settings().model_profiles))
        holder = _client
        if isinstance(holder, LoopClients):
            holder.expect()
    if isinstance(holder, LoopClients):
        return await holder.get(_make_client)
    client: AsyncOpenAI = holder
    return client


async def close_client() -> None:
    """Close the running loop's client; the next call makes a new one. Closing twice does no harm."""
    global _client  # noqa: PLW0603 - as above
    client = _client
    if isinstance(client, LoopClients):
        await client.close()
        with _making:
            if _client is client and not len(client):
                _client = None
    elif client is not None:
        _client = None
        await client.close()


def _make_client() -> AsyncOpenAI:
    settings = load_settings()
    return new_client(
        api_key=_api_key(settings),
        base_url=settings.openai_base_url,
        timeout_seconds=settings.call_timeout_seconds,
        transport=settings.http_transport,
        build=AsyncOpenAI,
    )


def _api_key(settings: Settings) -> str:
    key = OPENAI_API_KEY
    if isinstance(key, _Unset):
        secret = settings.openai_api_key
        key = secret.get_secret_value() if secret else None
    if not key or not key.strip():
        raise ValueError(
            "OPENAI_API_KEY environment variable is not set; set it there, in .env or in .streamlit/secrets.toml"
        )
    return key


def _timeout_seconds(client: AsyncOpenAI) -> float:
    """The setting as the client was made with it: reading all settings for each call would cost more than the call."""
    timeout = client.timeout
    seconds = timeout.read if isinstance(timeout, httpx2.Timeout) else None
    return seconds or DEFAULT_TIMEOUT_SECONDS


def _profile(client: AsyncOpenAI, model_name: str) -> ModelProfile:
    profiles = _client.profiles if isinstance(_client, LoopClients) else None
    return profile_of(model_name, host_of(client), profiles=profiles)


def _check_arguments(
    prompt: str, model_name: str, temperature: float, max_tokens: int | None, *, max_retries: int, retry_delay: float
) -> None:
    checks = (
        (bool(prompt and prompt.strip()), "Prompt cannot be empty"),
        (bool(model_name and model_name.strip()), "Model name cannot be empty"),
        (0 <= temperature <= MAX_TEMPERATURE, f"Temperature must be between 0 and {MAX_TEMPERATURE:g}"),
        (max_tokens is None or max_tokens > 0, "max_tokens must be positive"),
        (max_retries >= 0, "max_retries must be non-negative"),
        (retry_delay >= 0 and math.isfinite(retry_delay), "retry_delay must be non-negative"),
    )
    for holds, message in checks:
        if not holds:
            raise ValueError(message)


def _check_schema(schema_model: object) -> None:
    if not (isinstance(schema_model, type) and issubclass(schema_model, BaseModel)):
        raise ValueError("schema_model must be a pydantic model")  # noqa: TRY004 - every argument's error is a ValueError
    try:
        strict_schema(schema_model)
    except UnsupportedSchema as error:
        raise ValueError(str(error)) from None


async def _complete(client: AsyncOpenAI, request: CompletionRequest, rules: RetryRules) -> BaseModel:
    """Attempt until the retry policy says that an ending is final."""
    call = _Call(request, correlation_id=uuid.uuid4().hex[:_ID_LENGTH])
    call.log.info("completion.started")
    while True:
        attempt = await attempt_completion(client, call.request)
        call.attempts += 1
        call.repairs += call.request.repair is not None
        ending = attempt.ending
        if isinstance(ending, Success):
            _log_ending(call, attempt, "success")
            return ending.value
        retry = retry_of(ending, call.spent, rules)
        if retry is None:
            _log_ending(call, attempt, _kind(ending))
            raise _public_error(ending, attempt.reply, call)
        _log_retry(call, retry, attempt.reply, reason=_kind(ending))
        if retry.repair is not None:
            call.request = replace(call.request, repair=retry.repair)
        else:
            await asyncio.sleep(retry.after_seconds)


@dataclass(slots=True)
class _Call:
    """One call of the public function."""

    request: CompletionRequest
    correlation_id: str
    """Ours, in the log and on the exception: leads from one to the other."""
    attempts: int = 0
    """Requests sent, and among them the repairs."""
    repairs: int = 0

    @property
    def spent(self) -> Spent:
        return Spent(attempts=self.attempts - (self.repairs > 0), repairs=self.repairs)

    @property
    def log(self) -> BoundLogger:
        """Each line of this call names its model, schema and id, and never a text."""
        schema = self.request.schema_model.__name__
        return _logger.bind(model=self.request.model, schema=schema, correlation_id=self.correlation_id)


def _kind(ending: Failure | Throttled | Transient | Blocked) -> str:
    if isinstance(ending, Failure):
        return ending.kind.value
    if isinstance(ending, Blocked):
        return ending.account.value
    if isinstance(ending, Throttled):
        return "rate_limited"
    return "timed_out" if ending.timed_out else FailureKind.PROVIDER_UNAVAILABLE.value


def _public_error(
    ending: Failure | Throttled | Transient | Blocked, reply: Reply, call: _Call
) -> OpenAITransportError | OpenAISchemaValidationError:
    kind = _kind(ending)
    if isinstance(ending, Failure) and ending.kind in _ANSWERS_THAT_FAIL:
        return OpenAISchemaValidationError(
            ending.message,
            schema_name=call.request.schema_model.__name__,
            validation_errors=ending.validation_errors,
            raw_output=ending.raw_output,
            correlation_id=call.correlation_id,
            decision_notes=_notes(reply),
            attempt_count=call.attempts,
            kind=kind,
            refusal=ending.refusal,
        )
    message, retry_after = ending.message, None
    if isinstance(ending, Throttled | Transient):
        message = f"Failed after {call.attempts} attempts: {message}"
        retry_after = None if ending.wait_seconds is None else math.ceil(ending.wait_seconds)
    return OpenAITransportError(
        message,
        reply.status_code,
        retry_after,
        correlation_id=call.correlation_id,
        attempt_count=call.attempts,
        kind=kind,
    )


def _notes(reply: Reply) -> str:
    """Say what is known of an answer that is no result, without a word of it."""
    usage = reply.usage
    tokens = f"{usage.completion_tokens} tokens answered" if usage else "tokens not counted"
    return f"finish_reason {reply.finish_reason or 'not given'}, {tokens}"


def _log_retry(call: _Call, retry: Retry, reply: Reply, *, reason: str) -> None:
    if retry.repair is not None:
        call.log.warning("completion.repair")
        return
    call.log.warning(
        "completion.retry",
        attempt=call.spent.attempts,
        wait_seconds=round(retry.after_seconds, 3),
        status=reply.status_code,
        reason=reason,
    )


def _log_ending(call: _Call, attempt: Attempt, ending: str) -> None:
    usage = attempt.reply.usage
    log = call.log.info if ending == "success" else call.log.warning
    log(
        "completion.ended",
        ending=ending,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        request_id=attempt.reply.request_id,
    )
