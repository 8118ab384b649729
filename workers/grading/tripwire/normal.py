"""Work as the tripwire reads it: what hides a sentence from patterns is taken away, places are kept. Pure."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SPACED_OUT = re.compile(r"(?<!\w)\w(?:[ .\-_*]\w(?!\w)){4,}+")
_DISGUISED = str.maketrans("013457@$!|", "oleastasil")
_DISGUISED_WORD = re.compile(r"(?<![\w@$!|])(?=[\w@$!|]{0,40}[a-z])(?=[\w@$!|]{0,40}[013457@$!|])[\w@$!|]{3,40}")
_HAS_DISGUISED = re.compile(r"[a-z][013457@$!|]+[a-z]|(?<![\w.])[013457@$][a-z]{2}")
"""Names such as `x1` and `list2` are none: a digit in place of a letter is within a word, or begins it."""
_ENCODED = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_PRINTABLE_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Reading:
    """A text to match, and the place of each of its characters in the work."""

    text: str
    places: Sequence[int]


def readings(work: str) -> Iterator[Reading]:
    """The work itself, with disguised words put back, and what it holds in base64."""
    plain = _plain(work)
    yield plain
    if _HAS_DISGUISED.search(plain.text) or _SPACED_OUT.search(plain.text):
        yield _undisguised(plain)
    for found in _ENCODED.finditer(work):
        if decoded := _decoded(found[0]):
            yield Reading(_plain(decoded).text, [found.start()] * len(decoded) * 2)


def _plain(work: str) -> Reading:
    if work.isascii():
        return Reading(work.lower(), range(len(work)))
    letters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(work):
        for letter in unicodedata.normalize("NFKD", character).lower():
            if unicodedata.category(letter) not in {"Mn", "Cf"}:
                letters.append(letter)
                places.append(place)
    return Reading("".join(letters), places)


def _undisguised(reading: Reading) -> Reading:
    """Letters with spaces between them are joined, digits and signs within words read as the letters they look like."""
    pieces: list[str] = []
    places: list[int] = []
    position = 0
    for found in _SPACED_OUT.finditer(reading.text):
        pieces.append(reading.text[position : found.start()])
        places += reading.places[position : found.start()]
        kept = range(found.start(), found.end(), 2)
        pieces.append("".join(reading.text[index] for index in kept))
        places += [reading.places[index] for index in kept]
        position = found.end()
    pieces.append(reading.text[position:])
    places += reading.places[position:]
    joined = "".join(pieces)
    return Reading(_DISGUISED_WORD.sub(lambda word: word[0].translate(_DISGUISED), joined), places)


def _decoded(encoded: str) -> str | None:
    whole = encoded.rstrip("=")
    try:
        text = base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    readable = sum(character.isprintable() or character.isspace() for character in text)
    return text if readable >= _PRINTABLE_SHARE * len(text) and " " in text else None
