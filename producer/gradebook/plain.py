"""Results as a person sorts them: id, name, points, band and flags first, own columns under their own names."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.gradebook.csv_cells import csv_cell
from producer.gradebook.grade import needs_out_of, points_of, written
from producer.gradebook.result_files import flat_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from producer.gradebook.grade import Grade
    from producer.gradebook.result_files import Lined
    from workers.contract.decision import Official

_FIRST = ("id", "name", "points", "band", "flags")
_OFFICIAL = ("official_points", "official_band", "grade_state", "decided_by", "decided_at", "released")
"""What a person decided, beside the model's points and band: empty until somebody does."""


@dataclass(frozen=True, slots=True)
class PlainRow:
    """A result whose line begins with what a person looks for: the model's grade, then the official one."""

    row: Lined
    official: Official | None = None

    def as_line(self) -> dict[str, object]:
        """The row's line, its own columns before the rest; one that has a name of ours keeps `metadata.` before it."""
        line = dict(self.row.as_line())
        metadata = line.pop("metadata", None)
        own: Mapping[str, object] = metadata if isinstance(metadata, dict) else {}
        result = line.get("result")
        first: dict[str, object] = {
            "id": line.pop("id"),
            "name": own.get("name", ""),
            "points": _points(result),
            "band": _band(result),
            "flags": line.pop("flags", []),
            **_official_columns(self.official),
        }
        taken = {*first, *line, "metadata"}
        named = {
            (name if name not in taken else f"metadata.{name}"): value for name, value in own.items() if name != "name"
        }
        return {**first, **named, **line}


def _official_columns(official: Official | None) -> dict[str, object]:
    if official is None:
        return dict.fromkeys(_OFFICIAL)
    decision = official.decision
    released = "changed since" if official.changed_since_release else "yes" if official.released else None
    values = (
        _points(official.result), _band(official.result), str(official.state), decision.by if decision else None,
        datetime.fromtimestamp(decision.at, UTC).isoformat(timespec="seconds") if decision else None, released,
    )  # fmt: skip
    columns: dict[str, object] = dict(zip(_OFFICIAL, values, strict=True))
    if needs_out_of(official.result) and isinstance(official.result, dict):  # what is deducted, not from how much
        columns["official_deduction"] = official.result["total_deduction"]
    return columns


def _points(result: object) -> float | None:
    points = points_of(result, out_of=None)
    return None if points is None else float(points)


def _band(result: object) -> object:
    return result.get("band") if isinstance(result, dict) else None


def grade_lines(grades: Iterable[Grade]) -> list[dict[str, object]]:
    """One line per grade for CSV and workbook: what is written, or why nothing is."""
    return [
        {
            "id": grade.id,
            "name": grade.name,
            "points": None if grade.points is None else written(grade.points),
            "band": grade.band,
            "flags": [str(flag.kind) for flag in grade.flags],
            "not_graded": grade.why_none or None,
            **({"standin": True} if grade.is_standin else {}),
            **{name: value for name, value in grade.metadata.items() if name not in {*_FIRST, "not_graded", "standin"}},
        }
        for grade in grades
    ]


def workbook(lines: list[dict[str, object]], *, title: str) -> bytes:
    """An .xlsx file of these lines. Numbers are numbers, and every text is text: none is a formula."""
    from openpyxl import Workbook  # noqa: PLC0415 - a quarter of a second that CSV need not spend
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: PLC0415

    book = Workbook(write_only=True)
    sheet = book.create_sheet(_sheet_title(title))

    def cell(column: str, value: object) -> Any:
        if column == "points" and isinstance(value, str):
            return WriteOnlyCell(sheet, float(value))
        if isinstance(value, int | float):
            return WriteOnlyCell(sheet, value)
        made = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", csv_cell(value)))
        made.data_type = "s"
        return made

    rows = [flat_line(line) for line in lines]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    sheet.append([cell("", column) for column in columns])
    for row in rows:
        sheet.append([cell(column, row.get(column)) for column in columns])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _sheet_title(title: str) -> str:
    """*Source*: openpyxl 3.1, openpyxl/workbook/child.py: at most 31 characters, and not these."""
    return "".join(sign for sign in title if sign not in "[]:*?/\\'")[:31] or "grades"
