"""What a call will take before it is sent: tokens of the provider's rate limit, and dollars at the most. Pure.

*Source*: OpenAI, "Rate limits" (read November 2026): a request counts with the larger of its input, estimated from the
characters, and max_tokens. Others count both; what a server counts otherwise, the budget learns as a ratio, but not
where its bucket holds hardly more than one call: that is full again whenever a header shows it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from workers.contract.outcome import Usage
from workers.contract.strict.schema import strict_schema
from workers.contract.tokens import estimate_tokens, most_tokens

if TYPE_CHECKING:
    from pydantic import BaseModel

    from workers.contract.model_profile import ModelProfile


def charge_tokens(*texts: str, max_tokens: int, picture_tokens: int = 0, takes_larger: bool = False) -> int:
    """Tokens that one request takes from the limit: estimated input plus max_tokens, or the larger of the two."""
    prompt_tokens = sum(map(estimate_tokens, texts)) + picture_tokens
    return max(prompt_tokens, max_tokens) if takes_larger else prompt_tokens + max_tokens


def most_usd(
    profile: ModelProfile, *texts: str, schema_model: type[BaseModel], max_tokens: int, picture_tokens: int = 0
) -> float | None:
    """The most that one request can cost: every input token written into the cache, every output token used.

    None where the model has no price.
    """
    prompt_tokens = sum(map(most_tokens, texts)) + picture_tokens + _most_schema_tokens(schema_model)
    plain = profile.cost_usd(Usage(prompt_tokens=prompt_tokens, completion_tokens=max_tokens))
    written = profile.cost_usd(
        Usage(prompt_tokens=prompt_tokens, cache_write_tokens=prompt_tokens, completion_tokens=max_tokens)
    )
    return plain if plain is None or written is None else max(plain, written)


@lru_cache(maxsize=512)
def _most_schema_tokens(schema_model: type[BaseModel]) -> int:
    """The schema travels with every request and is counted as input."""
    return most_tokens(json.dumps(strict_schema(schema_model)))
