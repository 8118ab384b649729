"""The file that goes back is accepted by the importer's rules and differs from the exported one in grades alone."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from producer.gradebook.feedback import member_name
from producer.gradebook.filling import Filled, fill
from producer.gradebook.grade import Grade, Score
from producer.gradebook.sheet import Sheet
from producer.gradebook.systems import SYSTEMS
from tests.support.exported_gradebooks import (
    ASSIGNMENT,
    CanvasStyle,
    MoodlePerson,
    MoodleStyle,
    canvas_export,
    moodle_export,
)
from tests.support.importers import canvas_feedback, canvas_import, moodle_feedback, moodle_import

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    ("Byron", "Ada"), ("Müller", "Zoë"), ("O'Neill", "D'Arcy"), ("van den Berg", "Jean-Luc"), ("Ng", "Ngọc Ánh"),
    ("García-López y Fernández", "José María"), ("Smith", "Mary Ann"), ("عبد الله", "محمد"), ("Weiß", "Ada 2"),
)  # fmt: skip
CANVAS = [(str(50_000 + at), last, first) for at, (last, first) in enumerate(NAMES)]


def filled_in(folder: Path, system: str, content: bytes, grades: list[Grade], column: str = "") -> tuple[Filled, bytes]:
    path = folder / "export.csv"
    path.write_bytes(content)
    filled = fill(Sheet.load(path), grades, SYSTEMS[system], column=column)
    return filled, filled.sheet.content()


def cells(content: bytes, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter))


def changed_columns(before: bytes, after: bytes, delimiter: str) -> set[str]:
    """Titles of the columns in which a cell differs; the bytes outside of these cells are the same."""
    one, other = cells(before, delimiter), cells(after, delimiter)
    assert [len(row) for row in one] == [len(row) for row in other]
    assert before.count(b"\r\n") == after.count(b"\r\n")
    assert before.count(b"\n") == after.count(b"\n")
    return {
        one[0][at] for mine, theirs in zip(one, other, strict=True) for at in range(len(mine)) if mine[at] != theirs[at]
    }


def canvas_grades(points: str = "8.25") -> list[Grade]:
    return [
        Grade(
            id=identity,
            score=Score(Decimal(points) + at),
            metadata={"canvas_id": identity, "name": "".join(filter(str.isalnum, f"{last}{first}")).lower()},
        )
        for at, (identity, last, first) in enumerate(CANVAS)
    ]


@pytest.mark.parametrize(
    "style",
    [
        CanvasStyle(),
        CanvasStyle(delimiter=";", decimal=","),
        CanvasStyle(decimal=",", end="\r\n"),
        CanvasStyle(first_and_last=True, sis=True, hidden="Manual Posting", end="\r\n"),
        CanvasStyle(custom="Notes (12)", hidden="Muted", period="2026"),
        CanvasStyle(hidden="Manual Posting (scores hidden from instructors)", bom=True, totals=False),
    ],
)
def test_canvas_takes_every_grade_removes_none_and_makes_no_column(style: CanvasStyle, tmp_path: Path):
    stand = {identity: f"7{style.decimal}50" for identity, *_ in CANVAS[::2]}
    exported = canvas_export(CANVAS, stand, style)
    filled, content = filled_in(tmp_path, "canvas", exported, canvas_grades())
    assert filled.refused == []
    assert changed_columns(exported, content, style.delimiter) == {ASSIGNMENT}
    known: dict[str, float | str | None] = {identity: 7.5 if identity in stand else None for identity, *_ in CANVAS}
    taken = canvas_import(content, known={**known, "99999": None}, assignment=ASSIGNMENT, others={style.custom})
    assert taken.changed == {identity: 8.25 + at for at, (identity, *_) in enumerate(CANVAS)}
    assert (taken.removed, taken.new_columns) == ([], [])
    assert len(filled.written) == len(taken.changed)


def test_whom_canvas_excused_or_did_not_assign_and_what_it_rounds_away_stays(tmp_path: Path):
    stand = {"50000": "EX", "50001": "N/A", "50002": "10.25"}
    exported = canvas_export(CANVAS, stand, CanvasStyle())
    grades = canvas_grades("8.251")
    filled, content = filled_in(tmp_path, "canvas", exported, grades)
    assert [sentence.partition(":")[2][:30] for sentence in filled.refused] == [
        " they are excused in Canvas (E",
        " the assignment is not assigne",
    ]
    assert filled.unchanged == ["50002"], "10.251 is 10.25 to Canvas"
    known: dict[str, float | str | None] = {identity: None for identity, *_ in CANVAS} | {"50000": "EX", "50002": 10.25}
    taken = canvas_import(content, known=known, assignment=ASSIGNMENT, not_assigned={"50001"})
    assert set(taken.changed) == set(filled.written)
    assert taken.removed == []


def moodle_people(style: MoodleStyle) -> list[MoodlePerson]:
    return [
        MoodlePerson(
            number=str(7000 + at),
            name=f"{first} {last}",
            grade="7.50" if at % 2 else "",
            locked=at == 3,
            identity=tuple(f"s{at}@uni.example" if "mail" in title else f"00{at}" for title in style.identity),
        )
        for at, (last, first) in enumerate(NAMES)
    ]


def moodle_grades(*, is_blind: bool = False) -> list[Grade]:
    """Names as Moodle's download writes them, without what no file may be called."""
    return [
        Grade(
            id=str(7000 + at),
            score=Score(Decimal("8.5") + at),
            metadata={"number": str(7000 + at), **({} if is_blind else {"name": f"{first} {last}".replace("'", "")})},
        )
        for at, (last, first) in enumerate(NAMES)
    ]


@pytest.mark.parametrize(
    "style",
    [
        MoodleStyle(),
        MoodleStyle(is_blind=True, markers=2, workflow=True),
        MoodleStyle(identity=("ID number", "Email address", "Department"), bom=False, end="\n"),
        MoodleStyle(language="de"),
        MoodleStyle(language="de", identity=("ID number", "Email address"), markers=1, workflow=True, comments=False),
    ],
)
def test_moodle_takes_every_grade_that_is_not_locked_and_no_comment_changes(style: MoodleStyle, tmp_path: Path):
    exported = moodle_export(moodle_people(style), style)
    filled, content = filled_in(tmp_path, "moodle", exported, moodle_grades(is_blind=style.is_blind))
    assert [sentence.rpartition(": ")[2] for sentence in filled.refused] == [
        "the grade is locked or overridden in Moodle's gradebook"
    ]
    assert changed_columns(exported, content, ",") == {"Bewertung" if style.language == "de" else "Grade"}
    for comma in (False, True):
        taken = moodle_import(
            content,
            participants={str(7000 + at) for at in range(len(NAMES))},
            maximum=100,
            comma=comma,
            language=style.language,
            stored={str(7000 + at): 7.5 for at in range(1, len(NAMES), 2)},
            locked={"7003"},
        )
        assert taken.changed == {str(7000 + at): 8.5 + at for at in range(len(NAMES)) if at != 3}


def test_a_grade_below_zero_is_written_nowhere(tmp_path: Path):
    exported = moodle_export(moodle_people(MoodleStyle()), MoodleStyle())
    low = Grade(id="7000", score=Score(Decimal(-1)), metadata={"number": "7000", "name": "Ada Byron"})
    filled, content = filled_in(tmp_path, "moodle", exported, [low])
    assert content == exported
    assert "-1 is below 0" in filled.refused[0]


def test_a_worksheet_that_a_spreadsheet_saved_with_semicolons_says_how_to_upload_it(tmp_path: Path):
    rows = cells(moodle_export(moodle_people(MoodleStyle()), MoodleStyle(bom=False)), ",")
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=";").writerows(rows)
    filled, _content = filled_in(tmp_path, "moodle", buffer.getvalue().encode(), moodle_grades())
    assert "separated by ';'" in filled.warnings[0]


def test_feedback_files_reach_their_students_by_the_rules_of_both_importers():
    participants = {str(7000 + at) for at in range(len(NAMES))} | {"12"}
    for grade in moodle_grades():
        name = member_name(grade, "moodle", "html")
        assert name is not None
        assert moodle_feedback(name, participants) == (grade.id, "feedback.html")
    for shown in ("group_12", "12", "byronada", "müller_zoë", ""):
        grade = Grade(
            id="50000", score=Score(Decimal(1)), metadata={"canvas_id": "50000", "name": shown, "attachments": ["900"]}
        )
        name = member_name(grade, "canvas", "pdf")
        assert name is not None
        assert canvas_feedback(name) == ("50000", "900")


def test_a_team_whose_number_is_a_students_is_a_stranger_to_the_worksheet(tmp_path: Path):
    exported = moodle_export(moodle_people(MoodleStyle()), MoodleStyle())
    team = Grade(id="7001", score=Score(Decimal(9)), metadata={"number": "7001", "name": "Team Rocket"})
    unknown = Grade(id="9", score=Score(Decimal(9)), metadata={"number": "9", "name": "Gone Girl"})
    filled, content = filled_in(tmp_path, "moodle", exported, [team, unknown, moodle_grades()[0]])
    assert filled.strangers == {"7001", "9"}
    assert changed_columns(exported, content, ",") == {"Grade"}
    assert list(filled.written) == ["7000"]
