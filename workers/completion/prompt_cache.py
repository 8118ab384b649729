"""Asking the provider's cache for the part of a prompt that many requests share.

*Source*: OpenAI, "Prompt caching", and openai 3.54, completion_create_params.py (November 2026): a write costs 1.25 x
input, a read a tenth and less. Without an explicit breakpoint there is one near the latest message, so that equal
instructions before ever new work are written each time and read never.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.contract.model_profile import ModelProfile

LEAST_CACHED_TOKENS = 1_024
"""A shorter prompt is never cached."""
_KEY_DIGITS = 40


def cache_key(batch_id: int, instructions: str) -> str:
    """Equal for requests that share instructions within a batch: routes them to the machine that has them cached."""
    content = f"{batch_id} {hashlib.sha256(instructions.encode()).hexdigest()}"
    return hashlib.sha256(content.encode()).hexdigest()[:_KEY_DIGITS]


def instructions_message(instructions: str, profile: ModelProfile) -> dict[str, Any]:
    """The first message, marked as the part to cache where the model takes such a mark."""
    if not profile.takes_cache_breakpoint:
        return {"role": profile.instructions_role, "content": instructions}
    part = {"type": "text", "text": instructions, "prompt_cache_breakpoint": {"mode": "explicit"}}
    return {"role": profile.instructions_role, "content": [part]}


def cache_parameters(profile: ModelProfile, *, key: str | None, has_instructions: bool) -> dict[str, Any]:
    """What the request says of the cache; nothing to servers that are not known to take it."""
    asked: dict[str, Any] = {}
    if key is not None and profile.takes_cache_key:
        asked["prompt_cache_key"] = key
    if has_instructions and profile.takes_cache_breakpoint:
        asked["prompt_cache_options"] = {"mode": "explicit"}
    return asked
