"""CSV as spreadsheets write it: any usual delimiter and encoding, quoted line ends, a first line `sep=;`.

The delimiter is the one that makes a column with the ids appear in the header, not the most frequent character: student
code is full of commas and semicolons.
"""

from __future__ import annotations

import csv
from itertools import chain
from typing import TYPE_CHECKING, TextIO

from producer.inputs.id_column import ID, find_id_column, has_id_column
from producer.inputs.item import InputItem, InputLimits, InputOptions, item_id
from producer.inputs.text import file_chunks, refuse_special_file, shown
from producer.inputs.work_columns import says_whose_it_is
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.inputs.encodings import Encodings

_DELIMITERS = ",;\t|"


def scan_csv(
    path: Path, limits: InputLimits, encodings: Encodings, options: InputOptions
) -> Iterator[InputItem | InvalidInput]:
    """Each row's item, or what is wrong with it. May raise `OSError`."""
    name = shown(path.name)
    refuse_special_file(path, where=name)
    # The module's own bound (131,072 characters) is below a usual submission; it exists per process only.
    csv.field_size_limit(max(csv.field_size_limit(), limits.max_row_bytes))
    encoding = encodings.find(lambda: file_chunks(path), where=name)
    delimiter = _delimiter(path, encoding, limits, options.id_column)
    with path.open(encoding=encoding, newline="") as file:
        yield from _rows(_Reader(file, delimiter, name, limits), options.id_column)


def guessed_id_column(path: Path, limits: InputLimits, encodings: Encodings) -> str | None:
    """The title of the column that names the students when it is a guess; None when it is called `id`, or unknown."""
    try:
        encoding = encodings.find(lambda: file_chunks(path), where=path.name)
        found = find_id_column(_columns(path, encoding, _delimiter(path, encoding, limits, ""), limits))
    except (InvalidInput, OSError, UnicodeError):
        return None  # reading it says why
    return None if found == ID else found


class _Reader:
    """Rows with the line each one begins on."""

    def __init__(self, file: TextIO, delimiter: str, name: str, limits: InputLimits) -> None:
        lines = _bounded_lines(file, name, limits)
        first = next(lines, "")
        self.skipped_lines = 1 if _declared_delimiter(first) else 0
        self.name = name
        self._reader = csv.reader(
            lines if self.skipped_lines else chain([first], lines), delimiter=delimiter, strict=True
        )
        self._where = name

    def row(self) -> list[str] | None:
        """The next row with any content; spreadsheets leave rows of empty cells behind."""
        while (cells := self._next_row()) is not None:
            if any(cell.strip() for cell in cells):
                return cells
        return None

    @property
    def where(self) -> str:
        """Where the row read last begins."""
        return self._where

    def _next_row(self) -> list[str] | None:
        self._where = f"{self.name} line {self.skipped_lines + self._reader.line_num + 1}"
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise InvalidInput(f"the row cannot be read ({error}); is a quote missing?", where=self._where) from None


def _rows(reader: _Reader, wanted: str) -> Iterator[InputItem | InvalidInput]:
    header = _header(reader)
    try:
        id_column = find_id_column(header, wanted=wanted)
    except InvalidInput as problem:
        raise InvalidInput(problem.message, where=reader.where) from None
    rows = 0
    while True:
        try:
            cells = reader.row()
        except InvalidInput as problem:
            yield problem
            return  # after a broken quote it is unknown where the next row begins
        if cells is None:
            break
        rows += 1
        yield _item_or_problem(header, id_column, cells, reader.where)
    if not rows:
        yield InvalidInput("the file has a header but no rows", where=reader.name)


def _header(reader: _Reader) -> list[str]:
    cells = reader.row()
    if cells is None:
        raise InvalidInput(
            "the file is empty; its first line should name the columns, id among them", where=reader.name
        )
    columns = [cell.strip() for cell in cells]
    named = [column for column in columns if column]
    twice = next((column for column in named if named.count(column) > 1), None)
    if twice is not None:
        raise InvalidInput(f"the header names the column {twice!r} twice; rename one", where=reader.where)
    return columns


def _item_or_problem(header: list[str], id_column: str, cells: list[str], where: str) -> InputItem | InvalidInput:
    if any(cell.strip() for cell in cells[len(header) :]):
        message = (
            f"the row has {len(cells)} cells, the header {len(header)}; put a cell that holds a delimiter in quotes"
        )
        return InvalidInput(message, where=where)
    # A short row is no mistake: spreadsheets leave out empty cells at the end.
    padded = chain(cells, [""] * (len(header) - len(cells)))
    fields: dict[str, object] = {column: cell for column, cell in zip(header, padded, strict=False) if column}
    try:
        identity = item_id(fields[id_column], where=where)
    except InvalidInput as problem:
        return problem
    fields[ID] = identity
    return InputItem(id=identity, fields=fields, where=where, metadata=_about_the_student(fields, id_column))


def _about_the_student(fields: dict[str, object], id_column: str) -> dict[str, object]:
    """Name, e-mail, section: what comes back with the grade, under its own title."""
    return {
        column: value
        for column, value in fields.items()
        if value and column not in {ID, id_column} and says_whose_it_is(column)
    }


def _delimiter(path: Path, encoding: str, limits: InputLimits, wanted: str) -> str:
    with path.open(encoding=encoding, newline="") as file:
        declared = _declared_delimiter(next(_bounded_lines(file, shown(path.name), limits), ""))
    if declared:
        return declared
    headers = {delimiter: _columns(path, encoding, delimiter, limits) for delimiter in _DELIMITERS}
    return max(headers, key=lambda delimiter: _likeness(headers[delimiter], wanted))


def _likeness(header: list[str], wanted: str) -> tuple[bool, bool, int]:
    return ID in header, has_id_column(header, wanted=wanted), len(header)


def _columns(path: Path, encoding: str, delimiter: str, limits: InputLimits) -> list[str]:
    with path.open(encoding=encoding, newline="") as file:
        try:
            header = _Reader(file, delimiter, shown(path.name), limits).row()
        except InvalidInput:
            return []  # quoting that fails under this delimiter; the error comes from the chosen one
    return [cell.strip() for cell in header or ()]


def _declared_delimiter(line: str) -> str | None:
    declaration = line.rstrip("\r\n").strip('"')
    if not declaration.casefold().startswith("sep=") or len(declaration) != len("sep=") + 1:
        return None
    return declaration[-1] if declaration[-1] not in '" ' else None


def _bounded_lines(file: TextIO, name: str, limits: InputLimits) -> Iterator[str]:
    number = 0
    while line := file.readline(limits.max_row_bytes + 1):
        number += 1
        if len(line) > limits.max_row_bytes:
            raise InvalidInput(
                f"the line is longer than {limits.max_row_bytes:,} characters", where=f"{name} line {number}"
            )
        yield line
