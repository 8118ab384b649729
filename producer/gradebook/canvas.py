"""Canvas's gradebook CSV.

*Source*: gradebook_exporter 0140a2ef, gradebook_importer 00b222d7. Nothing is blanked, because a blank removes a grade,
and no column is added, because an unknown one becomes an assignment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.gradebook.filling import Columns, decimal_sign, number, same_person, with_sign
from producer.inputs.columns import listed
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from decimal import Decimal

    from producer.gradebook.grade import Grade
    from producer.gradebook.sheet import Sheet

_ASSIGNMENT = re.compile(r".+ \(\d+\)", re.DOTALL)
_POINTS_ROW = "points possible"
_READ_ONLY = "read only"
_TEST_STUDENTS = frozenset({"student, test", "test student"})


class CanvasRules:
    """See `filling.Rules`."""

    title = "Canvas"

    def columns(self, sheet: Sheet, wanted: str) -> Columns:
        """The one assignment of the file, or the one that `wanted` names with or without its number."""
        titles = sheet.titles
        places = {title: at for at, title in enumerate(titles)}
        if "Student" not in places or "ID" not in places:
            raise InvalidInput("this is not Canvas's gradebook: it has no columns 'Student' and 'ID'", where=sheet.name)
        grade = self._assignment(sheet, titles, wanted)
        points_row = next((row for row in range(sheet.count) if self._is_points_row(sheet, row)), None)
        possible = sheet.value(points_row, grade).strip() if points_row is not None else ""
        if possible.casefold() == _READ_ONLY:
            raise InvalidInput(
                f"the column {titles[grade]!r} is read only; choose an assignment with --column", where=sheet.name
            )
        keys = {"SIS User ID": "number", "SIS Login ID": "email"}
        logins = {"user": places["SIS Login ID"]} if "SIS Login ID" in places else {}
        return Columns(
            grade=grade,
            keys={
                "canvas_id": places["ID"],
                **{key: places[title] for title, key in keys.items() if title in places},
                **logins,
            },
            name=places["Student"],
            decimal_sign=decimal_sign(sheet, grade),
            maximum_points=number(possible),
        )

    def is_student(self, sheet: Sheet, row: int) -> bool:
        """Not the rows for posting and points, nor the test student."""
        if self._is_points_row(sheet, row) or not sheet.value(row, sheet.titles.index("ID")).strip():
            return False
        return sheet.value(row, sheet.titles.index("Student")).strip().casefold() not in _TEST_STUDENTS

    def objection(self, sheet: Sheet, row: int, grade: Grade, columns: Columns) -> str | None:
        """Another person's row: a group's download carries the id of one member."""
        person = sheet.value(row, columns.name or 0)
        if not same_person(grade.name, person):
            return f"their id is {person!r} in the file; is this a group? enter it in Canvas for every member"
        if grade.points is not None and grade.points < 0:
            return "a grade below 0"
        return None

    def in_cell(self, points: Decimal, columns: Columns) -> str:
        """With the file's own decimal sign; never with two separators, of which Canvas takes the last."""
        return with_sign(points, columns.decimal_sign)

    def _is_points_row(self, sheet: Sheet, row: int) -> bool:
        return sheet.value(row, sheet.titles.index("Student")).strip().casefold() == _POINTS_ROW

    def _assignment(self, sheet: Sheet, titles: list[str], wanted: str) -> int:
        assignments = {title: at for at, title in enumerate(titles) if _ASSIGNMENT.fullmatch(title)}
        found = [at for title, at in assignments.items() if not wanted or wanted in {title, title.rpartition(" (")[0]}]
        if len(found) != 1:
            raise InvalidInput(f"choose the assignment with --column: {listed(assignments)}", where=sheet.name)
        return found[0]
