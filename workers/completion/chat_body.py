"""The body of a chat completion request, built in one place: live calls send it, and so do the lines of a batch.

Pure; the parts that a ledger may hold are separate from prompt and schema.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from workers.completion.prompt_cache import cache_parameters, instructions_message
from workers.completion.repair import repair_messages
from workers.contract.model_parameters import sends_temperature, sent_effort, sent_verbosity
from workers.contract.model_profile import profile_of
from workers.contract.pictures import has_pictures, prompt_parts
from workers.contract.strict.schema import schema_name, strict_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from workers.completion.attempt import CompletionRequest
    from workers.contract.model_profile import ModelProfile

STANDARD_TIER = "default"
"""*Source*: openai 3.54, types/chat/completion_create_params.py: `service_tier`; left out, it is the project's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatBody:
    """What is sent, without what asks for a stream."""

    content: Mapping[str, Any] = field(repr=False)
    parameters: Mapping[str, object]
    """The part of it that is neither prompt nor schema: the ledger keeps it."""


def chat_body(request: CompletionRequest, *, host: str | None) -> ChatBody:
    """Build the body for a server; `host` decides where the request brings no profile of its own.

    Raises `InvalidInput` when strict mode cannot hold the schema.
    """
    profile = request.profile or profile_of(request.model, host)
    parameters = {
        **_parameters(profile, request),
        **cache_parameters(profile, key=request.cache_key, has_instructions=request.instructions is not None),
    }
    response_format = _response_format(request.schema_model, profile.takes_length_limits)
    content = {"messages": messages_of(request, profile), "response_format": response_format, **parameters}
    return ChatBody(content=content, parameters=parameters)


def _parameters(profile: ModelProfile, request: CompletionRequest) -> dict[str, object]:
    parameters: dict[str, object] = {"model": request.model}
    if request.max_tokens is not None:
        parameters[profile.token_parameter] = request.max_tokens
    if sends_temperature(profile, request.effort):
        parameters["temperature"] = request.temperature
    if effort := sent_effort(profile, request.effort):
        parameters["reasoning_effort"] = effort
    if verbosity := sent_verbosity(profile, request.verbosity):
        parameters["verbosity"] = verbosity
    if request.asks_standard_tier and profile.takes_service_tier:
        parameters["service_tier"] = STANDARD_TIER
    return parameters


@lru_cache(maxsize=512)
def _response_format(
    model: type[BaseModel],
    takes_lengths: bool,  # noqa: FBT001 - a key of the cache
) -> Mapping[str, object]:
    wire = strict_schema(model, takes_lengths=takes_lengths)
    schema = {"name": schema_name(model), "schema": wire, "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def messages_of(request: CompletionRequest, profile: ModelProfile) -> list[dict[str, Any]]:
    """The messages in order: instructions, the prompt, and what a repair adds."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": _content(request)}]
    if request.instructions is not None:
        messages.insert(0, instructions_message(request.instructions, profile))
    return [*messages, *repair_messages(request.repair)] if request.repair is not None else messages


def _content(request: CompletionRequest) -> str | list[dict[str, Any]]:
    """The prompt byte for byte; with pictures, its texts and pictures as parts in order."""
    if not has_pictures(request.prompt, request.instructions):
        return request.prompt
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": part.url, "detail": "high"}}
        for part in prompt_parts(request.prompt, request.instructions)
    ]
