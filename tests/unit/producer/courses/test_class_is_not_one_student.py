"""Whole classes below folders that a reader could take for one student, and what is nobody's work at all."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from producer.inputs import InputOptions
from producer.inputs.archive import is_left_behind
from producer.inputs.courses.recognise import recognised
from producer.inputs.courses.tree import opened_tree
from producer.inputs.item import InputItem
from producer.inputs.reading import scan_items
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("anna", "ben", "cy")
NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 2}'


def packed(*paths: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in paths:
            archive.writestr(path, NOTEBOOK if path.endswith(".ipynb") else f"by {path}\n")
    return buffer.getvalue()


def students(path: Path, layout: str = "") -> list[str]:
    with opened_tree(path) as tree:
        return sorted(hand_in.id for hand_in in recognised(tree, layout).found.hand_ins)


def written(folder: Path, name: str, *paths: str, as_folder: bool = False) -> Path:
    path = folder / name
    content = packed(*paths)
    if not as_folder:
        path.write_bytes(content)
        return path
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(path.with_suffix(""))
    return path.with_suffix("")


REPOSITORIES = tuple(f"hw1-{name}/main.py" for name in NAMES)


@pytest.mark.parametrize("layout", ["", "github", "github:hw1"])
@pytest.mark.parametrize("name", ["hw1-submissions.zip", "x-submissions.zip", "x.zip"])
def test_a_clone_packed_under_any_name_is_a_class(name: str, layout: str, tmp_path: Path):
    inside = [f"hw1-submissions/{path}" for path in REPOSITORIES]
    assert students(written(tmp_path, name, *inside), layout) == list(NAMES)


@pytest.mark.parametrize("layout", ["", "github"])
def test_a_clone_of_one_is_that_one(layout: str, tmp_path: Path):
    path = written(tmp_path, "hw1-submissions.zip", "hw1-submissions/hw1-anna/main.py")
    assert students(path, layout) == ["anna"]


@pytest.mark.parametrize("layout", ["github", "github:hw1"])
def test_a_folder_that_begins_as_its_repositories_do_is_no_student(layout: str, tmp_path: Path):
    path = written(tmp_path, "hw1-submissions.zip", *(f"hw1-2026/{name}" for name in REPOSITORIES))
    if layout == "github":
        with pytest.raises(InvalidInput, match="no download of GitHub Classroom"):
            students(path, layout)
    else:
        assert students(path, layout) == list(NAMES)


def test_a_file_beside_cloned_repositories_does_not_make_the_class_one_submission(tmp_path: Path):
    path = written(tmp_path, "x.zip", "hw1-submissions/notes.md", *(f"hw1-submissions/{each}" for each in REPOSITORIES))
    assert students(path) == list(NAMES)


NBGRADER = {
    "course": [f"cs/submitted/{name}/ps1/{file}" for name in NAMES for file in ("p.ipynb", "timestamp.txt")],
    "deep": [f"a/b/submitted/{name}/ps1/{file}" for name in NAMES for file in ("p.ipynb", "timestamp.txt")],
    "neighbours": [
        "syllabus.md", "cs/source/ps1/p.ipynb", "cs/release/ps1/p.ipynb", "cs/notes.md",
        *(f"cs/{step}/{name}/ps1/p.ipynb" for name in NAMES for step in ("submitted", "autograded", "feedback")),
        *(f"cs/submitted/{name}/ps1/timestamp.txt" for name in NAMES),
    ],
    "no stamps": [f"cs/submitted/{name}/ps1/p.ipynb" for name in NAMES],
    "graded": [f"autograded/{name}/ps1/{file}" for name in NAMES for file in ("p.ipynb", "timestamp.txt")],
    "graded in a course": [f"cs/autograded/{name}/ps1/p.ipynb" for name in NAMES],
    "bare": [f"cs/{name}/ps1/{file}" for name in NAMES for file in ("p.ipynb", "timestamp.txt")],
}  # fmt: skip


@pytest.mark.parametrize("as_folder", [False, True])
@pytest.mark.parametrize("name", ["x.zip", "submitted.zip", "cs.zip", "autograded.zip"])
@pytest.mark.parametrize("shape", NBGRADER)
def test_students_of_nbgrader_lie_below_its_folder_at_any_depth(
    shape: str, name: str, *, as_folder: bool, tmp_path: Path
):
    path = written(tmp_path, name, *NBGRADER[shape], as_folder=as_folder)
    assert students(path) == list(NAMES)
    assert students(path, "nbgrader:ps1") == list(NAMES)


def test_no_folder_of_nbgrader_is_offered_as_an_assignment(tmp_path: Path):
    paths = [f"{step}/{name}/{ps}/p.ipynb" for step in ("autograded",) for name in NAMES for ps in ("ps1", "ps2")]
    with pytest.raises(InvalidInput, match="holds the assignments ps1, ps2;"):
        students(written(tmp_path, "x.zip", *paths))


def test_a_folder_named_submitted_of_one_student_leaves_the_others_theirs(tmp_path: Path):
    path = written(tmp_path, "x.zip", "anna/submitted/a/b/p.ipynb", "anna/submitted/a/b/q.py", "ben/main.py")
    assert students(path) == ["anna", "ben"]


MOODLE = tuple(f"all/moodle/{name.title()} B_{at}_assignsubmission_file/x.py" for at, name in enumerate(NAMES))


def test_one_submission_that_would_hold_a_class_is_refused_with_the_folder_to_give(tmp_path: Path):
    path = written(tmp_path, "x.zip", "all/notes.md", *MOODLE)
    with pytest.raises(InvalidInput, match=r"all/moodle looks like a whole class \(Moodle: 3 students"):
        students(path)
    assert students(path, "plain") == ["all"]


def test_one_students_repository_with_a_common_prefix_is_no_class(tmp_path: Path):
    path = written(tmp_path, "x.zip", "anna/.git/config", "anna/src/mod-a/x.py", "anna/src/mod-b/x.py", "anna/a.md")
    assert students(path) == ["anna"]


LEFT_BEHIND = ("Thumbs.db", "ehthumbs.db", "desktop.ini", ".DS_Store", "__MACOSX/x", "~$a.docx", "a/Thumbs.db")


def items(path: Path) -> dict[str, InputItem]:
    found = scan_items(path, options=InputOptions(is_strict=False))
    return {item.id: item for item in found if isinstance(item, InputItem)}


def test_what_systems_leave_behind_is_no_work_in_archives_and_behind_prefixes(tmp_path: Path):
    assert all(map(is_left_behind, LEFT_BEHIND))
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("A B_1_assignsubmission_file_hw.zip", packed("work.txt", *LEFT_BEHIND))
        archive.writestr("A B_1_assignsubmission_file_desktop.ini", "[x]\n")
        archive.writestr("C D_2_assignsubmission_file_Thumbs.db", "[x]\n")
        archive.writestr("E F_3_assignsubmission_file_main.py", "x = 1\n")
    found = items(path)
    assert str(found["1"].fields["submission"]).count("by ") == 1
    assert "[x]" not in str(found["1"].fields["submission"])
    assert (bool(found["2"].left_out), found["2"].not_read) == (True, ())
    assert found["3"].fields["submission"] == "x = 1\n"


def brightspace(*dates: str) -> list[str]:
    return [
        "index.html",
        *(f"11-7 - Anna - {date}/a{at}.txt" for at, date in enumerate(dates)),
        "12-7 - Ben - x 2026 1/b",
    ]


def test_attempts_without_readable_dates_are_graded_together_and_the_note_says_so(tmp_path: Path):
    path = written(tmp_path, "x.zip", *brightspace("30 Dezember, 2025 1405", "2 Januar, 2026 0905"))
    text = str(items(path)["11"].fields["submission"])
    assert "a0.txt" in text
    assert "a1.txt" in text
    with opened_tree(path) as tree:
        summary = recognised(tree).summary()
    assert "1 with attempts whose dates cannot be read: all their files are graded together" in summary


def test_of_attempts_with_readable_dates_the_newest_counts(tmp_path: Path):
    path = written(tmp_path, "x.zip", *brightspace("Oct 9, 2026 1148 PM", "Oct 10, 2026 105 AM"))
    assert "a0.txt" not in str(items(path)["11"].fields["submission"])
