"""What Moodle and Canvas do with an uploaded gradebook, written anew from their sources' rules.

*Source*: moodle importgradeslib accd5dee and unformat_float 001247f3; canvas gradebook_importer 00b222d7.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field


@dataclass
class Imported:
    changed: dict[str, float] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    new_columns: list[str] = field(default_factory=list)


def rows_of(content: bytes) -> list[list[str]]:
    text = content.decode("utf-8-sig")
    delimiter = ";" if text.split("\n", 1)[0].count(";") > text.split("\n", 1)[0].count(",") else ","
    return list(csv.reader(io.StringIO(text), delimiter=delimiter))


def moodle_import(content: bytes, *, participants: set[str], maximum: float, comma: bool = False) -> Imported:
    """Skips without a word whatever it does not like; the sets tell afterwards what it took."""
    header, *rows = rows_of(content)
    at = {title: place for place, title in enumerate(header)}
    found = Imported()
    for row in rows:
        assert len(row) == len(header), "Moodle refuses the whole file"
        number = re.fullmatch(r"Participant (\d+)", row[at["Identifier"]])
        if number is None or number[1] not in participants or not row[at["Grade"]].strip():
            continue
        written = row[at["Grade"]].strip()
        value = float((re.match(r"-?\d*\.?\d*", written.replace(",", ".") if comma else written) or [""])[0] or 0)
        if value > maximum or row[at["Grade can be changed"]] == "No" or value == 0:
            continue
        found.changed[number[1]] = value
    return found


def canvas_import(content: bytes, *, known: dict[str, float | None], assignment: str, others: set[str]) -> Imported:
    header, *rows = rows_of(content)
    at = {title: place for place, title in enumerate(header)}
    found = Imported()
    known_titles = {"Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment, *others}
    found.new_columns = [title for title in header if title not in known_titles]
    for row in rows:
        identity = row[at["ID"]].strip()
        if identity not in known:
            continue
        written = row[at[assignment]].strip()
        if not written:
            if known[identity] is not None:
                found.removed.append(identity)
            continue
        separators = [sign for sign in written if sign in ".,"]
        if separators:
            last = max(written.rfind("."), written.rfind(","))
            written = re.sub("[.,]", "", written[:last]) + "." + written[last + 1 :]
        if float(written) != known[identity]:
            found.changed[identity] = float(written)
    return found
