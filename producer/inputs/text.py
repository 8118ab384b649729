"""Bytes that somebody saved, as text: UTF-8, UTF-16 with a byte order mark, or Windows-1252.

Those are what editors and spreadsheets write. Anything else is refused with a sentence, never guessed at and never
read with replacement characters, because a changed submission would be graded.
"""

from __future__ import annotations

import codecs
import re
import stat
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_CHUNK_BYTES = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
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
_HOW_TO_SAVE = "save it as plain text (a spreadsheet: as CSV) in UTF-8"
# Tab, line ends, form feed, escape and a DOS end of file are met in real text.
_NUL = re.compile("\x00")
_BINARY_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x19\x1c-\x1f\x7f]")


def read_text(path: Path, *, where: str, max_bytes: int) -> str:
    """Read a whole regular file as text. `InvalidInput` when it is too large, not text, or cannot be read."""
    try:
        refuse_special_file(path, where=where)
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise unreadable(error, where=where) from None
    if len(raw) > max_bytes:
        raise InvalidInput(f"the file is larger than {max_bytes:,} bytes; is it the right one?", where=where)
    return raw.decode(find_encoding(lambda: [raw], where=where))


def find_encoding(chunks: Callable[[], Iterable[bytes]], *, where: str) -> str:
    """Name the encoding that holds every byte; `chunks` is called once per candidate, so memory stays bounded."""
    start = next(iter(chunks()), b"")
    for signature, what in _KNOWN_BINARIES:
        if start.startswith(signature):
            raise InvalidInput(f"this is {what}, not text; {_HOW_TO_SAVE}", where=where)
    marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "cp1252"):
        if _holds(encoding, chunks(), where=where):
            return encoding
    raise InvalidInput(f"this is not text in {marked or 'UTF-8 or Windows-1252'}; {_HOW_TO_SAVE}", where=where)


def file_chunks(path: Path) -> Iterable[bytes]:
    """The file's bytes, a megabyte at a time."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def refuse_special_file(path: Path, *, where: str) -> None:
    """A pipe or a device could block for ever, and cannot be read twice. May raise `OSError`."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise InvalidInput("this is not a regular file; save the content to a file first", where=where)


def unreadable(error: OSError, *, where: str) -> InvalidInput:
    """Say why the system does not let a file be read."""
    return InvalidInput(f"cannot be read: {error.strerror or type(error).__name__}", where=where)


def shown(name: str) -> str:
    """A file's name fit for a terminal: what cannot be printed becomes a question mark."""
    return "".join(character if character.isprintable() else "?" for character in name)


def refuse_half_characters(text: str, *, what: str, where: str | None = None) -> None:
    """Lone surrogates can be written in JSON but in no encoding that a store or a provider takes."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(f"{what} holds half of a character (a lone surrogate); save the text again", where=where)


def _holds(encoding: str, chunks: Iterable[bytes], *, where: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    unlikely_text = _BINARY_CONTROLS if encoding == "cp1252" else _NUL
    try:
        for chunk in chunks:
            _refuse_binary(decoder.decode(chunk), unlikely_text, where)
        _refuse_binary(decoder.decode(b"", final=True), unlikely_text, where)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_binary(text: str, unlikely_text: re.Pattern[str], where: str) -> None:
    if unlikely_text.search(text):
        raise InvalidInput(f"this is a binary file; {_HOW_TO_SAVE}", where=where)
