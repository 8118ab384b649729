"""Downloads of course systems: every student once, with all of their parts and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from producer.inputs import InputOptions
from producer.inputs.item import InputItem
from producer.inputs.reading import describe_input, scan_items
from tests.support.course_corpus import DOWNLOADS, STUDENTS, Download, canvas, moodle, name_of
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

LENIENT = InputOptions(is_strict=False)
WORDS = re.compile(r"[a-z]+-of-\d{3}|nobody-s")


def read(path: Path, options: InputOptions = LENIENT) -> dict[str, InputItem]:
    found = list(scan_items(path, options=options))
    problems = [str(each) for each in found if isinstance(each, InvalidInput)]
    assert problems == []
    items = [each for each in found if isinstance(each, InputItem)]
    assert len({item.id for item in items}) == len(items), "a student stands twice"
    return {item.id: item for item in items}


def text_of(item: InputItem) -> str:
    return str(item.fields["submission"])


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "folder"])
@pytest.mark.parametrize("name", DOWNLOADS)
def test_every_student_has_their_own_parts_and_nobody_stands_twice(name: str, is_zip: bool, tmp_path: Path):  # noqa: FBT001
    download = DOWNLOADS[name]()
    path = download.zipped(tmp_path / "download.zip") if is_zip else download.on_disk(tmp_path / "download")
    items = read(path)
    assert {identity: set(WORDS.findall(text_of(item))) for identity, item in items.items()} == download.expected
    everything = "".join(map(text_of, items.values()))
    assert [word for word in download.never if word in everything] == []


@pytest.mark.parametrize("name", DOWNLOADS)
def test_what_a_system_says_of_a_student_stands_in_no_prompt(name: str, tmp_path: Path):
    download = DOWNLOADS[name]()
    for item in read(download.zipped(tmp_path / "download.zip")).values():
        known = [str(item.metadata[key]) for key in ("name", "number", "email", "submitted") if item.metadata.get(key)]
        assert [value for value in known if value in text_of(item)] == []
        assert set(item.fields) == {"id", "submission"}


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_download_is_recognised_by_itself_and_by_its_name(name: str, tmp_path: Path):
    download = DOWNLOADS[name]()
    path = download.zipped(tmp_path / "download.zip")
    by_itself = describe_input(path, LENIENT)
    assert by_itself is not None
    assert f" {STUDENTS + (name == 'moodle, teams')} students" in by_itself
    assert describe_input(path, InputOptions(layout=download.layout)) == by_itself


def test_the_sentence_counts_students_parts_and_lateness(tmp_path: Path):
    assert (
        describe_input(moodle(is_flat=True).zipped(tmp_path / "m.zip"), LENIENT)
        == "Moodle: 30 students, 8 with two parts"
    )
    sentence = describe_input(canvas().zipped(tmp_path / "c.zip"), LENIENT)
    assert sentence == "Canvas: 30 students, 12 with up to four parts, 6 late"


def test_earlier_attempts_are_named_and_not_graded(tmp_path: Path):
    items = read(DOWNLOADS["brightspace"]().zipped(tmp_path / "b.zip"))
    assert items["80000"].metadata["earlier_attempts_not_graded"] == ["Oct 9, 2026 1148 PM"]
    assert items["80000"].metadata["attempt"] == 2
    assert "attempt" not in items["80001"].metadata


def test_a_download_with_one_hand_in_keeps_its_student(tmp_path: Path):
    one = Download("moodle")
    one.put("Ada Byron_7000_assignsubmission_file/main.py", "file-of-000", student="7000")
    (item,) = read(one.zipped(tmp_path / "one.zip")).values()
    assert (item.id, item.metadata["name"]) == ("7000", "Ada Byron")


def test_a_file_of_nobody_is_a_row_with_its_reason(tmp_path: Path):
    download = moodle()
    download.files["notes of the tutor.txt"] = b"do not grade me"
    items = read(download.zipped(tmp_path / "m.zip"))
    assert items["notes of the tutor.txt"].left_out.startswith("not graded: its name names no student")
    assert len(items) == STUDENTS + 1


def test_a_layout_that_a_download_does_not_have_is_refused_by_name(tmp_path: Path):
    path = moodle().zipped(tmp_path / "m.zip")
    with pytest.raises(InvalidInput, match="no download of Canvas"):
        describe_input(path, InputOptions(layout="canvas"))
    with pytest.raises(InvalidInput, match="did you mean 'moodle'"):
        describe_input(path, InputOptions(layout="moodl"))


def test_the_plain_layout_takes_each_folder_as_a_submission(tmp_path: Path):
    path = moodle(is_flat=True).zipped(tmp_path / "m.zip")
    assert len(read(path, InputOptions(layout="plain", is_strict=False))) == STUDENTS + 8


def test_several_assignments_of_nbgrader_are_asked_for(tmp_path: Path):
    download = DOWNLOADS["nbgrader"]()
    download.files["submitted/stu01/ps2/problem.ipynb"] = download.files["submitted/stu01/ps1/problem.ipynb"]
    path = download.zipped(tmp_path / "n.zip")
    (problem,) = scan_items(path, options=LENIENT)
    assert "--layout nbgrader:ps1" in str(problem)
    assert len(read(path, InputOptions(layout="nbgrader:ps1", is_strict=False))) == STUDENTS


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Student ID,Name,E-mail,Section", "7001,{name},a@school.example,B2"),
        ("Matrikelnummer;First name;Last name;E-mail;Group", "7001;{first};{last};a@school.example;B2"),
    ],
)
def test_a_roster_joins_email_and_section_whatever_its_titles(tmp_path: Path, header: str, row: str):
    first, last = name_of(1).split(" ", 1)
    roster = tmp_path / "class.csv"
    roster.write_text(f"{header}\n{row.format(name=name_of(1), first=first, last=last)}\n", encoding="utf-8")
    items = read(moodle().zipped(tmp_path / "m.zip"), InputOptions(is_strict=False, roster=roster))
    assert items["7001"].metadata["email"] == "a@school.example"
    assert items["7001"].metadata["section"] == "B2"
    assert "email" not in items["7002"].metadata


def test_a_member_that_leads_out_or_is_encrypted_is_named_and_the_rest_is_graded(tmp_path: Path):
    download = Download("plain", files={"ann.py": b"x = 1", "bob/a.py": b"y = 2", "bob/b.bin": b"\x00\x01\x02"})
    items = read(download.zipped(tmp_path / "p.zip"))
    assert text_of(items["ann"]) == "x = 1"
    assert "could not be read: " in text_of(items["bob"])
    assert [line.split(":")[0] for line in items["bob"].not_read] == ["b.bin"]
