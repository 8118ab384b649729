"""A Markdown code block around an answer: some servers let a model wrap the JSON that the schema asked for in one.

The code block is packaging and holds no value, so it is removed, once, and its content is judged as if it had come
alone. Text before or after it is the model's own and is no packaging: such an answer stays as it came. Pure.
*Source*: llama.cpp's server, measured October 2026: the marks count as tokens, and max_tokens may cut inside the block.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPENING = re.compile(r"\s*```[ \t]*(?:json)?[ \t]*(?:\r?\n|$)", re.IGNORECASE)
_MARK = "```"
_MARK_LINE = re.compile(r"\n[ \t]*```")
"""Inside JSON this really ends the block: a text value holds no line break."""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """An answer without its code block. `is_open` when a block began and never ended."""

    content: str
    is_open: bool


def without_code_block(raw_output: str) -> Unwrapped:
    """Remove one code block that begins the answer and, if it ends at all, ends it."""
    opening = _OPENING.match(raw_output)
    if opening is None:
        return Unwrapped(raw_output, is_open=False)
    inside = raw_output[opening.end() :]
    end = inside.rstrip()
    if end.endswith(_MARK):
        return Unwrapped(end.removesuffix(_MARK), is_open=False)
    if _MARK_LINE.search(inside):
        return Unwrapped(raw_output, is_open=False)
    return Unwrapped(inside, is_open=True)
