"""What a peer says about itself, made to fit: every name, count and text that leaves the core passes through here.

A provider, a gateway or whatever else answers may send a request id of 400 characters, a NUL, half a character or ten
billion tokens. None of that may cost a valid grade, reach a terminal as an escape sequence, or make a store refuse a
row. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NAME_LENGTH = 255
"""Characters of a request id, a model's name or a fingerprint: what the ledger's columns hold."""
MAX_COUNT = 2_147_483_647
"""The largest whole number that every store's INTEGER holds."""
MAX_RAW_CHARACTERS = 262_144
"""Of an answer that failed. A person reads the beginning; a model's longest honest answer is about half of this."""

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
"""PostgreSQL's text holds no NUL, and no UTF-8 holds half a character."""
_MAX_DETAIL_CHARACTERS = 500
_MAX_DETAIL_ITEMS = 20
_MAX_DETAIL_DEPTH = 4


def name_of(value: object) -> str | None:
    """Read a name in at most `MAX_NAME_LENGTH` printable characters; None when there is none."""
    if not isinstance(value, str):
        return None
    start = value[: 2 * MAX_NAME_LENGTH]
    if not start.isprintable():
        start = "".join(character for character in start if character.isprintable())
    return start.strip()[:MAX_NAME_LENGTH] or None


def count_of(value: object) -> int | None:
    """Read a count of tokens or requests; None for a negative one or a truth value. At most `MAX_COUNT`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return min(value, MAX_COUNT)


def raw_text_of(value: object) -> str | None:
    """Read an answer's own text for keeping: cut at `MAX_RAW_CHARACTERS`, with a mark for what no store holds."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value[:MAX_RAW_CHARACTERS]) if isinstance(value, str) else None


def detail_of(error: Mapping[str, object]) -> Mapping[str, object]:
    """Keep one validation error small: each quotes its input, and the input may be the whole answer."""
    kept = {name: _bounded(value, _MAX_DETAIL_DEPTH) for name, value in error.items() if name != "input"}
    given = error.get("input")
    if not isinstance(given, str | list | dict):
        return {**kept, "input": given} if "input" in error else kept
    is_short = isinstance(given, str) and len(given) <= _MAX_DETAIL_CHARACTERS
    return {**kept, "input": _bounded(given, 1)} if is_short else kept


def _bounded(value: object, depth: int) -> object:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value[:_MAX_DETAIL_CHARACTERS])
    if isinstance(value, list):
        return [_bounded(item, depth - 1) for item in value[:_MAX_DETAIL_ITEMS]] if depth else []
    if isinstance(value, dict):
        items = list(value.items())[:_MAX_DETAIL_ITEMS] if depth else []
        return {str(_bounded(str(name), 0)): _bounded(item, depth - 1) for name, item in items}
    return value
