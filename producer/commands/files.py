"""Result files: JSON lines or CSV out of rows, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workers.contract.errors import InvalidInput, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would compute a cell that begins so; a student wrote part of it."""
RESULT_FILE_MODE = 0o600
"""Grades are nobody else's business; who shares the file says so."""


class Lined(Protocol):
    """A result, an exported outcome, a ledger row: what has a line."""

    def as_line(self) -> dict[str, object]:
        """Fields by name, as a file shows them."""


def result_lines(rows: Iterable[Lined]) -> Iterator[str]:
    """One JSON object a line."""
    for row in rows:
        yield json.dumps(row.as_line(), ensure_ascii=False) + "\n"


def csv_lines(read_rows: Callable[[], Iterable[Lined]]) -> Iterator[str]:
    """CSV with one column per field of the results; the rows are read twice, because columns stand first."""
    columns: dict[str, None] = {}
    for row in read_rows():
        columns.update(dict.fromkeys(_flat(row.as_line())))
    yield _csv_line(list(columns))
    for row in read_rows():
        flat = _flat(row.as_line())
        yield _csv_line([_cell(flat.get(column)) for column in columns])


def _flat(line: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in line.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _cell(value: object) -> str:
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(part, str | int | float) for part in value):
        value = "; ".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _csv_line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def check_writable(path: Path | None) -> None:
    """Before a long run, not after it."""
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InvalidInput("cannot be written; give a file in a folder that exists", where=f"--out {path}")


def write_atomically(path: Path, lines: Iterable[str], *, encoding: str = "utf-8") -> None:
    """The file is the old one or the new one, never half of it."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding=encoding, newline="", dir=path.absolute().parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.writelines(lines)
        temporary.chmod(RESULT_FILE_MODE)
        temporary.replace(path)
    except OSError as error:
        raise ServiceUnavailable("disk", f"cannot write {path}: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
