"""Downloads of every course system, made from the formats' rules: 30 students each, every special case, and the truth.

The names are made up; every text says whose it is, so that a part of somebody else's is seen.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

STUDENTS = 30
FIRST = ("Ada", "Zoë", "José", "Anne-Marie", "O'Neil", "Lì")
LAST = ("Byron", "Müller", "de la Cruz", "van_den_Berg", "Ng", "Åström")


@dataclass
class Download:
    """Files by path, and what each student is to have: id -> words that stand in their submission."""

    layout: str
    files: dict[str, bytes] = field(default_factory=dict)
    expected: dict[str, set[str]] = field(default_factory=dict)
    never: set[str] = field(default_factory=set)
    """Words that stand in no prompt: of earlier attempts, of lists."""

    def put(self, path: str, word: str, *, student: str | None, html: bool = False) -> None:
        self.files[path] = (f"<p>{word}</p>" if html else f"print('{word}')\n").encode()
        if student is None:
            self.never.add(word)
        else:
            self.expected.setdefault(student, set()).add(word)

    def on_disk(self, root: Path) -> Path:
        for path, content in self.files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return root

    def zipped(self, path: Path) -> Path:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.files.items():
                archive.writestr(name, content)
        path.write_bytes(buffer.getvalue())
        return path


def name_of(number: int) -> str:
    return f"{FIRST[number % len(FIRST)]} {LAST[number // len(FIRST) % len(LAST)]}"


def word(number: int, what: str = "file") -> str:
    return f"{what}-of-{number:03d}"


def moodle(*, is_flat: bool = False, is_blind: bool = False, is_old: bool = False) -> Download:
    found = Download("moodle")
    for number in range(STUDENTS):
        student = str(7000 + number)
        name = "Participant" if is_blind else name_of(number).replace("_", " ")
        end = "_" if is_old or is_flat else "/"
        end = "_/" if is_old and not is_flat else end
        head = f"{name}_{student}_assignsubmission"
        found.put(f"{head}_file{end}main_{number}.py", word(number), student=student)
        if number % 4 == 0:
            found.put(f"{head}_onlinetext{end}onlinetext.html", word(number, "text"), student=student, html=True)
        if number % 7 == 0 and not is_flat:
            found.put(f"{head}_file{end}src/deep.py", word(number, "deep"), student=student)
    return found


def moodle_teams() -> Download:
    found = Download("moodle")
    for number in range(STUDENTS):
        found.put(f"Team {number}_{300 + number}_assignsubmission_file/a.py", word(number), student=str(300 + number))
    found.put("Default group_assignsubmission_file/a.py", "nobody-s", student="Default group")
    return found


def canvas(*, is_anonymous: bool = False) -> Download:
    found = Download("canvas")
    for number in range(STUDENTS):
        student = f"anon_{number:02d}aZx" if is_anonymous else str(50_000 + number)
        late = "LATE_" if number % 5 == 0 else ""
        head = f"{late}{student}" if is_anonymous else f"{_lastfirst(number)}_{late}{student}"
        found.put(f"{head}_{900_000 + number}_hw_1.py", word(number), student=student)
        if number % 6 == 0:
            found.put(f"{head}_{910_000 + number}_hw_1-1.py", word(number, "second"), student=student)
        if number % 3 == 0:
            found.put(f"{head}_text.html", word(number, "text"), student=student, html=True)
        if number % 10 == 0:
            found.put(f"{head}_link.html", word(number, "link"), student=student, html=True)
    return found


def _lastfirst(number: int) -> str:
    first, last = name_of(number).split(" ", 1)
    return (last + first).lower().replace(" ", "")


def gradescope() -> Download:
    found = Download("gradescope")
    lines = ["---"]
    for number in range(STUDENTS):
        folder = f"submission_{4_000_000 + number}"
        student = str(4_000_000 + number) if number % 9 == 0 else f"s{number}@school.example"
        people = [number, number + 100] if number % 9 == 0 else [number]
        lines += [f"{folder}:", "  :submitters:"]
        for person in people:
            lines += [
                f"  - :name: {name_of(person)!r}",
                f"    :sid: '0{person:04d}'",
                f"    :email: s{person}@school.example",
            ]
        lines += [f"  :created_at: 2026-10-0{1 + number % 9} 10:00:00 Z", "  :score: 1.0"]
        found.put(f"export/{folder}/main.py", word(number), student=student)
        if number % 4 == 0:
            found.put(f"export/{folder}/lib/util.py", word(number, "util"), student=student)
    found.files["export/submission_metadata.yml"] = "\n".join(lines).encode()
    found.never.add("school.example")
    return found


def blackboard() -> Download:
    found = Download("blackboard")
    for number in range(STUDENTS):
        student = f"user{number:02d}" if number % 8 else f"user_{number:02d}"
        times = ["2026-10-01-10-00-00"] + (["2026-10-02-09-30-00"] if number % 5 == 0 else [])
        for time in times:
            is_newest = time == times[-1]
            stem = f"Week 3_Lists_{student}_attempt_{time}"
            has_field = number % 3 == 0
            stored = f"{stem}_main.py"
            field_text = (
                f"<p>{word(number, 'field' if is_newest else 'oldfield')}</p>"
                if has_field
                else "There is no student submission text data for this assignment."
            )
            found.files[f"{stem}.txt"] = (
                f"Name: {name_of(number)} ({student})\r\nAssignment: Week 3_Lists\r\nDate Submitted: Thursday\r\n"
                f"Current Mark: Needs Marking\r\n\r\nSubmission Field:\r\n{field_text}\r\n\r\nComments:\r\n"
                "There are no student comments for this assignment.\r\n\r\nFiles:\r\n"
                f"\tOriginal filename: main.py\r\n\tFilename: {stored}\r\n"
            ).encode()
            if has_field and is_newest:
                found.expected.setdefault(student, set()).add(word(number, "field"))
            if is_newest:
                found.put(stored, word(number), student=student)
            else:
                found.put(stored, word(number, "old"), student=None)
    found.never |= {"Needs Marking", "Current Mark"}
    return found


def brightspace(*, is_flat: bool = False) -> Download:
    found = Download("brightspace")
    for number in range(STUDENTS):
        student = str(80_000 + number)
        dates = ["Oct 9, 2026 1148 PM"] + (["Oct 10, 2026 905 AM"] if number % 6 == 0 else [])
        for date in dates:
            head = f"{student}-55 - {name_of(number)} - {date}"
            is_newest = date == dates[-1]
            joint = " - " if is_flat else "/"
            found.put(
                f"{head}{joint}main.py",
                word(number, "file" if is_newest else "old"),
                student=student if is_newest else None,
            )
    found.files["index.html"] = b"<p>the-whole-class</p>"
    found.never.add("the-whole-class")
    return found


def github() -> Download:
    found = Download("github")
    for number in range(STUDENTS):
        student = f"user-{number}"
        found.put(f"week-3-submissions/week-3-{student}/src/main.py", word(number), student=student)
        found.put(f"week-3-submissions/week-3-{student}/README.md", word(number, "readme"), student=student)
        found.put(f"week-3-submissions/week-3-{student}/.git/config", "git-config", student=None)
    return found


def nbgrader(*, is_inbound: bool = False) -> Download:
    found = Download("nbgrader")
    for number in range(STUDENTS):
        student = f"stu{number:02d}"
        times = ["2026-10-01 10:00:00.000000 UTC"] + (["2026-10-02 10:00:00.000000 UTC"] if number % 5 == 0 else [])
        for time in times if is_inbound else times[-1:]:
            is_newest = time == times[-1]
            head = f"{student}+ps1+{time}+x{number}" if is_inbound else f"submitted/{student}/ps1"
            marked = word(number, "file" if is_newest else "old")
            cell = f'{{"cell_type": "markdown", "metadata": {{}}, "source": "{marked}"}}'
            notebook = f'{{"cells": [{cell}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 4}}'
            found.files[f"{head}/problem.ipynb"] = notebook.encode()
            if is_newest:
                found.expected[student] = {marked}
            else:
                found.never.add(marked)
            found.files[f"{head}/timestamp.txt"] = time.encode()
    if not is_inbound:
        found.files["gradebook.db"] = b"SQLite format 3\x00"
    return found


DOWNLOADS = {
    "moodle": moodle,
    "moodle, flat": lambda: moodle(is_flat=True),
    "moodle, blind": lambda: moodle(is_blind=True),
    "moodle before 4.1": lambda: moodle(is_old=True),
    "moodle, teams": moodle_teams,
    "canvas": canvas,
    "canvas, anonymous": lambda: canvas(is_anonymous=True),
    "gradescope": gradescope,
    "blackboard": blackboard,
    "brightspace": brightspace,
    "brightspace, flat": lambda: brightspace(is_flat=True),
    "github": github,
    "nbgrader": nbgrader,
    "nbgrader, inbound": lambda: nbgrader(is_inbound=True),
}
