"""Names and values that no strict decoder takes, and the safe ids under which they travel instead.

Part of the contract: stdlib only. A quotation mark, a backslash, a line break or a control character in a property's
name or in an enum's value makes the provider refuse every request that carries the schema. Prompts and schemas take
their ids from here, so that both say the same.

*Source*: OpenAI's answer `" is not allowed in string literals for structured outputs (strict=true)`, the same for a
line break (community.openai.com, topic 1366742; public issue threads, 2025-2026).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNSAFE = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029]')
_LOOKALIKE = {'"': "'", "\\": "/"}


def unsafe_character(text: str) -> str | None:
    """Find the first character that a strict decoder refuses in a name or value."""
    found = _UNSAFE.search(text)
    return found.group() if found else None


def safe_ids(texts: Iterable[str]) -> dict[str, str]:
    """Give each text an id that travels: itself where it is safe, else its nearest spelling, unique among all.

    The same texts in the same order always get the same ids.
    """
    texts = list(texts)
    taken = {text for text in texts if not unsafe_character(text)}
    ids: dict[str, str] = {}
    for text in texts:
        if text not in ids:
            ids[text] = text if text in taken else _free_id(text, taken)
            taken.add(ids[text])
    return ids


def meaning(safe_id: str, text: str) -> str:
    """Say in one sentence for a schema's description what an id stands for."""
    return f"'{safe_id}' stands for {json.dumps(text, ensure_ascii=False)}."


def _free_id(text: str, taken: set[str]) -> str:
    spelled = _UNSAFE.sub(lambda found: _LOOKALIKE.get(found.group(), " "), text)
    base = " ".join(spelled.split()) or "value"
    candidate, number = base, 1
    while candidate in taken:
        number += 1
        candidate = f"{base} ({number})"
    return candidate
