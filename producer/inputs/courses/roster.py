"""The class list: a CSV that joins name, e-mail, number and section to what a download calls its students."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.inputs.encodings import Encodings
from producer.inputs.text import composed, read_text
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_MAX_BYTES = 32 * 1024 * 1024
_BETWEEN_WORDS = re.compile(r"[\s_.-]+")
_TITLES = {
    "name": ("name", "full name", "student", "student name", "display name"),
    "email": ("email", "email address", "e mail", "e mail address", "mail", "e mail adresse"),
    "number": (
        "number", "student number", "student id", "id number", "matrikelnummer", "matriculation number", "sis user id",
        "sid", "orgdefinedid", "id",
    ),
    "section": ("section", "sections", "group", "groups", "class", "tutorial"),
    "user": ("user", "username", "user name", "login", "login id", "sis login id", "github username", "identifier"),
}  # fmt: skip
"""Field -> titles that course systems and registrars give it, the best first."""
_NAME_PARTS = ("first name", "last name")
_JOINING = ("user", "email", "number")


@dataclass(frozen=True, slots=True)
class Roster:
    """Students by everything that may name them; what names two of them names none."""

    students: tuple[Mapping[str, str], ...] = field(repr=False)
    by_key: Mapping[str, Mapping[str, str]] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Roster:
        """Read the file. `InvalidInput` when it cannot be read or has no column that names a student."""
        text = read_text(path, where=path.name, max_bytes=_MAX_BYTES, encodings=Encodings())
        students = tuple(_students(text.removeprefix("\ufeff"), path.name))
        keys: dict[str, list[Mapping[str, str]]] = {}
        for student in students:
            for key in dict.fromkeys(_keys(student)):
                keys.setdefault(key, []).append(student)
        return cls(students, {key: same[0] for key, same in keys.items() if len(same) == 1})

    def joined(self, identity: str, metadata: Mapping[str, object]) -> dict[str, object]:
        """The metadata with what the roster knows of this student; what the download says itself stays."""
        named = [
            identity,
            *(
                str(metadata[field])
                for field in ("email", "number", "user", "canvas_id", "github_user")
                if field in metadata
            ),
        ]
        student = next((self.by_key[key] for key in map(_folded, named) if key in self.by_key), None)
        if student is None and isinstance(name := metadata.get("name"), str):
            student = self.by_key.get(_name_key(name))
        return {**(student or {}), **metadata, **({"on_roster": True} if student else {})}


def known_as(metadata: Mapping[str, object]) -> dict[str, object]:
    """The metadata with what its titles mean beside them: `E-mail Address` is `email` too, where nothing else is."""
    found = dict(metadata)
    for title, value in metadata.items():
        for field_, titles in _TITLES.items():
            if _folded(title) in titles and field_ not in found:
                found[field_] = value
    first, last = (next((str(v) for k, v in metadata.items() if _folded(k) == part), "") for part in _NAME_PARTS)
    if "name" not in found and (first or last):
        found["name"] = f"{first} {last}".strip()
    return found


def display_name(metadata: Mapping[str, object]) -> str:
    """As the course system or the roster says it; empty when neither does."""
    known = known_as(metadata)
    return str(known.get("name") or known.get("group") or "")


def titles_that_name(metadata: Mapping[str, object]) -> list[str]:
    """The titles of this metadata under which a name, an e-mail address, a number or a login is found."""
    known = {*_NAME_PARTS, *(title for field_ in ("name", *_JOINING) for title in _TITLES[field_])}
    return [title for title in metadata if _folded(title) in known]


def _students(text: str, where: str) -> Iterable[Mapping[str, str]]:
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    header = [_folded(title) for title in next(rows, [])]
    columns = {field: at for field, titles in _TITLES.items() if (at := _position(header, titles)) is not None}
    names = {part: header.index(part) for part in _NAME_PARTS if part in header}
    if not set(columns) & {*_JOINING, "name"} and not names:
        raise InvalidInput(
            "the roster has no column that names students, such as E-mail, Student ID or Name", where=where
        )
    for row in rows:
        found = {field: row[at].strip() for field, at in columns.items() if at < len(row) and row[at].strip()}
        parts = [row[names[part]].strip() for part in _NAME_PARTS if part in names and names[part] < len(row)]
        if "name" not in found and any(parts):
            found["name"] = " ".join(filter(None, parts))
        if found:
            yield found


def _position(header: list[str], titles: tuple[str, ...]) -> int | None:
    return next((header.index(title) for title in titles if title in header), None)


def _keys(student: Mapping[str, str]) -> Iterable[str]:
    for column in _JOINING:
        if column in student:
            yield _folded(student[column])
    if "email" in student:
        yield _folded(student["email"].split("@", 1)[0])
    if "name" in student:
        yield _name_key(student["name"])


def _folded(text: str) -> str:
    return _BETWEEN_WORDS.sub(" ", composed(text)).strip().casefold()


def _name_key(name: str) -> str:
    """Of `Curie, Marie`, `curiemarie` and `Marie Curie` alike: the letters of its words, sorted by word."""
    words = sorted(filter(None, re.split(r"[\W_]+", composed(name).casefold())))
    return f"name: {' '.join(words)}"
