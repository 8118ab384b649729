"""One request to the provider and how it ended. Workers and `get_structured_completion` both stand on it.

An attempt never raises what the provider or the network did; it is a value. A cancelled task is not an ending and
passes through. Retries belong to the callers, so that each request can be counted and paid for.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import httpx2
from openai.resources.chat.completions import AsyncCompletions

from workers.completion.chat_completion import Completion
from workers.completion.classify import Ending, classify_answer, classify_fault
from workers.completion.fault import PEER_FAULTS, Fault, fault_in, fault_of
from workers.completion.response_note import RateLimits, ResponseNote, noting_response, rate_limits_of
from workers.contract.model_profile import ModelProfile, profile_of
from workers.contract.outcome import Usage
from workers.contract.strict_schema import schema_name, strict_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openai import AsyncOpenAI
    from pydantic import BaseModel


_PROCESS = uuid.uuid4().hex
_REQUESTS = itertools.count(1)
DEFAULT_TIMEOUT_SECONDS = 120.0
"""Long answers of reasoning models take a minute; twice that is a call nobody will see the end of."""


@dataclass(frozen=True, slots=True)
class Repair:
    """An answer that was not valid, and why: shown to the model so that it can mend it."""

    raw_output: str = field(repr=False)
    validation_errors: tuple[Mapping[str, object], ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """What to ask. `timeout_seconds` is the deadline of the whole request, from sending to the last byte."""

    prompt: str = field(repr=False)
    model: str
    schema_model: type[BaseModel]
    temperature: float = 0.2
    max_tokens: int = 4096
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    repair: Repair | None = None
    profile: ModelProfile | None = None
    """Which parameters the model takes; None looks the model up among the bundled profiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is known of the response, whatever the ending. None stands for "the provider did not say"."""

    request_id: str | None = None
    model_answered: str | None = None
    system_fingerprint: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    parameters_sent: Mapping[str, object]
    """Model, temperature, token limit; never the prompt or the schema."""
    rate_limits: RateLimits | None = None
    received: bool = False
    """A response had begun: the request may have been billed."""
    status_code: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, ended."""

    ending: Ending
    reply: Reply


async def attempt_completion(client: AsyncOpenAI, request: CompletionRequest) -> Attempt:
    """Send one request and say how it ended, within the request's deadline. Costs one HTTP request.

    Raises `InvalidInput` before sending when strict mode cannot hold the schema, and nothing else of its own.
    """
    parameters = _parameters(client, request)
    response_format = _response_format(request.schema_model)
    body = {"messages": _messages(request), "response_format": response_format, **parameters}
    with noting_response() as note:
        try:
            async with asyncio.timeout(request.timeout_seconds):
                completion = await _send(client, body)
        except PEER_FAULTS as error:
            return _without_answer(
                fault_of(error, status_code=note.status_code, headers=note.headers), note, parameters
            )
    fault = fault_in(completion, status_code=note.status_code, headers=note.headers)
    if fault is not None:
        return _without_answer(fault, note, parameters)
    ending = classify_answer(completion, request.schema_model)
    return Attempt(ending, _reply(completion, note, parameters))


async def _send(client: AsyncOpenAI, body: dict[str, Any]) -> object:
    create = client.chat.completions.create
    if getattr(create, "__func__", None) is not AsyncCompletions.create:
        return await create(**body)
    # The SDK's own method first walks the whole body against its types, which is a quarter of a call's CPU; ours has
    # nothing to convert. *Source*: openai 3.54, README, "Undocumented endpoints", for `post`.
    options: Any = {
        "security": {"bearer_auth": True},
        # What is not named is copied deeply from a default, or made with a call to the system's random numbers. The SDK
        # sends no idempotency key today; should it one day, each request has its own.
        "headers": {},
        "params": {},
        "max_retries": 0,
        "timeout": client.timeout,
        "idempotency_key": f"{_PROCESS}-{next(_REQUESTS)}",
    }
    return await client.post("/chat/completions", body=body, cast_to=Completion, options=options)


def host_of(client: AsyncOpenAI) -> str | None:
    """Name the client's server. A client made for a test may have no URL: the model's name alone decides then."""
    base_url: object = client.base_url
    return base_url.host if isinstance(base_url, httpx2.URL) else None


def _parameters(client: AsyncOpenAI, request: CompletionRequest) -> dict[str, object]:
    profile = request.profile
    if profile is None:
        profile = profile_of(request.model, host_of(client))
    parameters: dict[str, object] = {"model": request.model, profile.token_parameter: request.max_tokens}
    if profile.takes_temperature:
        parameters["temperature"] = request.temperature
    return parameters


@lru_cache(maxsize=512)
def _response_format(model: type[BaseModel]) -> Mapping[str, object]:
    schema = {"name": schema_name(model), "schema": strict_schema(model), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _messages(request: CompletionRequest) -> list[dict[str, str]]:
    messages = [{"role": "user", "content": request.prompt}]
    if request.repair is not None:
        messages.append({"role": "assistant", "content": request.repair.raw_output})
        messages.append({"role": "user", "content": _repair_prompt(request.repair)})
    return messages


def _repair_prompt(repair: Repair) -> str:
    lines = [f"- {_place(error)}: {error.get('msg', 'not valid')}" for error in repair.validation_errors]
    return "\n".join(
        [
            "Your answer above does not fit the schema:",
            *(lines or ["- it is not valid"]),
            "Give the whole answer again as JSON that fits the schema. Mend these places and keep the rest as it is.",
        ]
    )


def _place(error: Mapping[str, object]) -> str:
    location = error.get("loc")
    return ".".join(map(str, location)) if isinstance(location, list | tuple) and location else "the whole answer"


def _without_answer(fault: Fault, note: ResponseNote, parameters: Mapping[str, object]) -> Attempt:
    ending = classify_fault(fault, now=time.time())
    return Attempt(ending, _reply(None, note, parameters, status_code=fault.status_code))


def _reply(
    completion: object, note: ResponseNote, parameters: Mapping[str, object], *, status_code: int | None = None
) -> Reply:
    choices = getattr(completion, "choices", None)
    first = choices[0] if isinstance(choices, list) and choices else None
    return Reply(
        request_id=note.headers.get("x-request-id"),
        model_answered=_text(getattr(completion, "model", None)),
        system_fingerprint=_text(getattr(completion, "system_fingerprint", None)),
        finish_reason=_text(getattr(first, "finish_reason", None)),
        usage=_usage(getattr(completion, "usage", None)),
        parameters_sent=parameters,
        rate_limits=rate_limits_of(note.headers),
        received=note.status_code is not None or completion is not None or status_code is not None,
        status_code=status_code or note.status_code,
    )


def _usage(usage: object) -> Usage | None:
    prompt_tokens = _count(getattr(usage, "prompt_tokens", None))
    completion_tokens = _count(getattr(usage, "completion_tokens", None))
    if prompt_tokens is None or completion_tokens is None:
        return None
    cached_tokens = _count(getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)) or 0
    details = getattr(usage, "completion_tokens_details", None)
    reasoning_tokens = _count(getattr(details, "reasoning_tokens", None)) or 0
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=min(cached_tokens, prompt_tokens),
        reasoning_tokens=min(reasoning_tokens, completion_tokens),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
