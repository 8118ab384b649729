"""How the stand-in counts tokens: an estimate of four characters a token, rounded up.

OpenAI's rule of thumb for English, and near what its rate limiter charges from the character count; a true tokenizer
would cost more time per call than everything else here. *Source*: OpenAI help, "What are tokens", 2026.
"""

from __future__ import annotations

CHARACTERS_PER_TOKEN = 4


def estimate_tokens(characters: int) -> int:
    """Tokens for a text of this many characters, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)
