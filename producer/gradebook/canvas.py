"""Canvas's gradebook CSV.

*Source*: gradebook_exporter 0140a2ef, gradebook_importer 00b222d7. Nothing is blanked, because a blank removes a grade,
and no column is added, because an unknown one becomes an assignment. Who is excused stays so, and who has no such
assignment (`N/A`) is named, because Canvas would pass over the grade without a word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.gradebook.filling import Columns, decimal_sign, number, person_in, same_person, with_sign
from producer.inputs.columns import listed
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from producer.gradebook.grade import Grade
    from producer.gradebook.sheet import Sheet

_ASSIGNMENT = re.compile(r".+ \(\d+\)", re.DOTALL)
_POINTS_ROW = "points possible"
_READ_ONLY = re.compile(r"read\s+only")
_TOTALS = re.compile(r"(?:Current|Final|Override) (?:Score|Points|Grade|Status)")
"""In the title of a column that Canvas computes, before a grading period such as `(2026)`."""
_TEST_STUDENTS = frozenset({"student, test", "test student"})
_EXCUSED = frozenset({"ex", "excused"})
_NOT_ASSIGNED = "n/a"
_PLACES = 2
"""Canvas compares an imported value with its own to so many."""


class CanvasRules:
    """See `filling.Rules`."""

    title = "Canvas"

    def columns(self, sheet: Sheet, wanted: str) -> Columns:
        """The one assignment of the file, or the one that `wanted` names with or without its number."""
        titles = sheet.titles
        places = {title: at for at, title in enumerate(titles)}
        name = places.get("Student", places.get("LastName"))
        if name is None or "ID" not in places:
            raise InvalidInput("this is not Canvas's gradebook: it has no columns 'Student' and 'ID'", where=sheet.name)
        points_row = next((row for row in range(sheet.count) if self._is_points_row(sheet, row)), None)
        possible_points = {at: sheet.value(points_row, at) if points_row is not None else "" for at in places.values()}
        grade = self._assignment(sheet, titles, wanted, possible_points)
        possible = possible_points[grade].strip()
        if _READ_ONLY.search(possible):
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
            name=name,
            first_name=places.get("FirstName"),
            places=_PLACES,
            decimal_sign=decimal_sign(sheet, grade),
            maximum_points=number(possible),
        )

    def is_student(self, sheet: Sheet, row: int) -> bool:
        """Not the rows for posting and points, nor the test student."""
        if self._is_points_row(sheet, row) or not sheet.value(row, sheet.titles.index("ID")).strip():
            return False
        names = [sheet.value(row, at).strip() for at, title in enumerate(sheet.titles[:2]) if title != "ID"]
        return ", ".join(names).casefold() not in _TEST_STUDENTS

    def objection(self, sheet: Sheet, row: int, grade: Grade, columns: Columns) -> str | None:
        """A row of another person (a group carries one member's id), or one that is excused or not assigned."""
        person = person_in(sheet, row, columns)
        if not same_person(grade.name, person):
            return f"their id is {person!r} in the file; is this a group? enter it in Canvas for every member"
        stands_there = sheet.value(row, columns.grade).strip().casefold()
        if stands_there in _EXCUSED:
            return "they are excused in Canvas (EX), which a grade would undo; enter it in Canvas"
        if stands_there == _NOT_ASSIGNED:
            return "the assignment is not assigned to them in Canvas (N/A), which passes over the grade"
        return None

    def in_cell(self, points: Decimal, columns: Columns) -> str:
        """With the file's own decimal sign; never with two separators, of which Canvas takes the last."""
        return with_sign(points, columns.decimal_sign)

    def _is_points_row(self, sheet: Sheet, row: int) -> bool:
        return _POINTS_ROW in sheet.value(row, 0).casefold()

    def _assignment(self, sheet: Sheet, titles: list[str], wanted: str, possible_points: Mapping[int, str]) -> int:
        assignments = {
            title: at
            for at, title in enumerate(titles)
            if _ASSIGNMENT.fullmatch(title)
            and not _TOTALS.search(title)
            and (wanted or not _READ_ONLY.search(possible_points[at]))
        }
        found = [at for title, at in assignments.items() if not wanted or wanted in {title, title.rpartition(" (")[0]}]
        if len(found) != 1:
            raise InvalidInput(f"choose the assignment with --column: {listed(assignments)}", where=sheet.name)
        return found[0]
