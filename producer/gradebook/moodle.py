"""Moodle's offline grading worksheet.

*Source*: mod/assign/feedback/offline (importgradeslib.php accd5dee, locallib.php 04975560), unformat_float 001247f3.
What Moodle would skip without a word is refused here by name: above the maximum, a locked grade, another person's
number, a date that a spreadsheet rewrote. A dot is read as a decimal sign in every language of the interface.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.gradebook.filling import Columns, maximum_in, same_person, with_sign
from producer.gradebook.moodle_layout import NO, read_layout
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from decimal import Decimal

    from producer.gradebook.grade import Grade
    from producer.gradebook.moodle_layout import Worksheet
    from producer.gradebook.sheet import Sheet

_DELIMITER = ","
_REWRITTEN_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}(,? +\d{1,2}:\d{2}(:\d{2})?( ?[AaPp]\.?[Mm]\.?)?)?")
"""Moodle writes the names of weekday and month."""


class MoodleRules:
    """See `filling.Rules`."""

    title = "Moodle"

    def columns(self, sheet: Sheet, wanted: str) -> Columns:
        """Titles in the language of the interface; another grade column is named by `wanted`."""
        found = read_layout(sheet, wanted)
        if found.has_scale:
            raise InvalidInput(
                "the assignment uses a scale, whose labels points are not; grade it in Moodle", where=sheet.name
            )
        self._refuse_what_moodle_misreads(sheet, found)
        title = sheet.titles[found.grade]
        notes = []
        if not found.is_english:
            notes.append(
                f"the titles are not English: grades go into {title!r}, found by what the cells hold; "
                "upload the file with the interface in the language that it was downloaded in"
            )
        if sheet.delimiter != _DELIMITER:
            sign = "tabs" if sheet.delimiter == "\t" else repr(sheet.delimiter)
            notes.append(
                f"its cells are separated by {sign}, not by commas as Moodle writes them: choose that separator when "
                "you upload it; a Moodle that does not ask for one refuses the file, download it again for that"
            )
        return Columns(
            grade=found.grade,
            keys={"number": found.identifier, **({"email": found.email} if found.email is not None else {})},
            name=found.name,
            worded="number",
            maximum=found.maximum,
            locked=found.locked,
            note="; ".join(notes),
        )

    def is_student(self, sheet: Sheet, row: int) -> bool:
        """Every row with cells is one."""
        return sheet.width(row) > 1

    def objection(self, sheet: Sheet, row: int, grade: Grade, columns: Columns) -> str | None:
        """What Moodle would skip, or give to another student."""
        if grade.metadata.get("group") and not grade.metadata.get("email"):
            return "this is a team, whose number may be another student's; enter it in Moodle"
        if columns.name is not None and not same_person(grade.name, sheet.value(row, columns.name)):
            return f"their number is {sheet.value(row, columns.name)!r} in the file; is this a team? enter it in Moodle"
        if columns.locked is not None and sheet.value(row, columns.locked).strip().casefold() in NO:
            return "the grade is locked or overridden in Moodle's gradebook"
        maximum = maximum_in(sheet, row, columns)
        if maximum is not None and grade.points is not None and grade.points > maximum:
            return f"{grade.points} is above the maximum of {maximum}, which Moodle skips; use --scale-to {maximum}"
        if grade.points == 0:
            return "Moodle's newest releases do not store a grade of 0 from a worksheet; enter it in Moodle"
        return None

    def in_cell(self, points: Decimal, columns: Columns) -> str:  # noqa: ARG002 - a dot in every language
        """With a dot."""
        return with_sign(points, ".")

    def _refuse_what_moodle_misreads(self, sheet: Sheet, found: Worksheet) -> None:
        for row in range(sheet.count):
            if sheet.width(row) not in {1, len(sheet.titles)}:
                raise InvalidInput(
                    f"row {row + 2} has {sheet.width(row)} cells and the header {len(sheet.titles)}; Moodle refuses "
                    "such a file, download it again",
                    where=sheet.name,
                )
        behind = (found.maximum if found.maximum is not None else found.grade) + 1
        dates = (sheet.value(row, at).strip() for at in range(behind, len(sheet.titles)) for row in range(sheet.count))
        if rewritten := next((date for date in dates if _REWRITTEN_DATE.fullmatch(date)), None):
            raise InvalidInput(
                f"a spreadsheet rewrote the dates ({rewritten}); Moodle would skip every student with a grade, "
                "silently; download the worksheet again and do not open it",
                where=sheet.name,
            )
