"""What the detector makes of bytes that are not UTF-8: its plausible readings, and whether one is certain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from charset_normalizer import CharsetMatch

    Chunks = Callable[[], Iterable[bytes]]

_SHOWN_NAMES = {
    "cp1250": "Windows-1250 (Central European)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "cp1252": "Windows-1252 (Western)",
    "cp1253": "Windows-1253 (Greek)",
    "cp1254": "Windows-1254 (Turkish)",
    "cp1255": "Windows-1255 (Hebrew)",
    "cp1256": "Windows-1256 (Arabic)",
    "cp1257": "Windows-1257 (Baltic)",
    "iso8859_2": "ISO-8859-2 (Central European)",
    "iso8859_5": "ISO-8859-5 (Cyrillic)",
    "iso8859_7": "ISO-8859-7 (Greek)",
    "koi8_r": "KOI8-R (Cyrillic)",
    "koi8_u": "KOI8-U (Cyrillic)",
    "mac_roman": "Mac Roman",
    "mac_latin2": "Mac Central European",
    "mac_cyrillic": "Mac Cyrillic",
    "mac_greek": "Mac Greek",
    "cp437": "CP437 (DOS)",
    "cp850": "CP850 (DOS)",
    "cp852": "CP852 (DOS)",
    "cp866": "CP866 (DOS, Cyrillic)",
    "gb18030": "GB18030 (Chinese)",
    "big5": "Big5 (Chinese)",
    "cp932": "Shift JIS (Japanese)",
    "euc_jp": "EUC-JP (Japanese)",
    "cp949": "CP949 (Korean)",
}
NAMED_ENCODINGS = tuple(_SHOWN_NAMES)
"""Encodings other than Unicode: the detector chooses among them, the page offers them."""
_MOST_CHAOS = 0.05
"""charset-normalizer's own measure of disorder, 0 to 1; natural text in its own encoding has next to none."""
_RIVAL_CHAOS = 0.1
"""A reading with this much more disorder than the best one is still plausible in a short text."""
_LEAST_COHERENCE = 0.3
"""Share of the letters' order that fits a known language; below it, the meaning of single bytes is unknown."""
_LEAD = 0.2
"""A rival whose language fits so much worse is none."""
_LEAST_CHARACTERS = 8
"""Characters of a multi-byte encoding; fewer fit several of them by chance."""
_ONLY_NAMED = frozenset({
    "cp437", "cp850", "cp852", "cp866", "mac_roman", "mac_latin2", "mac_cyrillic", "mac_greek",
})  # fmt: skip
"""Each is like the others and like Windows in too many letters: rivals of a reading, never a reading by themselves."""
_WITHIN_WORDS = frozenset("\u2019\u2010\u2011\u2013\u2014\u00ad\u00b7")
"""Apostrophe, hyphens, dashes, middle dot: signs that real words hold."""
_HALF_WIDTH_KANA = re.compile(r"[\uff61-\uff9f]{3}")


def shown_encoding(encoding: str) -> str:
    """An encoding as people call it."""
    return _SHOWN_NAMES.get(encoding, encoding)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An encoding and the detector's confidence in it, 0 to 1."""

    encoding: str
    confidence: float


def plausible_readings(sample: bytes) -> list[CharsetMatch]:
    """What the detector finds possible, best first; readings of the same text are one."""
    from charset_normalizer import from_bytes  # noqa: PLC0415 - 20 ms that an input in UTF-8 does not pay

    found = list(
        from_bytes(sample, cp_isolation=list(NAMED_ENCODINGS), enable_fallback=False, preemptive_behaviour=False)
    )
    if not found:
        return []
    least = min(match.chaos for match in found)
    near = [match for match in found if match.chaos <= least + _RIVAL_CHAOS]
    return sorted(near, key=lambda match: (match.chaos, -match.coherence))


def decide(readings: list[CharsetMatch]) -> Verdict | None:
    """The one certain reading, or None when rivals fit as well or the best one is disordered."""
    if not readings:
        return None
    best = max(readings, key=lambda match: match.coherence - match.chaos)
    rivals = [match for match in readings if match is not best and match.coherence > best.coherence - _LEAD]
    if rivals or best.chaos > _MOST_CHAOS:
        return None
    if best.encoding in _ONLY_NAMED or _reads_oddly(str(best)):
        return None
    is_telling = (
        sum(character > "\x7f" for character in str(best)) >= _LEAST_CHARACTERS
        if is_multibyte(best.encoding)
        else best.coherence >= _LEAST_COHERENCE
    )
    return Verdict(common_name(best), 1 - best.chaos) if is_telling else None


def _reads_oddly(text: str) -> bool:
    """Whether it holds what only a wrong reading writes: capitals and signs within words, runs of half-width kana."""
    for before, character, after in zip(text, text[1:], text[2:], strict=False):
        if character < "\x80" or before > "\u024f" or not before.isalpha():
            continue
        is_sign = not character.isalpha() and character not in _WITHIN_WORDS
        if (before.islower() and character.isupper()) or (is_sign and after.isalpha()):
            return True
    return _HALF_WIDTH_KANA.search(text) is not None


def common_name(match: CharsetMatch) -> str:
    """Of several names for the same text the commonest: German is the same in Windows-1250 and Windows-1252."""
    same = match.could_be_from_charset
    return "cp1252" if "cp1252" in same else str(match.encoding)


def is_multibyte(encoding: str) -> bool:
    """Whether a character may take several bytes: 256 single bytes do not spell it out."""
    try:
        return len("\u4e00\u3042\uac00".encode(encoding, "ignore")) > 0
    except UnicodeError:
        return True
