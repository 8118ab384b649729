"""What Moodle and Canvas do with an uploaded gradebook and with feedback files, written anew from their sources' rules.

*Source*: Moodle: assignfeedback_offline importgradeslib 452e36fc and locallib 04975560, unformat_float 001247f3,
assignfeedback_file importziplib 0203d8f2. Canvas: gradebook_importer 00b222d7, infer_comment_context_from_filename.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field

MOODLE_TITLES = {"en": ("Identifier", "Grade", "Participant "), "de": ("ID", "Bewertung", "Teilnehmer/in")}
"""recordid, grade and hiddenuser in the language of the interface."""


@dataclass
class Imported:
    changed: dict[str, float] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    new_columns: list[str] = field(default_factory=list)


def rows_of(content: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter))


def moodle_import(
    content: bytes,
    *,
    participants: set[str],
    maximum: float,
    comma: bool = False,
    language: str = "en",
    stored: dict[str, float] | None = None,
    locked: set[str] | None = None,
) -> Imported:
    """Skips without a word whatever it does not like; what it changed tells afterwards what it took."""
    identifier, title, hidden = MOODLE_TITLES[language]
    header, *rows = rows_of(content)
    id_at, grade_at = header.index(identifier), header.index(title)
    found = Imported()
    for row in rows:
        assert len(row) == len(header), "Moodle refuses the whole file"
        number = row[id_at][len(hidden) :].strip()
        if number not in participants:
            continue
        written = row[grade_at].strip()
        value = _unformat_float(written, comma=comma)
        if value is None or value == (stored or {}).get(number) or value < 0 or number in (locked or ()):
            continue
        if value > maximum or value == 0:  # the newest releases store no 0
            continue
        found.changed[number] = value
    return found


def _unformat_float(text: str, *, comma: bool) -> float | None:
    if not text:
        return None
    plain = text.replace(" ", "").replace(",", ".") if comma else text.replace(" ", "")
    return float((re.match(r"-?\d*\.?\d*", plain) or [""])[0] or 0)


def moodle_feedback(path: str, participants: set[str]) -> tuple[str, str] | None:
    """Participant and file name of a member of a feedback ZIP; None for one that is skipped."""
    if path.rpartition("/")[2].startswith((".", "~")):
        return None
    parts = ["import", *path.split("/")]
    while parts:
        info = parts.pop(0).split("_", 4)
        is_known = len(info) >= 4 and info[1].isdigit() and info[1] in participants
        if is_known and info[2:4] in (["assignsubmission", "file"], ["assignfeedback", "file"]):
            return info[1], "/".join([*info[4:], *parts])
    return None


def canvas_feedback(name: str) -> tuple[str, str] | None:
    """User and attachment of a file: the first two parts that are numbers."""
    numbers = [part for part in name.split("_") if re.fullmatch(r"\d+", part)][:2]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def canvas_import(
    content: bytes,
    *,
    known: dict[str, float | str | None],
    assignment: str,
    others: set[str] | None = None,
    not_assigned: set[str] | None = None,
) -> Imported:
    """`known`: what Canvas holds, `EX` for excused. Names, counts and removes as the preview of an import does."""
    first_lines = content.decode().splitlines()[:3]
    delimiter = ";" if _fields(first_lines, ";") > _fields(first_lines, ",") else ","
    header, *rows = rows_of(content, delimiter)
    student_columns = _student_columns(header)
    found = Imported()
    totals = re.compile("(?:Current|Final|Override) (?:Score|Points|Grade|Status)")
    titles = [title for title in header[student_columns:] if not totals.search(title)]
    found.new_columns = [title for title in titles if title not in {assignment, *(others or ())}]
    id_at, at = header.index("ID"), header.index(assignment)
    for row in rows:
        if "Points Possible" in row[0] or all(re.fullmatch(r"\s*(Muted|Manual Posting.*)?\s*", cell) for cell in row):
            continue
        identity = row[id_at].strip()
        if identity not in known or identity in (not_assigned or ()):
            continue
        _take(found, identity, _decimal(row[at].strip()), known[identity])
    return found


def _take(found: Imported, identity: str, written: str, current: float | str | None) -> None:
    if written in {"", "-"}:
        if current is not None:
            found.removed.append(identity)
    elif written.casefold() == "ex" or current == "EX":
        if written.casefold() != "ex" or current != "EX":
            found.changed[identity] = float("nan") if written.casefold() == "ex" else float(written)
    elif current is None or f"{float(written):.2f}" != f"{float(current):.2f}":
        found.changed[identity] = float(written)


def _fields(lines: list[str], delimiter: str) -> int:
    counts = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
    return counts.pop() if len(counts) == 1 else 0


def _student_columns(header: list[str]) -> int:
    assert header[0] in {"Student", "LastName"} or header[0].endswith("Student"), "Invalid header row"
    assert "Section" in header, "Invalid header row"
    return header.index("Section") + 1


def _decimal(cell: str) -> str:
    if not re.fullmatch(r"-?[0-9.,]+%?", cell):
        return cell
    *before, last = re.split("[,.]", cell)
    return f"{''.join(before)}.{last}" if before else last
