"""Rows to a file or to standard output: what `results` and `export` do with --out and --format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.gradebook.result_files import csv_lines, result_lines, write_atomically
from producer.terminal.console import write_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from producer.gradebook.result_files import Lined


def write_rows(read_rows: Callable[[], Iterable[Lined]], *, out_path: Path | None, file_format: str) -> None:
    """Write them as `jsonl` or `csv`; CSV reads the rows twice. Raises `ServiceUnavailable` when the disk refuses."""
    lines = csv_lines(read_rows) if file_format == "csv" else result_lines(read_rows())
    if out_path is not None:
        # spreadsheets take a file for the local encoding unless it begins with the mark
        write_atomically(out_path, lines, encoding="utf-8-sig" if file_format == "csv" else "utf-8")
        return
    for line in lines:
        write_data(line)
