"""Gradebook files as Canvas and Moodle export them, in the variants that their sources know.

*Source*: Canvas: lib/gradebook_exporter.rb 0140a2ef. Moodle: mod/assign/gradingtable.php, its columns for a worksheet.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CanvasStyle:
    """What an instructor and a school can choose."""

    delimiter: str = ","
    decimal: str = "."
    first_and_last: bool = False
    sis: bool = False
    custom: str = ""
    hidden: str = ""
    totals: bool = True
    period: str = ""
    bom: bool = False
    end: str = "\n"


ASSIGNMENT = "Week 3: lists, and more (4711)"


def canvas_export(
    people: list[tuple[str, str, str]], cells: dict[str, str], style: CanvasStyle, others: tuple[str, ...] = ()
) -> bytes:
    """`people`: (id, last, first); `cells`: what stands in the assignment's column."""
    titles = [*(("LastName", "FirstName") if style.first_and_last else ("Student",)), "ID"]
    titles += [
        *(["SIS User ID"] if style.sis else []),
        "SIS Login ID",
        *(["Integration ID"] if style.sis else []),
        "Section",
    ]
    before = len(titles)
    titles += [*([style.custom] if style.custom else []), ASSIGNMENT, *others]
    totals = ["Current Score", "Unposted Current Score", "Final Score", "Unposted Final Score"] if style.totals else []
    totals = [f"{title} ({style.period})" if style.period else title for title in totals]
    rows = [[*titles, *totals]]
    own = [""] if style.custom else []
    if style.hidden:
        rows.append([*[""] * before, *own, style.hidden, *[""] * len(others), *[""] * len(totals)])
    point = f"100{style.decimal}00"
    rows.append(
        ["    Points Possible", *[""] * (before - 1), *(["(read only)"] if own else []), point, *[point] * len(others),
         *["(read only)"] * len(totals)]
    )  # fmt: skip
    for identity, last, first in [*people, ("99999", "Student", "Test")]:
        who = [last, first] if style.first_and_last else [f"{last}, {first}"]
        sis = [f"S{identity}"] if style.sis else []
        login = [f"u{identity}@uni.example"]
        row = [*who, identity, *sis, *login, *(["i1"] if style.sis else []), "Mo 10, Tue 12"]
        row += [
            *(["a note, with a comma"] if own else []),
            cells.get(identity, ""),
            *[f"7{style.decimal}5"] * len(others),
        ]
        rows.append([*row, *[f"91{style.decimal}25"] * len(totals)])
    return _written(rows, style.delimiter, style.end, bom=style.bom)


@dataclass(frozen=True)
class MoodleStyle:
    """Language, identity columns, and what the assignment uses."""

    language: str = "en"
    identity: tuple[str, ...] = ("Email address",)
    is_blind: bool = False
    markers: int = 0
    workflow: bool = False
    comments: bool = True
    bom: bool = True
    end: str = "\r\n"
    date: str = "Sunday, 1 November 2026, 10:00 AM"


_GERMAN = {
    "Identifier": "ID", "Full name": "Vollständiger Name", "Email address": "E-Mail-Adresse", "Status": "Status",
    "Grade": "Bewertung", "Maximum grade": "Bestwertung", "Grade can be changed": "Bewertung kann geändert werden",
    "Last modified (submission)": "Zuletzt geändert (Abgabe)", "Last modified (grade)": "Zuletzt geändert (Bewertung)",
    "Feedback comments": "Feedback als Kommentar", "ID number": "ID-Nummer", "Participant ": "Teilnehmer/in",
    "Marking workflow state": "Status des Bewertungsworkflows", "Yes": "Ja", "No": "Nein",
}  # fmt: skip


@dataclass
class MoodlePerson:
    number: str
    name: str
    grade: str = ""
    locked: bool = False
    identity: tuple[str, ...] = field(default=())


def moodle_export(people: list[MoodlePerson], style: MoodleStyle) -> bytes:
    """A worksheet with a row for each participant."""
    said = (lambda text: _GERMAN.get(text, text)) if style.language == "de" else (lambda text: text)
    who = [] if style.is_blind else ["Full name", *style.identity]
    titles = [
        "Identifier",
        *who,
        "Status",
        *[f"Marker {at}" for at in range(1, style.markers + 1)],
        "Grade",
        "Maximum grade",
    ]
    titles += [*(["Marking workflow state"] if style.workflow else []), "Grade can be changed"]
    titles += [
        "Last modified (submission)",
        "Last modified (grade)",
        *(["Feedback comments"] if style.comments else []),
    ]
    rows = [[said(title) for title in titles]]
    for person in people:
        row = [f"{said('Participant ')}{person.number}"]
        row += [] if style.is_blind else [person.name, *person.identity]
        row += ["Submitted for grading - ", *["Dr. Mark, Er"] * style.markers, person.grade, "100.00"]
        row += [*(["Not marked"] if style.workflow else []), said("No" if person.locked else "Yes")]
        row += [
            style.date,
            style.date if person.grade else "-",
            *(['<p>well, "done"</p>\n<p>2</p>'] if style.comments else []),
        ]
        rows.append(row)
    return _written(rows, ",", style.end, bom=style.bom)


def _written(rows: list[list[str]], delimiter: str, end: str, *, bom: bool) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator=end).writerows(rows)
    return (("\ufeff" if bom else "") + buffer.getvalue()).encode()
