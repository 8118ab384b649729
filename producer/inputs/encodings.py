"""Which encoding a file is in: UTF-8, what its mark says, what the user named, or what a detector is sure of.

UTF-8 is tried first and nothing else is looked at when it holds, so a folder of UTF-8 files costs no detection. The
rest is refused with a sentence unless every plausible reading gives the same text: a changed submission would be
graded. A file that mixes UTF-8 with something else is refused with line numbers, also under a named encoding, because
one reading of it changes the text.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.inputs.detection import Verdict, common_name, decide, is_multibyte, plausible_readings, shown_encoding
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from charset_normalizer import CharsetMatch

    Chunks = Callable[[], Iterable[bytes]]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16, so it is asked for first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KNOWN_BINARIES = (
    (b"PK\x03\x04", "a zip archive or an Office document"),
    (b"%PDF-", "a PDF"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"SQLite format 3\x00", "a database"),
)
HOW_TO_SAVE = "save it as plain text (a spreadsheet: as CSV) in UTF-8"
NAME_IT_BY_OPTION = "name the encoding with --encoding"
NAME_IT_ON_THE_PAGE = "choose the encoding in the list"
# Tab, line ends, form feed, escape and a DOS end of file are met in real text.
_NUL = re.compile("\x00")
_BINARY_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f\x7f]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_ODD_BYTES = re.compile("[\udc80-\udcff]")
"""What `surrogateescape` makes of bytes that are not UTF-8."""
_UTF_8 = "utf-8"
_NO_TEXT = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "utf_7"})
_SAMPLE_BYTES = 16 * 1024
"""Of the lines that are not UTF-8: more changes no verdict and costs the detector milliseconds per kilobyte."""
_LONGEST_PIECE = 1 << 20
"""A longer line is looked at in pieces, so that memory stays bounded."""
_ACCIDENT = 4
"""So many characters of UTF-8 in one line are no accident, even in a multi-byte encoding."""
_LINES_SHOWN = 5
_GUESSES_SHOWN = 3


class Encodings:
    """Finds the encoding of every file of one input, and remembers what it assumed, so that it can be said.

    `named` is the user's word for files that are neither UTF-8 nor marked; `InvalidInput` when there is no such one.
    With `certain` nothing is assumed: such files are refused. `how_to_name` is what to do when it is unknown.
    """

    def __init__(
        self, named: str | None = None, *, certain: bool = False, how_to_name: str = NAME_IT_BY_OPTION
    ) -> None:
        self._certain = certain
        self.how_to_name = how_to_name
        self.named = _checked_name(named) if named else None
        self._assumed: dict[tuple[str, bytes], Verdict] = {}

    def find(self, chunks: Chunks, *, where: str) -> str:
        """Name the encoding that holds every byte, or raise `InvalidInput`; `chunks` is called once per look."""
        start = next(iter(chunks()), b"")
        for signature, what in _KNOWN_BINARIES:
            if start.startswith(signature):
                raise InvalidInput(f"this is {what}, not text; {HOW_TO_SAVE}", where=where)
        marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
        if marked is not None:
            if not _holds(marked, chunks, where=where):
                raise InvalidInput(f"this is not text in {marked}, as its first bytes say; {HOW_TO_SAVE}", where=where)
            return marked
        if self.named is not None:
            return self._as_named(self.named, chunks, where)
        if _holds(_UTF_8, chunks, where=where):
            return _UTF_8
        if self._certain:
            raise InvalidInput(f"{_lines(_Survey.of(chunks).odd_lines)} not UTF-8; save the file in UTF-8", where=where)
        return self._detected(chunks, where)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence per encoding that was assumed: how many files, which ones, how sure the detector is."""
        files: dict[str, list[str]] = defaultdict(list)
        confidence: dict[str, float] = defaultdict(lambda: 1.0)
        for (where, _), verdict in self._assumed.items():
            files[verdict.encoding].append(where)
            confidence[verdict.encoding] = min(confidence[verdict.encoding], verdict.confidence)
        return tuple(self._note(encoding, names, confidence[encoding]) for encoding, names in sorted(files.items()))

    def _note(self, encoding: str, names: list[str], confidence: float) -> str:
        count = f"{len(names):,} {'file' if len(names) == 1 else 'files'}"
        shown = ", ".join(names[:_LINES_SHOWN]) + (", ..." if len(names) > _LINES_SHOWN else "")
        return (
            f"read as {shown_encoding(encoding)}: {count} ({shown}), confidence {confidence:.0%}; "
            f"if that is wrong, {self.how_to_name}"
        )

    def _as_named(self, named: str, chunks: Chunks, where: str) -> str:
        """The user's word is for what is not UTF-8: a folder often holds both, and UTF-8 is not met by chance."""
        if any(not chunk.isascii() for chunk in chunks()) and _holds(_UTF_8, chunks):
            return _UTF_8
        _Survey.of(chunks).refuse_mixture(where, is_multibyte=is_multibyte(named))
        if not _holds(named, chunks, where=where):
            raise InvalidInput(f"this is not text in {named}; {HOW_TO_SAVE}, or {self.how_to_name}", where=where)
        return named

    def _detected(self, chunks: Chunks, where: str) -> str:
        survey = _Survey.of(chunks)
        _refuse_unlikely(survey.sample.decode("latin-1"), _BINARY_CONTROLS, where)
        key = (where, hashlib.sha256(survey.sample).digest())
        if key in self._assumed and _holds(self._assumed[key].encoding, chunks, where=where):
            return self._assumed[key].encoding  # an input is read twice, and detection costs the most
        readings = plausible_readings(bytes(survey.sample))
        verdict = decide(readings)
        survey.refuse_mixture(where, is_multibyte=verdict is not None and is_multibyte(verdict.encoding))
        if verdict is None or not _holds(verdict.encoding, chunks, where=where):
            raise InvalidInput(f"{_why_unsure(survey, readings)}, or {self.how_to_name}", where=where)
        self._assumed[key] = verdict
        return verdict.encoding


@dataclass(slots=True)
class _Survey:
    """Which lines of a file are UTF-8 and which are not. Lines of ASCII say nothing and are left out."""

    odd_lines: list[int] = field(default_factory=list)
    """Not UTF-8; the first few."""
    utf8_lines: list[int] = field(default_factory=list)
    most_utf8_characters: int = 0
    """Beyond ASCII, in one line."""
    sample: bytearray = field(default_factory=bytearray, repr=False)

    @classmethod
    def of(cls, chunks: Chunks) -> _Survey:
        survey = cls()
        for number, line in _numbered_lines(chunks()):
            if not line.isascii():
                survey._add(number, line)
        return survey

    def refuse_mixture(self, where: str, *, is_multibyte: bool) -> None:
        """Raise `InvalidInput` when UTF-8 is mixed with something else; multi-byte text can look so by accident."""
        least = _ACCIDENT if is_multibyte else 1
        if not self.odd_lines or self.most_utf8_characters < least:
            return
        raise InvalidInput(
            f"the file mixes encodings: {_lines(self.odd_lines)} not UTF-8, {_lines(self.utf8_lines)}; "
            "correct those lines, or save the whole file in UTF-8",
            where=where,
        )

    def _add(self, number: int, line: bytes) -> None:
        text = line.decode(_UTF_8, "surrogateescape")
        odd = len(_ODD_BYTES.findall(text))
        valid = len(_BEYOND_ASCII.findall(text)) - odd
        if odd:
            if len(self.odd_lines) < _LINES_SHOWN:
                self.odd_lines.append(number)
            self.sample += line[: _SAMPLE_BYTES - len(self.sample)]
        if valid >= max(odd, 1):
            if len(self.utf8_lines) < _LINES_SHOWN:
                self.utf8_lines.append(number)
            self.most_utf8_characters = max(self.most_utf8_characters, valid)


def _checked_name(named: str) -> str:
    try:
        encoding = codecs.lookup(named).name
        "".encode(encoding)  # a codec such as rot13 is none for text
    except (LookupError, ValueError, UnicodeError):
        encoding = ""
    if not encoding or encoding.replace("-", "_") in _NO_TEXT:
        raise InvalidInput(
            f"there is no encoding {named!r}; give one such as utf-8, cp1252, cp1250, cp1251, mac_roman, gb18030",
            where="--encoding",
        )
    return encoding


def _why_unsure(survey: _Survey, readings: list[CharsetMatch]) -> str:
    names = list(dict.fromkeys(shown_encoding(common_name(match)) for match in readings))[:_GUESSES_SHOWN]
    guesses = f"; it may be {' or '.join(names)}" if names else ""
    return f"{_lines(survey.odd_lines)} not UTF-8, and its encoding is not certain{guesses}; {HOW_TO_SAVE}"


def _lines(numbers: list[int]) -> str:
    return f"line {numbers[0]} is" if len(numbers) == 1 else f"lines {', '.join(map(str, numbers))} are"


def _numbered_lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    number, rest = 1, b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield number, line + b"\n"
            number += 1
        if len(rest) > _LONGEST_PIECE:
            yield number, rest
            rest = b""
    if rest:
        yield number, rest


def _holds(encoding: str, chunks: Chunks, *, where: str | None = None) -> bool:
    """Whether every byte has a meaning; with `where`, text full of control characters is refused as binary."""
    decoder = codecs.getincrementaldecoder(encoding)()
    unlikely = _NUL if encoding.startswith("utf") else _BINARY_CONTROLS
    try:
        for chunk in chunks():
            _refuse_unlikely(decoder.decode(chunk), unlikely, where)
        _refuse_unlikely(decoder.decode(b"", final=True), unlikely, where)
    except UnicodeError:
        return False
    return True


def _refuse_unlikely(text: str, unlikely: re.Pattern[str], where: str | None) -> None:
    if where is not None and unlikely.search(text):
        raise InvalidInput(f"this is a binary file; {HOW_TO_SAVE}", where=where)
