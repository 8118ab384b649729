"""Grades into the file that a course system exported: who is who, what may be written, and what is refused by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Protocol

from producer.gradebook.grade import written
from producer.inputs.text import composed
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from producer.gradebook.grade import Grade
    from producer.gradebook.sheet import Sheet


_WORD_AND_NUMBER = re.compile(r"\D+(\d+)")


@dataclass(slots=True)
class Filled:
    """What became of every grade and every row."""

    sheet: Sheet
    system: str
    written: dict[str, str] = field(default_factory=dict)
    """Item id -> the current content of its cell."""
    unchanged: list[str] = field(default_factory=list)
    """Ids whose cell held this grade already."""
    refused: list[str] = field(default_factory=list)
    """A sentence for each grade that is not written, with its student."""
    warnings: list[str] = field(default_factory=list)
    strangers: set[str] = field(default_factory=set)
    """Ids of those whose row the file has not, or has under another person's name: teams, other courses."""
    without: int = 0
    """Students of the file for whom there is no grade; their cells stay as they are."""

    @property
    def expected_report(self) -> str:
        """What the system should say after the upload: fewer means that it passed over some."""
        return f"{self.system} should report {len(self.written)} changed grades; fewer means that it left some out"


class Rules(Protocol):
    """How one system's file is filled."""

    title: str

    def columns(self, sheet: Sheet, wanted: str) -> Columns:
        """Where things are; `InvalidInput` for a file of another system, or one that would be misread."""

    def is_student(self, sheet: Sheet, row: int) -> bool:
        """False for rows of the system's own."""

    def objection(self, sheet: Sheet, row: int, grade: Grade, columns: Columns) -> str | None:
        """Why this grade must not be written in this row; None when it may."""

    def in_cell(self, points: Decimal, columns: Columns) -> str:
        """The points as the system reads them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Positions in the header."""

    grade: int
    keys: Mapping[str, int]
    """Field of a grade's metadata, or `id`, -> the column that holds the same."""
    name: int | None = None
    first_name: int | None = None
    """Where first and last names have a column each; `name` is the last one's."""
    maximum: int | None = None
    locked: int | None = None
    decimal_sign: str = "."
    maximum_points: Decimal | None = None
    worded: str = ""
    """The key whose cells are a word of the interface before the number: `Participant 123`, `Teilnehmer/in123`."""
    places: int | None = None
    """Digits behind the decimal sign that the system compares: what differs further behind is no change to it."""
    note: str = ""
    """What the person who uploads the file should know."""


def fill(sheet: Sheet, grades: Iterable[Grade], rules: Rules, *, column: str = "", as_is: bool = False) -> Filled:
    """Put each grade in its student's cell; every grade ends in exactly one list of the result.

    Raises `InvalidInput` when the file says another maximum than the grades, unless they are to be written `as_is`.
    """
    columns = rules.columns(sheet, column)
    filled = Filled(sheet=sheet, system=rules.title, warnings=[columns.note] if columns.note else [])
    rows = [row for row in range(sheet.count) if rules.is_student(sheet, row)]
    by_key = _by_key(sheet, rows, columns)
    taken: dict[int, str] = {}
    grades = list(grades)
    if not as_is:
        _refuse_another_maximum(sheet, grades, by_key, columns)
    for grade in grades:
        if grade.points is None:
            filled.refused.append(f"{grade.shown}: {grade.why_none}")
            continue
        row = _row_of(grade, by_key)
        if row is None or not same_person(grade.name, person_in(sheet, row, columns)):
            filled.strangers.add(grade.id)
        problem = f"no row of {sheet.name} is theirs" if row is None else rules.objection(sheet, row, grade, columns)
        if problem is None and grade.points < 0:
            problem = f"{grade.points} is below 0, which {rules.title} does not take"
        if row is not None and row in taken:
            problem = f"the row is {taken[row]}'s already"
        if row is None or problem is not None:
            filled.refused.append(f"{grade.shown}: {problem}")
            continue
        taken[row] = grade.shown
        _write(filled, row, grade, rules.in_cell(grade.points, columns), columns)
    filled.without = len(rows) - len(taken)
    return filled


def _refuse_another_maximum(
    sheet: Sheet, grades: Iterable[Grade], by_key: Mapping[str, Mapping[str, int]], columns: Columns
) -> None:
    for grade in grades:
        row = _row_of(grade, by_key)
        theirs = maximum_in(sheet, row, columns) if row is not None else None
        ours = grade.score.maximum if grade.score is not None else None
        if theirs is None or ours is None or _to_the_hundredth(theirs) == _to_the_hundredth(ours):
            continue
        convert = f"give --scale-to {written(theirs)} to convert the points, or " if theirs > 0 else "give "
        raise InvalidInput(
            f"the file's maximum is {written(theirs)}, the grades' maximum is {written(ours)}: {convert}"
            "--as-is to write them as they are",
            where=sheet.name,
        )


def _to_the_hundredth(maximum: Decimal) -> Decimal:
    return maximum.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def maximum_in(sheet: Sheet, row: int, columns: Columns) -> Decimal | None:
    """The most points that the file says for this row; None where it says nothing."""
    own = number(sheet.value(row, columns.maximum)) if columns.maximum is not None else None
    return own if own is not None else columns.maximum_points


def _write(filled: Filled, row: int, grade: Grade, text: str, columns: Columns) -> None:
    before = number(filled.sheet.value(row, columns.grade))
    if before is not None and _rounded(before, columns) == _rounded(grade.points, columns):
        filled.unchanged.append(grade.id)
        return
    filled.sheet.set(row, columns.grade, text)
    filled.written[grade.id] = text


def _rounded(points: Decimal | None, columns: Columns) -> Decimal | None:
    return points if points is None or columns.places is None else round(points, columns.places)


def person_in(sheet: Sheet, row: int, columns: Columns) -> str:
    """Whose row it is, as the file writes it; empty where it names nobody."""
    places = [at for at in (columns.first_name, columns.name) if at is not None]
    return " ".join(sheet.value(row, at) for at in places)


def _by_key(sheet: Sheet, rows: list[int], columns: Columns) -> dict[str, dict[str, int]]:
    """Field -> folded value -> row; a value of two rows names neither."""
    found: dict[str, dict[str, int]] = {}
    for key, at in columns.keys.items():
        values: dict[str, list[int]] = {}
        for row in rows:
            for value in _spellings(sheet.value(row, at), is_worded=key == columns.worded):
                values.setdefault(value, []).append(row)
        found[key] = {value: same[0] for value, same in values.items() if len(same) == 1}
    return found


def _spellings(cell: str, *, is_worded: bool) -> set[str]:
    """The cell, and the number alone of `Participant 123`."""
    folded = _folded(cell)
    behind_a_word = _WORD_AND_NUMBER.fullmatch(folded) if is_worded else None
    return {folded, *([behind_a_word[1]] if behind_a_word else [])} - {""}


def _row_of(grade: Grade, by_key: Mapping[str, Mapping[str, int]]) -> int | None:
    for key, rows in by_key.items():
        said = grade.id if key == "id" else grade.metadata.get(key)
        if said is not None and (row := rows.get(_folded(str(said)))) is not None:
            return row
    # what a download names by e-mail or login may be the item's id itself
    return next((rows[_folded(grade.id)] for rows in by_key.values() if _folded(grade.id) in rows), None)


def number(text: str) -> Decimal | None:
    """A cell's number, with either decimal sign; None for anything else."""
    try:
        found = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def decimal_sign(sheet: Sheet, column: int) -> str:
    """What the file's own numbers in this column use, else what its separator suggests."""
    for row in range(sheet.count):
        if found := re.fullmatch(r"\s*\d+([.,])\d+\s*", sheet.value(row, column)):
            return found[1]
    return "," if sheet.delimiter == ";" else "."


def with_sign(points: Decimal, sign: str) -> str:
    """The points with this decimal sign."""
    return written(points).replace(".", sign)


def same_person(one: str, other: str) -> bool:
    """Whether two ways of writing a name can be one person's: `Byron, Ada`, `Ada Byron`, `byronada`."""
    words, others = _words(one), _words(other)
    if not words or not others or words == others:
        return True
    joined, other_joined = sorted("".join(words)), sorted("".join(others))
    return joined == other_joined


def _words(name: str) -> list[str]:
    return sorted(filter(None, re.split(r"[\W_]+", composed(name).casefold())))


def _folded(text: str) -> str:
    return " ".join(composed(text).split()).casefold()
