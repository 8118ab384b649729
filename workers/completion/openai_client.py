"""Structured completions: a prompt and a Pydantic model in, a validated instance of the model out.

The public face of the core, for graders that call it directly; workers use `attempt_completion`. Settings are read
when a client is made, from the environment, `.env` or `.streamlit/secrets.toml`. `AsyncOpenAI`, `OPENAI_API_KEY` and
`_client` are looked up here when called, so that a test can put its own in their place.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

import httpx2
from openai import AsyncOpenAI
from pydantic import BaseModel

from workers.completion.attempt import (
    DEFAULT_TIMEOUT_SECONDS,
    Attempt,
    CompletionRequest,
    Repair,
    Reply,
    attempt_completion,
    host_of,
)
from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.clients import LoopClients, new_client
from workers.completion.openai_exceptions import OpenAISchemaValidationError, OpenAITransportError
from workers.completion.server_wait import MAX_WAIT_SECONDS
from workers.contract.job import MAX_TEMPERATURE
from workers.contract.model_profile import ModelProfile, load_profiles, profile_of
from workers.contract.outcome import Failure, FailureKind, Success
from workers.contract.strict_schema import UnsupportedSchema, strict_schema
from workers.settings import load_settings

if TYPE_CHECKING:
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
_logger: Final = logging.getLogger(__name__)
_ANSWERS_THAT_FAIL: Final = frozenset(
    {FailureKind.REFUSED, FailureKind.TRUNCATED, FailureKind.CONTENT_FILTERED, FailureKind.INVALID_OUTPUT}
)
_MAX_DOUBLINGS: Final = 60
"""Beyond it the backoff is far above its bound, and the power no longer fits a float."""


async def get_structured_completion(  # noqa: PLR0917 - the signature its users call
    prompt: str,
    model_name: str,
    schema_model: type[T],
    temperature: float = 0.2,
    max_tokens: int = 4096,
    max_retries: int = 3,
    retry_delay: float = 1.0,
    allow_repair: bool = False,  # noqa: FBT001, FBT002 - as above
) -> T:
    """Return a validated instance of `schema_model`; at most `max_retries` + 1 attempts, and one repair if allowed.

    Timeouts, connection errors, server errors and temporary limits are tried again after `retry_delay * 2**n` seconds,
    or after exactly the wait that the server asks for. A repair shows the model its invalid answer and the errors.

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
    )
    policy = _Policy(max_retries=max_retries, retry_delay_seconds=retry_delay, may_repair=allow_repair)
    value: Any = await _complete(client, request, policy)
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
    prompt: str, model_name: str, temperature: float, max_tokens: int, *, max_retries: int, retry_delay: float
) -> None:
    checks = (
        (bool(prompt and prompt.strip()), "Prompt cannot be empty"),
        (bool(model_name and model_name.strip()), "Model name cannot be empty"),
        (0 <= temperature <= MAX_TEMPERATURE, f"Temperature must be between 0 and {MAX_TEMPERATURE:g}"),
        (max_tokens > 0, "max_tokens must be positive"),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    max_retries: int
    retry_delay_seconds: float
    may_repair: bool


async def _complete(client: AsyncOpenAI, request: CompletionRequest, policy: _Policy) -> BaseModel:
    """Attempt until an ending is final. A repair spends none of the retries."""
    failed = 0
    _logger.info("completion.started model=%s schema=%s", request.model, request.schema_model.__name__)
    while True:
        attempt = await attempt_completion(client, request)
        ending = attempt.ending
        if isinstance(ending, Success):
            _log_ending(request, attempt, "success")
            return ending.value
        if isinstance(ending, Throttled | Transient):
            failed += 1
            if failed <= policy.max_retries:
                await _wait(request, ending, policy, failed)
                continue
        elif policy.may_repair and request.repair is None and _is_repairable(ending):
            _logger.warning("completion.repair model=%s schema=%s", request.model, request.schema_model.__name__)
            request = replace(request, repair=Repair(ending.raw_output or "", ending.validation_errors))
            continue
        _log_ending(request, attempt, _kind(ending))
        raise _public_error(ending, attempt.reply, request, failed)


def _is_repairable(ending: Failure | Blocked) -> TypeGuard[Failure]:
    """Whether there is an answer to show to the model; an empty one leaves nothing to mend."""
    return isinstance(ending, Failure) and ending.kind is FailureKind.INVALID_OUTPUT and bool(ending.validation_errors)


async def _wait(request: CompletionRequest, ending: Throttled | Transient, policy: _Policy, failed: int) -> None:
    wait_seconds = ending.wait_seconds
    if wait_seconds is None:
        doublings = min(failed - 1, _MAX_DOUBLINGS)
        wait_seconds = min(policy.retry_delay_seconds * 2**doublings, MAX_WAIT_SECONDS)
    _logger.warning(
        "completion.retry model=%s schema=%s attempt=%d wait_seconds=%.3f status=%s reason=%s",
        *(request.model, request.schema_model.__name__, failed, wait_seconds, ending.status_code, _kind(ending)),
    )
    await asyncio.sleep(wait_seconds)


def _kind(ending: Failure | Throttled | Transient | Blocked) -> str:
    if isinstance(ending, Failure):
        return ending.kind.value
    if isinstance(ending, Blocked):
        return ending.account.value
    if isinstance(ending, Throttled):
        return "rate_limited"
    return "timed_out" if ending.timed_out else FailureKind.PROVIDER_UNAVAILABLE.value


def _public_error(
    ending: Failure | Throttled | Transient | Blocked, reply: Reply, request: CompletionRequest, failed: int
) -> OpenAITransportError | OpenAISchemaValidationError:
    kind = _kind(ending)
    if isinstance(ending, Failure) and ending.kind in _ANSWERS_THAT_FAIL:
        return OpenAISchemaValidationError(
            ending.message,
            schema_name=request.schema_model.__name__,
            validation_errors=ending.validation_errors,
            raw_output=ending.raw_output,
            kind=kind,
            refusal=ending.refusal,
        )
    message, retry_after = ending.message, None
    if isinstance(ending, Throttled | Transient):
        message = f"Failed after {failed} attempts: {message}"
        retry_after = None if ending.wait_seconds is None else math.ceil(ending.wait_seconds)
    return OpenAITransportError(message, reply.status_code, retry_after, kind=kind)


def _log_ending(request: CompletionRequest, attempt: Attempt, ending: str) -> None:
    usage = attempt.reply.usage
    _logger.log(
        logging.INFO if ending == "success" else logging.WARNING,
        "completion.ended model=%s schema=%s ending=%s prompt_tokens=%s completion_tokens=%s request_id=%s",
        *(request.model, request.schema_model.__name__, ending),
        *((usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)),
        attempt.reply.request_id,
    )
