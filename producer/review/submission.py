"""A student's work as it is shown beside the grade: its parts, and where the grade quotes it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from workers.contract.pictures import Picture, prompt_parts
from workers.contract.schemes.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_QUOTING_KEYS = frozenset({"evidence", "quote", "quotation"})
"""Fields of results that quote the work."""
_SHORTEST_QUOTE = 3
"""Characters: a shorter one occurs in every work, so it marks nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file or field of what was handed in."""

    label: str
    pieces: tuple[str | Picture, ...]
    """Texts and pictures in the order in which they were sent."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A place of a result that quotes the work, numbered from 1 in the result's order."""

    number: int
    text: str


def parts_of(prompt: str, fence_mark: str | None) -> list[Part]:
    """What was handed in, out of the prompt; all of a prompt that came as one text. Nothing for an empty one."""
    if fence_mark is not None:
        fence = Fence(fence_mark)
        _around, blocks = fence.divided(prompt)
        if blocks:
            return [Part(label, _pieces(work, fence)) for label, work in blocks]
    return [Part("submission", (prompt,))] if prompt.strip() else []


def _pieces(work: str, fence: Fence) -> tuple[str | Picture, ...]:
    found = prompt_parts(work, fence.rule_of_parts)
    return tuple(piece for piece in found if isinstance(piece, Picture) or piece.strip())


def quotes_in(result: object) -> list[Quote]:
    """Every quotation of a result, each text once."""
    texts = dict.fromkeys(text for text in _quoted(result) if len(text.strip()) >= _SHORTEST_QUOTE)
    return [Quote(number, text) for number, text in enumerate(texts, start=1)]


def _quoted(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            if name in _QUOTING_KEYS and isinstance(part, str):
                yield part
            else:
                yield from _quoted(part)
    elif isinstance(value, list):
        for part in value:
            yield from _quoted(part)


def marked_html(text: str, quotes: Iterable[Quote]) -> tuple[str, frozenset[int]]:
    """The text as HTML, escaped, each quotation in `<mark>` with its number; and the numbers that were found.

    Whitespace may differ. Of quotations that overlap, the one that begins first is marked.
    """
    found = sorted(
        (place.start(), -place.end(), quote.number)
        for quote in quotes
        if (place := _pattern(quote.text).search(text)) is not None
    )
    pieces, end = [], 0
    for start, negative_end, number in found:
        if start < end:
            continue
        pieces += [escape(text[end:start]), f"<mark>{escape(text[start:-negative_end])}<sup>{number}</sup></mark>"]
        end = -negative_end
    pieces.append(escape(text[end:]))
    return "".join(pieces), frozenset(number for _start, _end, number in found)


def _pattern(quote: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(map(re.escape, quote.split())))
