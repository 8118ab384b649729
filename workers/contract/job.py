"""What a producer asks for, and how a job is told from another.

Part of the contract: stdlib and pydantic only. Raises `InvalidInput` on what no worker could do.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PROMPT_BYTES = 4 * 1024 * 1024
"""A prompt above 4 MiB exceeds the context of every model on offer; it is a mistake in the input."""
MAX_ITEM_ID_LENGTH = 255
"""Keeps the key (batch, item id) indexable on every store."""
MAX_TEMPERATURE = 2.0
"""The API's own upper bound."""


class QueueName(StrEnum):
    """The two kinds of waiting: somebody looks at the screen, or nobody does."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobParameters:
    """How a job is to be completed. Checked when made; part of the content hash."""

    temperature: float = 0.2
    max_tokens: int = 4096
    max_retries: int = 3
    """Bounds the attempts of one round: at most max_retries + 1."""
    retry_delay_seconds: float = 1.0
    """Base of the exponential wait after a transient failure."""
    allow_repair: bool = False
    fallback_model: str | None = None
    deadline_seconds: float | None = None
    """From enqueue to the last moment an attempt may start; parked and paused time does not count."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= MAX_TEMPERATURE:
            raise InvalidInput("temperature must be between 0 and 2")
        if self.max_tokens <= 0:
            raise InvalidInput("max_tokens must be positive")
        if self.max_retries < 0:
            raise InvalidInput("max_retries must be non-negative")
        if self.retry_delay_seconds < 0:
            raise InvalidInput("retry_delay must be non-negative")
        if self.deadline_seconds is not None and self.deadline_seconds <= 0:
            raise InvalidInput("deadline must be positive")
        if self.fallback_model is not None and not self.fallback_model.strip():
            raise InvalidInput("fallback model cannot be empty")

    def as_json(self) -> dict[str, object]:
        """Every field by name, ready for a JSON column."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One thing to grade. `id` is the caller's own and unique in its batch; `metadata` comes back untouched."""

    id: str
    prompt: str = field(repr=False)
    schema: str
    model: str
    parameters: JobParameters = JobParameters()
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.id or len(self.id) > MAX_ITEM_ID_LENGTH:
            raise InvalidInput(f"id must have 1 to {MAX_ITEM_ID_LENGTH} characters")
        if not self.prompt.strip():
            raise InvalidInput(f"prompt of {self.id!r} is empty")
        if "\x00" in self.prompt:
            raise InvalidInput(f"prompt of {self.id!r} holds a NUL character; is the file binary?")
        if len(self.prompt) > MAX_PROMPT_BYTES or len(self.prompt.encode(errors="replace")) > MAX_PROMPT_BYTES:
            raise InvalidInput(f"prompt of {self.id!r} is larger than {MAX_PROMPT_BYTES // 2**20} MiB")
        if not self.model.strip():
            raise InvalidInput(f"model of {self.id!r} is empty")


def prompt_hash(prompt: str) -> str:
    """SHA-256 of the prompt, hex: tells equal prompts apart from others without showing one."""
    return hashlib.sha256(prompt.encode("utf-8", errors="surrogatepass")).hexdigest()


def content_hash(spec: JobSpec, *, schema_fingerprint: str, provider: str) -> str:
    """SHA-256 over all that decides the answer: schema, prompt, model, parameters, provider."""
    content = {
        "schema": schema_fingerprint,
        "prompt": prompt_hash(spec.prompt),
        "model": spec.model,
        "parameters": spec.parameters.as_json(),
        "provider": provider,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
