"""One request to the provider and how it ended. Workers and `get_structured_completion` are both built on it.

An attempt never raises what the provider or the network did; it is a value. What the peer says about itself is cleaned
here, where the reply is read: a request id, a name or a count that a store cannot hold never costs a grade. A cancelled
task is not an ending and passes through. Retries belong to the callers, so that each request can be counted and paid
for.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import httpx2
from openai.resources.chat.completions import AsyncCompletions

from workers.completion.chat_body import chat_body
from workers.completion.classify import Ending, Throttled, classify_answer, classify_failed_call
from workers.completion.errors.failed_call import PEER_ERRORS, FailedCall, failed_call_in, failed_call_of
from workers.completion.peer_values import count_of, name_of
from workers.completion.transport.bounded_body import body_bound
from workers.completion.transport.chat_post import post_chat
from workers.completion.transport.event_stream import STREAM_PARAMETERS, completion_of_events
from workers.completion.transport.response_note import (
    RateLimits,
    ResponseNote,
    noting_response,
    rate_limits_of,
    request_id_of,
)
from workers.contract.outcome import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from openai import AsyncOpenAI
    from pydantic import BaseModel

    from workers.completion.repair import Repair
    from workers.contract.model_profile import ModelProfile


_PROCESS = uuid.uuid4().hex
_REQUESTS = itertools.count(1)
DEFAULT_TIMEOUT_SECONDS = 120.0
"""Long answers of reasoning models take a minute; a call of twice that rarely ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """What to ask. `timeout_seconds` is the deadline of the whole request, from sending to the last byte.

    `max_tokens` None sends no limit: the model's own holds.
    """

    prompt: str = field(repr=False)
    model: str
    instructions: str | None = field(default=None, repr=False)
    """Sent in a message of their own before the prompt; None sends the prompt alone."""
    cache_key: str | None = None
    """Equal for requests that share their instructions; sent where the provider takes it."""
    schema_model: type[BaseModel]
    temperature: float = 0.2
    max_tokens: int | None = 4096
    effort: str | None = None
    verbosity: str | None = None
    """These two are sent where the model takes them."""
    asks_standard_tier: bool = False
    """Where the model takes one: ask for the tier that its prices are of, whatever the account's own default is."""
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    repair: Repair | None = None
    profile: ModelProfile | None = None
    """Which parameters the model takes; None looks the model up among the bundled profiles."""
    is_lenient: bool = False
    """As in `decode`: workers never are."""
    is_streamed: bool = False
    """Ask for events, so that the headers need not wait for the answer; what is returned is the same."""
    on_limits: Callable[[RateLimits | None], None] | None = field(default=None, repr=False)
    """Called when the headers of a response with status 200 are here; must not raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is known of the response, whatever the ending; what leaves here fits the ledger's columns.

    None means that the provider did not say, or said nothing readable. Names have at most 255 printable characters,
    counts at most 31 bits.
    """

    request_id: str | None = None
    model_answered: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    """The one that really served, which prices the answer."""
    finish_reason: str | None = None
    usage: Usage | None = None
    parameters_sent: Mapping[str, object]
    """Model, temperature, token limit, effort, verbosity, tier; never the prompt or the schema."""
    rate_limits: RateLimits | None = None
    is_streamed: bool = False
    """The answer came as events."""
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
    body = chat_body(request, host=host_of(client))
    content, parameters = dict(body.content), body.parameters
    if request.is_streamed:
        content |= STREAM_PARAMETERS
    with _noting(request) as note:
        try:
            async with asyncio.timeout(request.timeout_seconds):
                came = await _send(client, content)
            completion = completion_of_events(came) if request.is_streamed and isinstance(came, str) else came
        except PEER_ERRORS as error:
            failed = failed_call_of(error, status_code=note.status_code, headers=note.headers)
            return without_answer(failed, note, parameters)
    return attempt_of(completion, note, request=request, parameters=parameters, is_streamed=completion is not came)


def attempt_of(
    completion: object,
    note: ResponseNote,
    *,
    request: CompletionRequest,
    parameters: Mapping[str, object],
    is_streamed: bool = False,
) -> Attempt:
    """Judge what came back under a good status: an answer, or the error in its place. Pure."""
    failed = failed_call_in(completion, status_code=note.status_code, headers=note.headers)
    if failed is not None:
        return without_answer(failed, note, parameters)
    reply = _reply(completion, note, parameters, is_streamed=is_streamed)
    ending = classify_answer(
        completion,
        request.schema_model,
        is_lenient=request.is_lenient,
        max_tokens=request.max_tokens,
        usage=reply.usage,
    )
    return Attempt(ending, reply)


def without_answer(failed: FailedCall, note: ResponseNote, parameters: Mapping[str, object]) -> Attempt:
    """Judge a call that brought no answer."""
    ending = classify_failed_call(failed, now=time.time())
    reply = _reply(None, note, parameters, status_code=failed.status_code)
    if isinstance(ending, Throttled) and reply.rate_limits is not None:
        limits = reply.rate_limits.without_contradicted_resets(ending.wait_seconds)
        reply = replace(reply, rate_limits=limits)
    return Attempt(ending, reply)


def _noting(request: CompletionRequest) -> AbstractContextManager[ResponseNote]:
    tell = request.on_limits
    return noting_response(
        max_body_bytes=body_bound(request.max_tokens, is_streamed=request.is_streamed),
        on_headers=None if tell is None else lambda headers: tell(rate_limits_of(headers)),
    )


async def _send(client: AsyncOpenAI, body: dict[str, Any]) -> object:
    create = client.chat.completions.create
    if getattr(create, "__func__", None) is not AsyncCompletions.create:
        return await create(**body)
    return await post_chat(client, body, idempotency_key=f"{_PROCESS}-{next(_REQUESTS)}")


def host_of(client: AsyncOpenAI) -> str | None:
    """Name the client's server. A client made for a test may have no URL: the model's name alone decides then."""
    base_url: object = client.base_url
    return base_url.host if isinstance(base_url, httpx2.URL) else None


def _reply(
    completion: object,
    note: ResponseNote,
    parameters: Mapping[str, object],
    *,
    status_code: int | None = None,
    is_streamed: bool = False,
) -> Reply:
    choices = getattr(completion, "choices", None)
    first = choices[0] if isinstance(choices, list) and choices else None
    return Reply(
        request_id=request_id_of(note.headers),
        model_answered=name_of(getattr(completion, "model", None)),
        system_fingerprint=name_of(getattr(completion, "system_fingerprint", None)),
        service_tier=name_of(getattr(completion, "service_tier", None)),
        finish_reason=name_of(getattr(first, "finish_reason", None)),
        usage=_usage(getattr(completion, "usage", None)),
        parameters_sent=parameters,
        rate_limits=rate_limits_of(note.headers),
        is_streamed=is_streamed,
        received=note.status_code is not None or completion is not None or status_code is not None,
        status_code=status_code or note.status_code,
    )


def _usage(usage: object) -> Usage | None:
    prompt_tokens = count_of(getattr(usage, "prompt_tokens", None))
    completion_tokens = count_of(getattr(usage, "completion_tokens", None))
    if prompt_tokens is None or completion_tokens is None:
        return None
    of_prompt = getattr(usage, "prompt_tokens_details", None)
    cached_tokens = min(count_of(getattr(of_prompt, "cached_tokens", None)) or 0, prompt_tokens)
    cache_write_tokens = count_of(getattr(of_prompt, "cache_write_tokens", None)) or 0
    of_answer = getattr(usage, "completion_tokens_details", None)
    reasoning_tokens = count_of(getattr(of_answer, "reasoning_tokens", None)) or 0
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=cached_tokens,
        cache_write_tokens=min(cache_write_tokens, prompt_tokens - cached_tokens),
        reasoning_tokens=min(reasoning_tokens, completion_tokens),
    )
