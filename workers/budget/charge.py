"""What the provider's limiter charges for a call, before it is made. Pure.

*Source*: OpenAI, "Rate limits" (read November 2026): a request counts with its input estimated from the characters
and with max_tokens. Where a server takes the larger of the two, or counts other tokens, the budget learns the ratio.
"""

from __future__ import annotations

from workers.contract.model_profile import estimate_tokens


def charge_tokens(*texts: str, max_tokens: int) -> int:
    """Tokens that one request takes from the limit: estimate of its input, and max_tokens."""
    return sum(map(estimate_tokens, texts)) + max_tokens
