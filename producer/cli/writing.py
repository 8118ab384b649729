"""Rows to a file or to standard output: what `results` and `export` do with --out and --format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.gradebook.result_files import csv_lines, write_atomically
from producer.terminal.console import write_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from producer.gradebook.result_files import Lined


def write_csv(read_rows: Callable[[], Iterable[Lined]], *, out_path: Path | None) -> None:
    """Write them as CSV; the rows are read twice. Raises `ServiceUnavailable` when the disk refuses."""
    # spreadsheets take a file for the local encoding unless it begins with the mark
    _write(csv_lines(read_rows), out_path=out_path, encoding="utf-8-sig")


def write_lines(lines: Iterable[str], *, out_path: Path | None) -> None:
    """Write lines that are JSON already. Raises `ServiceUnavailable` when the disk refuses."""
    _write(lines, out_path=out_path, encoding="utf-8")


def _write(lines: Iterable[str], *, out_path: Path | None, encoding: str) -> None:
    if out_path is not None:
        write_atomically(out_path, lines, encoding=encoding)
        return
    for line in lines:
        write_data(line)
