"""The members of a chat completion that are read here.

The SDK's own type has five times as many, and filling them takes an eighth of a call's CPU. As with the SDK's, nothing
is checked: a peer may leave members out or fill them with anything, which `classify` deals with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(slots=True)
class Message:
    """What the model said."""

    content: Any = None
    refusal: Any = None


@dataclass(slots=True)
class Choice:
    """One answer, and why it ended."""

    message: Any = None
    finish_reason: Any = None
    error: Any = None


@dataclass(slots=True)
class PromptTokensDetails:
    """Of the tokens sent."""

    cached_tokens: Any = None
    cache_write_tokens: Any = None


@dataclass(slots=True)
class CompletionTokensDetails:
    """Of the tokens answered."""

    reasoning_tokens: Any = None


@dataclass(slots=True)
class CompletionUsage:
    """What is billed."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    prompt_tokens_details: Any = None
    completion_tokens_details: Any = None


@dataclass(slots=True)
class Completion:
    """The response as far as we read it."""

    model: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None
    choices: Any = None
    usage: Any = None
    error: Any = None


def completion_of(body: Mapping[str, Any]) -> Completion:
    """Read a response's JSON object; a member that is no object where one belongs is kept as it came."""
    choices = body.get("choices")
    return Completion(
        model=body.get("model"),
        service_tier=body.get("service_tier"),
        system_fingerprint=body.get("system_fingerprint"),
        choices=[_read(each, _choice) for each in choices] if isinstance(choices, list) else choices,
        usage=_read(body.get("usage"), _usage),
        error=body.get("error"),
    )


def _read(value: object, read: Callable[[Mapping[str, Any]], object]) -> object:
    return read(value) if isinstance(value, dict) else value


def _choice(choice: Mapping[str, Any]) -> Choice:
    return Choice(_read(choice.get("message"), _message), choice.get("finish_reason"), choice.get("error"))


def _message(message: Mapping[str, Any]) -> Message:
    return Message(message.get("content"), message.get("refusal"))


def _usage(usage: Mapping[str, Any]) -> CompletionUsage:
    return CompletionUsage(
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        _read(usage.get("prompt_tokens_details"), _prompt_tokens),
        _read(usage.get("completion_tokens_details"), _completion_tokens),
    )


def _prompt_tokens(details: Mapping[str, Any]) -> PromptTokensDetails:
    return PromptTokensDetails(details.get("cached_tokens"), details.get("cache_write_tokens"))


def _completion_tokens(details: Mapping[str, Any]) -> CompletionTokensDetails:
    return CompletionTokensDetails(details.get("reasoning_tokens"))
