"""Where things are in Moodle's worksheet: by its English titles, else, in any other language, by what its cells hold.

The order of columns is the same in every language: identifier, [name, e-mail], status, [markers], grade, maximum or
scale, [workflow state], whether the grade can be changed, dates and comments.
*Source*: mod/assign/feedback/offline/locallib.php 04975560.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.gradebook.filling import number
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.gradebook.sheet import Sheet

_IDENTIFIER, _NAME, _EMAIL = "identifier", "full name", "email address"
_GRADE, _MAXIMUM, _SCALE, _MAY_CHANGE = "grade", "maximum grade", "scale", "grade can be changed"
_ENDS_IN_A_NUMBER = re.compile(r"\D*(\d+)")
YES = frozenset({
    "yes", "ja", "oui", "sí", "si", "sì", "sim", "tak", "ano", "áno", "da", "evet", "igen", "kyllä", "jah", "taip",
    "jā", "да", "так", "\u03bd\u03b1\u03b9", "כן", "نعم", "بلی", "是", "はい", "예", "có", "ya", "हाँ", "ใช่", "já",
})  # fmt: skip
NO = frozenset({
    "no", "nein", "non", "não", "nee", "nej", "nei", "ei", "nie", "ne", "nu", "hay\u0131r", "nem", "nē", "нет", "ні",
    "όχι", "לא", "لا", "خیر", "否", "いいえ", "아니오", "아니요", "không", "tidak", "नहीं", "ไม่", "ez", "0",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Worksheet:
    """Columns of one file."""

    identifier: int
    grade: int
    name: int | None = None
    email: int | None = None
    maximum: int | None = None
    locked: int | None = None
    has_scale: bool = False
    is_english: bool = True


def read_layout(sheet: Sheet, wanted: str) -> Worksheet:
    """Of this file; `wanted` is the title of the grades' column, where it is given. `InvalidInput` for another file."""
    titles = {title.casefold(): at for at, title in reversed(list(enumerate(sheet.titles)))}
    grade = titles.get((wanted or _GRADE).casefold())
    if _IDENTIFIER in titles and grade is not None:
        return Worksheet(
            identifier=titles[_IDENTIFIER],
            grade=grade,
            name=titles.get(_NAME),
            email=titles.get(_EMAIL),
            maximum=titles.get(_MAXIMUM),
            locked=titles.get(_MAY_CHANGE),
            has_scale=_SCALE in titles,
        )
    if wanted and grade is None:
        raise InvalidInput(f"there is no column {wanted!r}", where=sheet.name)
    return _by_content(sheet, grade)


def _by_content(sheet: Sheet, grade: int | None) -> Worksheet:
    columns = range(len(sheet.titles))
    cells = {at: [sheet.value(row, at).strip() for row in range(sheet.count)] for at in columns}
    identities = [_ENDS_IN_A_NUMBER.fullmatch(cell) for cell in cells.get(0, ())]
    places = [at for at in columns[1:] if _is_maximum(cells[at]) and _may_be_grades(cells[at - 1], cells[at])]
    if grade is not None:
        places = [at for at in (grade + 1,) if at in cells and _is_maximum(cells[at])]
    if not identities or None in identities or len(places) != 1:
        raise InvalidInput(
            "this is not Moodle's grading worksheet: its titles are not English, and no column of grades stands before "
            "one with the maximum; download it with the interface in English, or name the grades' column with --column",
            where=sheet.name,
        )
    email = next((at for at in columns[1:] if _all(cells[at], lambda cell: "@" in cell)), None)
    locked = next((at for at in columns[places[0] + 1 :] if _all(cells[at], _is_truth)), None)
    if locked is None:
        raise InvalidInput(
            "no column says in a language that is known here whether a grade may be changed, and Moodle skips locked "
            "ones without a word; download the worksheet with the interface in English",
            where=sheet.name,
        )
    return Worksheet(
        identifier=0,
        grade=places[0] - 1,
        name=1 if email is not None and email > 1 else None,  # other columns of identity may be in between
        email=email,
        maximum=places[0],
        locked=locked,
        is_english=False,
    )


def _is_maximum(cells: list[str]) -> bool:
    """One number above 0 in every row."""
    found = number(cells[0]) if cells else None
    return found is not None and found > 0 and len(set(cells)) == 1


def _may_be_grades(cells: list[str], maxima: list[str]) -> bool:
    highest = number(maxima[0])
    found = [number(cell) for cell in cells if cell not in {"", "-"}]
    return highest is not None and all(grade is not None and 0 <= grade <= highest for grade in found)


def _is_truth(cell: str) -> bool:
    return cell.casefold() in YES | NO


def _all(cells: list[str], claim: Callable[[str], bool]) -> bool:
    return bool(cells) and all(map(claim, cells))
