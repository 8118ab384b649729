"""Students' names in prompts: what is done about them, and the pseudonyms that may be sent in their place.

Part of the contract: standard library only. Producers put pseudonyms into prompts, workers put the names back into
answers, after everything in them was checked against the prompt as it was sent.
"""

from __future__ import annotations

import hashlib
import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class IdentityRule(StrEnum):
    """What becomes of a prompt that names a student of the class."""

    WARN = "warn"
    """It is sent as it is, and the outcome is flagged."""
    REPLACE = "replace"
    """A pseudonym is sent in place of each name, and the answer gets the name back."""
    REFUSE = "refuse"
    """Nothing of the input is enqueued."""


_DIGITS = 10
"""Hex digits of a pseudonym: 40 bits, which no two students of a class share by chance."""


def pseudonym_of(student: str, kind: str, *, key: str) -> str:
    """`student1f2e3d4c5b`, one word: the same for this student and kind of name wherever the key is the same.

    Without the key nobody can find out whose it is; batches have keys of their own (the mark of their fence).
    """
    digest = hashlib.sha256(json.dumps([key, student]).encode()).hexdigest()[:_DIGITS]
    return f"student{digest}{'' if kind == 'name' else kind}"


def with_names(answer: str, pseudonyms: Mapping[str, str]) -> str:
    """An answer's JSON text with the names that the pseudonyms stand for."""
    return named_text(answer, {each: json.dumps(name, ensure_ascii=False)[1:-1] for each, name in pseudonyms.items()})


def named_text(text: str, pseudonyms: Mapping[str, str]) -> str:
    """A text with the names that the pseudonyms stand for, however a model wrote those."""
    if not pseudonyms:
        return text
    names = {pseudonym.casefold(): name for pseudonym, name in pseudonyms.items()}
    known = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, pseudonyms))})(?![^\W_])", re.IGNORECASE)
    return known.sub(lambda found: names[found[0].casefold()], text)
