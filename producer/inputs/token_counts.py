"""How many tokens prompts have: by OpenAI's own tokenizer where it is installed, else by kinds of characters.

The tokenizer (o200k, from `bpe-openai`) carries its data and loads nothing from elsewhere; it takes 0.5 s and 140 MB,
so only who asks for an estimate at the terminal loads it. Other companies' models have tokenizers of their own.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from workers.contract.tokens import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

_OF_OPENAI = re.compile(r"(?:.*/)?(?:ft:)?(?:gpt-(?:4o|4\.1|[5-9])|chatgpt-|o[134])")
"""Models whose texts o200k counts. *Source*: tiktoken's model table (read November 2026), and OpenAI's later models."""
EXACT_DOUBT, KINDS_DOUBT, FOREIGN_DOUBT = 0.02, 0.25, 0.35
"""How far a count may be from the provider's, as a share: measured over programs, tables and 15 languages."""


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts texts. `name` says how, for people."""

    count: Callable[[str], int]
    name: str
    is_tokenizer: bool

    def doubt(self, model: str) -> float:
        """How far its counts may be from what this model's provider counts, as a share."""
        if not _OF_OPENAI.match(model):
            return FOREIGN_DOUBT
        return EXACT_DOUBT if self.is_tokenizer else KINDS_DOUBT

    def sentence(self, model: str) -> str:
        """How the tokens of this model were counted."""
        is_guess = "" if _OF_OPENAI.match(model) else "; a guess for this model, which has a tokenizer of its own"
        return f"{self.name}{is_guess}"


BY_KINDS = TokenCounter(estimate_tokens, "kinds of characters", is_tokenizer=False)


@lru_cache(maxsize=1)
def best_counter() -> TokenCounter:
    """The tokenizer where it is installed (`pip install 'gradequeue[estimate]'`), else the count by kinds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # bpe-openai 0.1.4 reads its data in an older way
        try:
            from bpe_openai import get_encoding  # noqa: PLC0415 - 140 MB, for who wants an estimate
        except ImportError:
            return BY_KINDS
        encode = get_encoding("o200k_base").encode_ordinary
    return TokenCounter(lambda text: len(encode(text)), "OpenAI's tokenizer (o200k)", is_tokenizer=True)
