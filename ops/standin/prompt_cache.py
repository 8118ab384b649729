"""The provider's prompt cache: which prefix of a prompt was seen lately, and what is written anew.

From gpt-5.6 on a prefix ends at a breakpoint: an explicit one in a content part, or the implicit one at the end of the
last message. Earlier models match any prefix in steps of 128 tokens and write for free. An entry can be read once the
call that wrote it has been answered, so calls sent side by side miss it and each pays the write.
*Source*: OpenAI, prompt caching guide and the docstrings of openai 3.54 (completion_create_params.py), November 2026.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.standin.tokens import CHARACTERS_PER_TOKEN, estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LEAST_TOKENS = 1024
"""A shorter prefix is neither read nor written."""
BLOCK_TOKENS = 128
MOST_WRITES = 4
"""Breakpoints that one request may write, the latest ones; an implicit one is among them."""
LIFETIMES_SECONDS = {"30m": 30 * 60.0, "12h": 12 * 3600.0}
AUTOMATIC_LIFETIME_SECONDS = 300.0
"""Earlier models: five to ten minutes without use."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning of a prompt, up to a place where it may be cached."""

    digest: bytes
    tokens: int
    ttl: str = "30m"


@dataclass(frozen=True, slots=True)
class CachePlan:
    """What of one request can be cached, the shortest prefix first."""

    key: str
    prefixes: tuple[Prefix, ...] = ()
    is_write_billed: bool = True


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What one answered request read and wrote; `written_ttl` says at which price."""

    read_tokens: int = 0
    written_tokens: int = 0
    written_ttl: str = "30m"


class PromptCache:
    """Entries per (account, model, cache key). Times are seconds on the server's clock."""

    def __init__(self) -> None:
        self._expires: dict[tuple[str, str, str, bytes], float] = {}

    def read(self, account: str, model: str, plan: CachePlan, *, now: float) -> int:
        """Tokens of the longest known prefix; asked when a call is admitted."""
        known = (each.tokens for each in plan.prefixes if self._lives((account, model, plan.key, each.digest), now))
        return max(known, default=0)

    def write(self, account: str, model: str, plan: CachePlan, *, read_tokens: int, now: float) -> CacheUse:
        """Keep every prefix of an answered call; says what the call is billed for."""
        longest, ttl = 0, "30m"
        for prefix in plan.prefixes:
            if prefix.tokens > longest:
                longest, ttl = prefix.tokens, prefix.ttl
            entry = (account, model, plan.key, prefix.digest)
            lifetime = LIFETIMES_SECONDS[prefix.ttl] if plan.is_write_billed else AUTOMATIC_LIFETIME_SECONDS
            self._expires[entry] = now + lifetime  # a read renews it, too
        written = max(0, longest - read_tokens) if plan.is_write_billed else 0
        return CacheUse(read_tokens, written, ttl)

    def _lives(self, entry: tuple[str, str, str, bytes], now: float) -> bool:
        return self._expires.get(entry, now) > now


def breakpoint_plan(
    texts: Sequence[tuple[str, str]],
    marked: Iterable[tuple[int, str]],
    *,
    key: str,
    is_implicit: bool,
    request_ttl: str,
) -> CachePlan:
    """Prefixes that end after the marked (role, text)s, and after the last one where that is implicit.

    `marked` holds (index, ttl).
    """
    ends = sorted(marked)[-(MOST_WRITES - 1 if is_implicit else MOST_WRITES) :]
    if is_implicit:
        ends = [*ends, (len(texts) - 1, request_ttl)]
    digest, characters, digests = hashlib.sha256(), 0, {}
    wanted = dict(ends)
    for index, (role, text) in enumerate(texts):
        digest.update(f"\0{role}\0{text}".encode("utf-8", "surrogatepass"))
        characters += len(text)
        if index in wanted:
            digests[index] = Prefix(digest.digest(), estimate_tokens(characters), wanted[index])
    return CachePlan(key, tuple(each for each in digests.values() if each.tokens >= LEAST_TOKENS))


def automatic_plan(conversation: str, *, key: str) -> CachePlan:
    """Prefixes of 1,024 tokens and every 128 more, as models before gpt-5.6 match them."""
    text = conversation.encode("utf-8", "surrogatepass")
    characters_per_block = BLOCK_TOKENS * CHARACTERS_PER_TOKEN
    digest, prefixes = hashlib.sha256(), []
    for block in range(len(text) // characters_per_block):
        digest.update(text[block * characters_per_block : (block + 1) * characters_per_block])
        tokens = (block + 1) * BLOCK_TOKENS
        if tokens >= LEAST_TOKENS:
            prefixes.append(Prefix(digest.copy().digest(), tokens))
    return CachePlan(key, tuple(prefixes), is_write_billed=False)
