"""The members of a chat completion that are read here, as a type for the SDK to fill.

The SDK's own type has five times as many, and filling them takes an eighth of a call's CPU. As with the SDK's, nothing
is checked: a peer may leave members out or fill them with anything, which `classify` deals with. Further members are
kept as they came.
"""

from __future__ import annotations

from typing import Any

from openai import BaseModel


class Message(BaseModel):
    """What the model said."""

    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    """One answer, and why it ended."""

    message: Message | None = None
    finish_reason: str | None = None


class PromptTokensDetails(BaseModel):
    """Of the tokens sent."""

    cached_tokens: Any = None
    cache_write_tokens: Any = None


class CompletionTokensDetails(BaseModel):
    """Of the tokens answered."""

    reasoning_tokens: Any = None


class CompletionUsage(BaseModel):
    """What is billed. Typed as int, the SDK would make numbers of "12" and of true."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class Completion(BaseModel):
    """The response as far as we read it."""

    model: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    choices: list[Choice] | None = None
    usage: CompletionUsage | None = None
