"""Results as a table and as files. Knows no Streamlit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.gradebook.result_files import csv_lines
from producer.review.plain_rows import plain_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from producer.batch import Batch, ResultRow

STANDIN_MARK = "stand-in, not real"
LABEL_LENGTH = 24
"""A longer text is prose."""
_CELL_LENGTH = 80


def table_of(rows: Iterable[ResultRow]) -> list[dict[str, object]]:
    """One line per student: state, the result's plain values, and why there is none; all with the same columns."""
    lines = [_line(row) for row in rows]
    columns = dict.fromkeys(column for line in lines for column in line if not _is_empty(lines, column))
    return [{column: line.get(column) for column in columns} for line in lines]


def _line(row: ResultRow) -> dict[str, object]:
    """Grades first, long text last, for phones."""
    line: dict[str, object] = {"student": row.id, "state": row.state}
    line["provider"] = STANDIN_MARK if row.is_standin else None
    line["failure"] = str(row.failure_kind) if row.failure_kind else None
    line["same as"] = row.same_as
    line["flags"] = ", ".join(dict.fromkeys(flag.kind.replace("_", " ") for flag in row.flags)) or None
    line["what to do"] = row.advice or None
    if isinstance(row.result, dict):
        cells = {name: _cell(value) for name, value in row.result.items() if not isinstance(value, dict)}
        line |= dict(sorted(cells.items(), key=lambda cell: _is_prose(cell[1])))
    return line


def _is_prose(value: object) -> bool:
    return isinstance(value, str) and len(value) > LABEL_LENGTH


def _is_empty(lines: list[dict[str, object]], column: str) -> bool:
    return all(line.get(column) is None for line in lines)


def _cell(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return f"{len(value)} {'entry' if len(value) == 1 else 'entries'}"
    text = " ".join(str(value).split())
    return text if len(text) <= _CELL_LENGTH else f"{text[: _CELL_LENGTH - 1]}…"


def csv_file(batch: Batch) -> bytes:
    """For a spreadsheet, as `gradequeue results` writes it: with the mark without which it would guess the encoding."""
    return "".join(csv_lines(lambda: plain_rows(batch))).encode("utf-8-sig")


def jsonl_file(batch: Batch) -> bytes:
    """One JSON object per student, as the command line writes it."""
    return "".join(batch.lines()).encode()
