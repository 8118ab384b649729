"""A CSV file that a course system exported, cell by cell: what is not set stays as it is, byte for byte."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

_DELIMITERS = ",;\t"
_MAX_BYTES = 64 * 1024 * 1024
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(slots=True)
class _Row:
    cells: list[str]
    """As they are written, quotes included."""
    end: str


@dataclass(slots=True)
class Sheet:
    """Rows of cells under a header. Row numbers count from 0 below the header."""

    name: str
    delimiter: str
    encoding: str
    mark: bytes = field(repr=False)
    _rows: list[_Row] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Sheet:
        """Read the file. `InvalidInput` when it is no text or holds an unclosed quote."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InvalidInput(f"cannot be read: {error.strerror}", where=path.name) from None
        if len(content) > _MAX_BYTES or content.startswith(b"PK"):
            raise InvalidInput("this is not the CSV file that the course system exports", where=path.name)
        mark, encoding = next((pair for pair in _MARKS if content.startswith(pair[0])), (b"", "utf-8"))
        try:
            text = content[len(mark) :].decode(encoding)
        except UnicodeDecodeError:
            raise InvalidInput(
                "the file is not UTF-8; use the file as the system exported it", where=path.name
            ) from None
        delimiter = _delimiter(text)
        return cls(path.name, delimiter, encoding, mark, _parsed(text, delimiter, path.name))

    @property
    def titles(self) -> list[str]:
        """Of the columns."""
        return [_plain(cell).strip() for cell in self._rows[0].cells] if self._rows else []

    @property
    def count(self) -> int:
        """Rows below the header."""
        return max(0, len(self._rows) - 1)

    def width(self, row: int) -> int:
        """How many cells a row has."""
        return len(self._rows[row + 1].cells)

    def value(self, row: int, column: int) -> str:
        """A cell's text; empty behind the row's end."""
        cells = self._rows[row + 1].cells
        return _plain(cells[column]) if column < len(cells) else ""

    def set(self, row: int, column: int, text: str) -> None:
        """Put a text in a cell, in quotes where the cell had them or the text needs them."""
        cells = self._rows[row + 1].cells
        needs_quotes = any(sign in text for sign in ('"', "\n", "\r", self.delimiter))
        is_quoted = cells[column].lstrip().startswith('"')
        quoted = '"{}"'.format(text.replace('"', '""'))
        cells[column] = quoted if needs_quotes or is_quoted else text

    def content(self) -> bytes:
        """The file."""
        text = "".join(self.delimiter.join(row.cells) + row.end for row in self._rows)
        return self.mark + text.encode(self.encoding)


def _delimiter(text: str) -> str:
    first = re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]
    outside = re.sub(r'"[^"]*"', "", first)
    return max(_DELIMITERS, key=outside.count)


def _parsed(text: str, delimiter: str, name: str) -> list[_Row]:
    sign = re.escape(delimiter)
    cell = re.compile(
        rf'(?P<cell>[^\S\r\n{sign}]*"(?:[^"]|"")*"[^\r\n{sign}]*|[^\r\n{sign}]*)(?P<end>{sign}|\r\n|\n|\r|\Z)'
    )
    rows: list[_Row] = []
    cells: list[str] = []
    position = 0
    while position < len(text) or cells:
        found = cell.match(text, position)
        if found is None or (found["cell"].lstrip().startswith('"') and found["cell"].count('"') % 2):
            raise InvalidInput(f"a quote is not closed in row {len(rows) + 1}", where=name)
        cells.append(found["cell"])
        position = found.end()
        if found["end"] != delimiter:
            rows.append(_Row(cells, found["end"]))
            cells = []
            if not found["end"]:
                break
    if not rows:
        raise InvalidInput("the file is empty", where=name)
    return rows


def _plain(cell: str) -> str:
    bare = cell.strip()
    return bare[1:-1].replace('""', '"') if len(bare) > 1 and bare.startswith('"') and bare.endswith('"') else cell
