"""Hand grades out of a CSV file: who graded what, as numbers. A blank or a word is a missing grade, never a zero."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.headline import TOTALS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOTAL = "total"
"""The name of the whole grade among the fields compared; criteria go by their ids."""
_ID_COLUMNS = ("id", "item_id", "student", "student id", "student_id")
_TOTAL_COLUMNS = frozenset({TOTAL, *TOTALS, "total points", "grade", "score"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HandGrades:
    """A person's grades by field: `total`, and criteria under the header's names."""

    by_field: Mapping[str, Mapping[str, float]] = field(repr=False)
    """Field -> item id -> grade."""
    missing: Mapping[str, int]
    """Field -> cells that hold no number."""


def read_hand_grades(path: Path) -> HandGrades:
    """Read `id` and one column per grade; raises `InvalidInput` that names the file, line and column at fault."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(csv.DictReader(file, strict=True), path.name)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"cannot be read as CSV in UTF-8: {error}", where=path.name) from None


def _read(reader: csv.DictReader[str], where: str) -> HandGrades:
    header = list(reader.fieldnames or ())
    id_column = next((name for name in header if name.strip().lower() in _ID_COLUMNS), None)
    if id_column is None:
        raise InvalidInput(f"has no column `id`; its columns are: {', '.join(header)}", where=where)
    columns = {name: _field(name) for name in header if name != id_column}
    by_field: dict[str, dict[str, float]] = {each: {} for each in columns.values()}
    missing = dict.fromkeys(by_field, 0)
    seen: set[str] = set()
    for row in reader:
        item_id = (row[id_column] or "").strip()
        if not item_id:
            continue
        if item_id in seen:
            raise InvalidInput(f"line {reader.line_num} names {item_id!r} a second time", where=where)
        seen.add(item_id)
        for name, target in columns.items():
            grade = _number(row.get(name) or "")
            if grade is None:
                missing[target] += 1
            else:
                by_field[target][item_id] = grade
    return HandGrades(by_field=by_field, missing=missing)


def _field(name: str) -> str:
    plain = name.strip()
    return TOTAL if plain.lower() in _TOTAL_COLUMNS else plain


def _number(cell: str) -> float | None:
    """A grade as a spreadsheet writes it; `8,5` is 8.5 where no dot says otherwise."""
    text = cell.strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
