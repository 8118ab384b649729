"""Files as text: whole, or a chunk at a time. Nothing is read with replacement characters."""

from __future__ import annotations

import stat
import unicodedata
from typing import TYPE_CHECKING, TypeVar

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from producer.inputs.encodings import Encodings

Value = TypeVar("Value")
_CHUNK_BYTES = 1 << 20


def read_text(path: Path, *, where: str, max_bytes: int, encodings: Encodings) -> str:
    """Read a whole regular file as text. `InvalidInput` when it is too large, not text, or cannot be read."""
    try:
        refuse_special_file(path, where=where)
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise unreadable(error, where=where) from None
    if len(raw) > max_bytes:
        raise InvalidInput(f"the file is larger than {max_bytes:,} bytes; is it the right one?", where=where)
    return raw.decode(encodings.find(lambda: [raw], where=where))


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


def composed(value: Value) -> Value:
    """A text in its composed form (NFC), anything else as it is: macOS writes `ü` in file names as two characters."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value  # type: ignore[return-value]


def refuse_half_characters(text: str, *, what: str, where: str | None = None) -> None:
    """Lone surrogates can be written in JSON but in no encoding that a store or a provider takes."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(f"{what} holds half of a character (a lone surrogate); save the text again", where=where)
