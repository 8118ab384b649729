"""Gradescope's and Blackboard's tables of grades. Both systems are closed: the shapes are as commonly seen.

Gradescope takes no file of grades back into an assignment: its `scores.csv` is filled for whatever reads it next.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.gradebook.filling import Columns, decimal_sign, maximum_in, number, person_in, same_person, with_sign
from producer.inputs.columns import listed
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from producer.gradebook.grade import Grade
    from producer.gradebook.sheet import Sheet

_TOTAL_POINTS = re.compile(r"\[Total Pts: (?:up to )?(?P<maximum>[\d.,]+)", re.IGNORECASE)


class TableRules:
    """See `filling.Rules`; the two differ in titles alone."""

    def __init__(self, title: str, *, keys: Mapping[str, str], grade: str, maximum: str) -> None:
        """`keys`: title -> the field that holds the same; `grade`: a pattern of the titles that may hold grades."""
        self.title = title
        self._keys = keys
        self._grade = re.compile(grade)
        self._maximum = maximum

    def columns(self, sheet: Sheet, wanted: str) -> Columns:
        """By title; the grades' column is named when there are several."""
        places = {title: at for at, title in enumerate(sheet.titles)}
        keys = {field: places[title] for title, field in self._keys.items() if title in places}
        if not keys:
            raise InvalidInput(f"this is no table of {self.title}: no column {listed(self._keys)}", where=sheet.name)
        found = [title for title in places if title == wanted or (not wanted and self._grade.search(title))]
        if len(found) != 1:
            raise InvalidInput(f"choose the column of the grades with --column: {listed(places)}", where=sheet.name)
        in_title = _TOTAL_POINTS.search(found[0])
        return Columns(
            grade=places[found[0]],
            keys=keys,
            name=places.get("Name", places.get("Last Name")),
            first_name=None if "Name" in places else places.get("First Name"),
            maximum=places.get(self._maximum),
            maximum_points=number(in_title["maximum"]) if in_title else None,
            decimal_sign=decimal_sign(sheet, places[found[0]]),
        )

    def is_student(self, sheet: Sheet, row: int) -> bool:
        """Every row with cells is one."""
        return sheet.width(row) > 1

    def objection(self, sheet: Sheet, row: int, grade: Grade, columns: Columns) -> str | None:
        """A grade above the maximum, or another person's row."""
        person = person_in(sheet, row, columns)
        if not same_person(grade.name, person):
            return f"the row is {person!r}'s"
        maximum = maximum_in(sheet, row, columns)
        if maximum is not None and grade.points is not None and grade.points > maximum:
            return f"{grade.points} is above the maximum of {maximum}; use --scale-to {maximum}"
        return None

    def in_cell(self, points: Decimal, columns: Columns) -> str:
        """With the file's own decimal sign."""
        return with_sign(points, columns.decimal_sign)


GRADESCOPE = TableRules(
    "Gradescope",
    keys={"Submission ID": "submission", "Email": "email", "SID": "number"},
    grade=r"^Total Score$",
    maximum="Max Points",
)
BLACKBOARD = TableRules(
    "Blackboard",
    keys={"Username": "user", "Student ID": "number"},
    grade=r"\[Total Pts",
    maximum="",
)
