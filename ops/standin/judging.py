"""How the stand-in answers where a real grader quotes or doubts: by the names of the fields, as a model would.

It quotes a line of the prompt, or makes one up (`fabricate`); it judges, or says that it cannot (`doubt`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ops.standin.draw import Draw

QUOTED_FIELDS = frozenset({"evidence", "quotation", "quote"})
_ABSTAINING = "cannot_assess"
_ASSESSABLE = "assessable"
_BLOCK = re.compile(r"^<<< [^\n]*\n(.*?)\n>>> ", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"^<<< [^\n]* ([0-9a-f]{32})$", re.MULTILINE)
_MADE_UP = (
    "for element in standin_sequence: handle(element)",
    "the author of this stand-in argues at length",
    "return sorted(standin_values, reverse=True)[0]",
    "raise StandinError('never handed in')",
)


def quotation(draw: Draw) -> str:
    """A line of what was handed in; one that nobody wrote, for the share that fabricates."""
    lines = _lines(draw.source)
    line = draw.choice(lines) if lines else ""
    return f"{draw.choice(_MADE_UP)} {draw.index(1_000_000)}" if draw.happens(draw.fabricate) else line


@lru_cache(maxsize=64)
def _lines(prompt: str) -> tuple[str, ...]:
    work = "\n".join(_BLOCK.findall(prompt)) or prompt
    return tuple(line.strip() for line in work.splitlines() if line.strip())


def without_marks(prompt: str) -> str:
    """What a prompt says, whatever marks its fences were drawn with."""
    for mark in set(_MARK.findall(prompt)):
        prompt = prompt.replace(mark, "mark")
    return prompt


def abstains(schema: dict[str, Any]) -> bool:
    """Whether this object says that something cannot be judged."""
    return _ABSTAINING in schema.get("properties", {})


def is_work_state(values: list[Any]) -> bool:
    """Whether this enumeration says if there is work to judge at all; its first value says that there is."""
    return bool(values) and values[0] == _ASSESSABLE
