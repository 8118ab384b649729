"""Grades go back into the very file that the course system exported, and into its grade cells alone."""

from __future__ import annotations

import io
import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from producer.gradebook.feedback import feedback_html, feedback_markdown, member_name, write_feedback_zip
from producer.gradebook.filling import fill
from producer.gradebook.grade import Grade, Score, points_of, score_of, written
from producer.gradebook.plain import grade_lines, workbook
from producer.gradebook.sheet import Sheet
from producer.gradebook.systems import SYSTEMS
from tests.support.course_corpus import STUDENTS, name_of
from tests.support.importers import canvas_import, moodle_import
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOODLE_HEADER = (
    "Identifier,Full name,Email address,Status,Grade,Maximum grade,Grade can be changed,"
    "Last modified (submission),Last modified (grade),Feedback comments"
)


def moodle_row(number: int, *, grade: str = "", locked: bool = False) -> str:
    name = name_of(number).replace("_", " ")
    return (
        f'"Participant {7000 + number}","{name}",s{number}@school.example,"Submitted for grading - ",{grade},100.00,'
        f'{"No" if locked else "Yes"},"Sunday, 1 November 2026, 10:00 AM",-,"well, ""done"""'
    )


def moodle_sheet(folder: Path, rows: list[str] | None = None) -> Path:
    path = folder / "Grades.csv"
    rows = rows if rows is not None else [moodle_row(number) for number in range(STUDENTS)]
    path.write_bytes("\ufeff".encode() + "\r\n".join([MOODLE_HEADER, *rows, ""]).encode())
    return path


def graded(number: int, points: str, **metadata: object) -> Grade:
    known = {"number": str(7000 + number), "name": name_of(number).replace("_", " "), **metadata}
    return Grade(id=str(7000 + number), score=Score(Decimal(points)), metadata=known)


def differing_cells(before: bytes, after: bytes) -> set[int]:
    """Columns in which two files of the same shape differ; every other byte is the same."""
    lines = list(zip(before.split(b"\r\n"), after.split(b"\r\n"), strict=True))
    found: set[int] = set()
    for one, other in lines:
        if one != other:
            mine, theirs = Sheet_cells(one), Sheet_cells(other)
            found |= {at for at, pair in enumerate(zip(mine, theirs, strict=True)) if pair[0] != pair[1]}
    return found


def Sheet_cells(line: bytes) -> list[str]:  # noqa: N802 - cells as they are written
    from producer.gradebook.sheet import _parsed

    text = line.decode("utf-8-sig")
    return _parsed(text, ";" if text.count(";") > text.count(",") else ",", "line")[0].cells


def test_moodles_own_worksheet_comes_back_with_other_grades_and_nothing_else(tmp_path: Path):
    path = moodle_sheet(tmp_path)
    filled = fill(
        Sheet.load(path), [graded(number, f"{50 + number}.5") for number in range(STUDENTS)], SYSTEMS["moodle"]
    )
    assert differing_cells(path.read_bytes(), filled.sheet.content()) == {4}
    participants = {str(7000 + number) for number in range(STUDENTS)}
    for comma in (False, True):
        taken = moodle_import(filled.sheet.content(), participants=participants, maximum=100, comma=comma)
        assert taken.changed == {str(7000 + number): 50.5 + number for number in range(STUDENTS)}
    assert filled.expected_report == "Moodle should report 30 changed grades; fewer means that it left some out"


@pytest.mark.parametrize(
    ("grade", "row", "reason"),
    [
        (graded(0, "101"), moodle_row(0), "above the maximum of 100.00"),
        (graded(0, "0"), moodle_row(0), "do not store a grade of 0"),
        (graded(0, "50"), moodle_row(0, locked=True), "locked or overridden"),
        (graded(0, "50"), moodle_row(1), "no row of Grades.csv is theirs"),
        (graded(0, "50", name="Team Rocket"), moodle_row(0), "is this a team?"),
        (graded(0, "50", group="Team 1"), moodle_row(0), "this is a team"),
    ],
)
def test_what_moodle_would_skip_or_give_to_another_is_refused_by_name(
    tmp_path: Path, grade: Grade, row: str, reason: str
):
    path = moodle_sheet(tmp_path, [row])
    filled = fill(Sheet.load(path), [grade], SYSTEMS["moodle"])
    assert filled.sheet.content() == path.read_bytes()
    (sentence,) = filled.refused
    assert sentence.startswith(grade.shown)
    assert reason in sentence


def test_a_grade_that_stands_there_already_is_no_change(tmp_path: Path):
    path = moodle_sheet(tmp_path, [moodle_row(0, grade="50.00")])
    filled = fill(Sheet.load(path), [graded(0, "50")], SYSTEMS["moodle"])
    assert (filled.unchanged, filled.written) == (["7000"], {})
    assert filled.sheet.content() == path.read_bytes()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MOODLE_HEADER.replace("Maximum grade", "Scale") + "\r\n", "uses a scale"),
        (MOODLE_HEADER + "\r\n" + moodle_row(0) + ",x\r\n", "row 2 has 11 cells and the header 10"),
        (MOODLE_HEADER + "\r\n" + moodle_row(0).replace(",-,", ",01/11/2026 10:00,") + "\r\n", "rewrote the dates"),
        ("a,b\r\nx,2\r\n", "not Moodle's grading worksheet"),
        ("a,b,c\r\n1,,2\r\n", "whether a grade may be changed"),
    ],
)
def test_a_worksheet_that_moodle_would_misread_is_refused_as_a_whole(tmp_path: Path, text: str, sentence: str):
    path = tmp_path / "Grades.csv"
    path.write_text(text, newline="")
    with pytest.raises(InvalidInput, match=sentence):
        fill(Sheet.load(path), [graded(0, "50")], SYSTEMS["moodle"])


def canvas_file(folder: Path, *, delimiter: str = ",") -> Path:
    def line(*cells: str) -> str:
        return delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in cells)

    rows = [
        line("Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Week 3 (4711)", "Final Score"),
        line("", "", "", "", "", "Manual Posting", ""),
        line("    Points Possible", "", "", "", "", "100.0", "(read only)"),
    ]
    for number in range(STUDENTS):
        first, last = name_of(number).split(" ", 1)
        before = "7" if number % 2 else ""
        rows.append(line(f"{last}, {first}", str(50_000 + number), "", f"s{number}", "A", before, ""))
    rows.append(line("Student, Test", "99999", "", "", "A", "", ""))
    path = folder / "canvas.csv"
    path.write_bytes("\r\n".join([*rows, ""]).encode())
    return path


def canvas_grade(number: int, points: str, **metadata: object) -> Grade:
    first, last = name_of(number).split(" ", 1)
    joined = (last + first).lower().replace(" ", "")
    known = {"canvas_id": str(50_000 + number), "name": joined, **metadata}
    return Grade(id=str(50_000 + number), score=Score(Decimal(points)), metadata=known)


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_canvas_changes_the_graded_removes_nobody_and_makes_no_assignment(tmp_path: Path, delimiter: str):
    path = canvas_file(tmp_path, delimiter=delimiter)
    some = [canvas_grade(number, "8.25") for number in range(0, STUDENTS, 3)]
    filled = fill(Sheet.load(path), some, SYSTEMS["canvas"])
    assert filled.refused == []
    assert differing_cells(path.read_bytes(), filled.sheet.content()) == {5}
    known = {str(50_000 + number): 7.0 if number % 2 else None for number in range(STUDENTS)} | {"99999": None}
    taken = canvas_import(filled.sheet.content(), known=known, assignment="Week 3 (4711)", others={"Final Score"})
    assert taken.changed == {str(50_000 + number): 8.25 for number in range(0, STUDENTS, 3)}
    assert (taken.removed, taken.new_columns) == ([], [])
    assert filled.without == STUDENTS - len(some)


def test_a_group_in_canvas_is_refused_by_name(tmp_path: Path):
    filled = fill(Sheet.load(canvas_file(tmp_path)), [canvas_grade(0, "5", name="project7")], SYSTEMS["canvas"])
    assert "is this a group?" in filled.refused[0]


def test_several_assignments_are_asked_for_and_read_only_ones_refused(tmp_path: Path):
    path = canvas_file(tmp_path)
    computed = path.read_bytes().replace(b"Final Score", b"Week 4 (4712)")
    path.write_bytes(computed.replace(b"(read only)", b"10.0"))
    with pytest.raises(InvalidInput, match="choose the assignment with --column"):
        fill(Sheet.load(path), [canvas_grade(0, "5")], SYSTEMS["canvas"])
    path.write_bytes(computed)
    with pytest.raises(InvalidInput, match="read only"):
        fill(Sheet.load(path), [canvas_grade(0, "5")], SYSTEMS["canvas"], column="Week 4")
    for column in ("", "Week 3"):
        filled = fill(Sheet.load(path), [canvas_grade(0, "5")], SYSTEMS["canvas"], column=column)
        assert filled.written == {"50000": "5"}


def test_blackboards_and_gradescopes_tables_are_filled_by_login_and_e_mail(tmp_path: Path):
    path = tmp_path / "bb.csv"
    header = '"Last Name"\t"First Name"\t"Username"\t"Week 3 [Total Pts: 10 Score] |1"\r\n'
    path.write_bytes((header + '"Byron"\t"Ada"\t"ada1"\t""\r\n').encode("utf-16"))
    grade = Grade(id="ada1", score=Score(Decimal("8.5")), metadata={"user": "ada1"})
    filled = fill(Sheet.load(path), [grade], SYSTEMS["blackboard"])
    assert filled.sheet.content() == path.read_bytes().replace(
        '"ada1"\t""'.encode("utf-16-le"), '"ada1"\t"8.5"'.encode("utf-16-le")
    )
    high = fill(
        Sheet.load(path), [Grade(id="ada1", score=Score(Decimal(11)), metadata={"user": "ada1"})], SYSTEMS["blackboard"]
    )
    assert "--scale-to 10" in high.refused[0]
    scores = tmp_path / "scores.csv"
    scores.write_text("Name,SID,Email,Total Score,Max Points\nAda Byron,01,a@s.example,,10.0\n")
    found = Grade(id="a@s.example", score=Score(Decimal(9)), metadata={"email": "a@s.example", "name": "Ada Byron"})
    assert b"a@s.example,9,10.0" in fill(Sheet.load(scores), [found], SYSTEMS["gradescope"]).sheet.content()


def test_points_are_written_as_people_write_them():
    assert [written(Decimal(text)) for text in ("8.50", "100", "1E+2", "0.25")] == ["8.5", "100", "100", "0.25"]
    assert points_of({"total_points": 7.1, "score": 3}, out_of=None) == Decimal("7.1")
    assert points_of({"total_deduction": 12}, out_of=Decimal(100)) == Decimal(88)
    assert points_of({"total_deduction": 12}, out_of=None) is None
    assert score_of({"score": 72, "max_points": 90}, scale_to=Decimal(10)) == Score(
        Decimal("8.00"), Decimal(10), own=Score(Decimal(72), Decimal(90))
    )
    with pytest.raises(InvalidInput, match="--out-of"):
        score_of({"score": 72}, scale_to=Decimal(10))


def test_feedback_names_are_those_that_the_systems_split_again():
    moodle = graded(5, "8")
    name = member_name(moodle, "moodle", "html")
    assert name is not None
    parts = name.split("/")[0].split("_")
    assert (parts[1], parts[2], parts[3]) == ("7005", "assignsubmission", "file")
    canvas = canvas_grade(0, "8", attachments=["900"])
    assert str(member_name(canvas, "canvas", "md")).split("_")[1:] == ["50000", "900", "feedback.md"]
    assert member_name(canvas_grade(0, "8"), "canvas", "md") is None
    assert member_name(graded(0, "8", group="Team 1"), "moodle", "md") is None


def test_feedback_says_the_points_and_takes_no_markup_from_a_model():
    result = {
        "summary": "<script>x</script> [a](http://e)",
        "suggestions": ["use *args"],
        "max_points": 10,
        "criteria": {"style": {"level": "good"}},
    }
    grade = Grade(
        id="1",
        score=Score(Decimal("8.5"), Decimal(10)),
        band="B",
        result=result,
        metadata={"files_not_read": ["a.png: it is a picture"]},
    )
    page = feedback_markdown(grade, title="week 3")
    assert "**Points: 8.5 of 10** (B)" in page
    assert "Not read: a.png: it is a picture." in page
    assert "\\<script\\>" in page
    shown = feedback_html(grade, title="week 3")
    assert "<script>" not in shown
    assert "use *args" in shown


def test_feedback_is_written_page_by_page():
    written: list[int] = []

    def pages(file: io.BytesIO) -> Iterator[tuple[str, bytes]]:
        for name in ("b.md", "a.md", "c.md"):
            written.append(file.tell())
            yield name, b"fine " * 1000

    files = [io.BytesIO(), io.BytesIO()]
    assert [write_feedback_zip(pages(file), file) for file in files] == [3, 3]
    assert written[0] < written[1] < written[2]  # a page is in the file before the next one is made
    assert files[0].getvalue() == files[1].getvalue()
    with zipfile.ZipFile(files[0]) as archive:
        assert archive.namelist() == ["b.md", "a.md", "c.md"]
        assert archive.read("a.md") == b"fine " * 1000


def test_a_workbook_holds_numbers_as_numbers_and_no_formula():
    import openpyxl

    grades = [
        Grade(id="=1+1", score=Score(Decimal("8.5")), metadata={"name": "Ada", "Section": "A"}),
        Grade(id="b", why_none="pictures only"),
    ]
    sheet = openpyxl.load_workbook(io.BytesIO(workbook(grade_lines(grades), title="week/3"))).active
    assert sheet is not None
    rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert rows[0][:5] == ["id", "name", "points", "band", "flags"]
    assert rows[1][:3] == ["'=1+1", "Ada", 8.5]
    assert rows[0][-1] == "Section"
