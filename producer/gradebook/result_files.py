"""Result files: JSON lines or CSV out of rows, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from producer.gradebook.csv_cells import csv_line
from workers.contract.errors import InvalidInput, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

AT_ONCE = 500
"""Lines written together: half a megabyte of results."""
RESULT_FILE_MODE = 0o600
"""Grades are private; the owner of the file decides who else may read it."""


PROVENANCE = "provenance"
"""Field with how an outcome came about: its fields are too many, and differ too much, for columns of their own."""


class Lined(Protocol):
    """A result, an exported outcome, a ledger row: what has a line."""

    def as_line(self) -> dict[str, object]:
        """Fields by name, as a file shows them."""


def csv_lines(read_rows: Callable[[], Iterable[Lined]]) -> Iterator[str]:
    """CSV with one column per field of the results; the rows are read twice, because the header comes first."""
    columns: dict[str, None] = {}
    for row in read_rows():
        columns.update(dict.fromkeys(flat_line(row.as_line())))
    yield csv_line(columns)
    for row in read_rows():
        flat = flat_line(row.as_line())
        yield csv_line(flat.get(column) for column in columns)


def flat_line(line: Mapping[str, object]) -> dict[str, object]:
    """A line as a spreadsheet filters it: fields by dotted names, flags by kind and place, provenance as JSON."""
    flat = _flat({name: value for name, value in line.items() if name != PROVENANCE})
    if line.get(PROVENANCE) is not None:
        flat[PROVENANCE] = json.dumps(line[PROVENANCE], ensure_ascii=False)
    if isinstance(flags := line.get("flags"), list):
        flat["flags"] = [
            " ".join(filter(None, (flag["kind"], flag["path"]))) if isinstance(flag, dict) else flag for flag in flags
        ]
    return flat


def _flat(line: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in line.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def write_bytes_atomically(path: Path, content: bytes | Callable[[IO[bytes]], object]) -> None:
    """The file is the old one or the new one, never half of it; `content` may write it piece by piece."""
    _write_atomically(path, content if callable(content) else lambda file: file.write(content), mode="wb")


def check_writable(path: Path | None) -> None:
    """Before a long run, not after it."""
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InvalidInput("cannot be written; give a file in a folder that exists", where=f"--out {path}")


def write_atomically(path: Path, lines: Iterable[str], *, encoding: str = "utf-8") -> None:
    """The file is the old one or the new one, never half of it."""

    def write(file: IO[Any]) -> None:
        remaining = iter(lines)
        while some := "".join(islice(remaining, AT_ONCE)):  # one by one, a line costs three times as much
            file.write(some)

    _write_atomically(path, write, mode="w", encoding=encoding, newline="")


def _write_atomically(path: Path, write: Callable[[IO[Any]], object], **options: Any) -> None:
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.absolute().parent, prefix=f".{path.name}.", delete=False, **options
        ) as file:
            temporary = Path(file.name)
            write(file)
        temporary.chmod(RESULT_FILE_MODE)
        temporary.replace(path)
    except OSError as error:
        raise ServiceUnavailable("disk", f"cannot write {path}: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
