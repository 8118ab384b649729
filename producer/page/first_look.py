"""What a large archive holds, from its directory and its first few files: shown before everything is read.

Knows no Streamlit. What it says is replaced by the whole reading, which alone decides what is graded.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING

from producer.inputs.archive import UNREADABLE_ENTRY
from producer.inputs.courses.recognise import recognised
from producer.inputs.courses.roster import known_as
from producer.inputs.courses.tree import opened_zip
from producer.inputs.encodings import NAME_IT_ON_THE_PAGE, Encodings
from producer.inputs.item import InputItem, InputOptions
from producer.inputs.reading import download_reader
from producer.inputs.text import shown
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from producer.inputs.courses.recognise import Recognised

LEAST_FILES, LEAST_BYTES = 200, 8 * 1024 * 1024
"""A smaller archive is read as a whole before one would have looked at it."""
READ_FIRST = 3
"""Students whose work is read: the first prompt needs one, and one may have nothing to grade."""
MOST_TRIED = 20
MOST_STUDENTS = 300
"""Rows of the list; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Named:
    """One student as the archive's directory names them."""

    id: str
    name: str
    files: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """A large archive before it is read."""

    summary: str
    """`Moodle: 5,000 students, 30 late`."""
    total: int
    """Hand-ins that the names tell apart."""
    students: tuple[Named, ...]
    """The first of them."""
    items: tuple[InputItem, ...]
    """The few that were read; at least one."""


def first_look(content: IO[bytes], name: str, *, encoding: str | None = None) -> FirstLook | None:
    """Names and a few students, in a time that does not grow with what is packed.

    None for a small archive, for one that shows nothing without being read, and for a damaged one: the whole reading
    says why.
    """
    if not _is_large(content):
        return None
    try:
        with opened_zip(content, name) as tree:
            found = recognised(tree, is_peeled=True)
            if len(found.found.hand_ins) < 2:  # noqa: PLR2004 - one file may be a table, which has to be asked
                return None
            items = tuple(_first_items(found, encoding))
            return _look(found, items) if items else None
    except (InvalidInput, *UNREADABLE_ENTRY):
        return None
    finally:
        content.seek(0)


def _is_large(content: IO[bytes]) -> bool:
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    if size >= LEAST_BYTES:
        return True
    try:
        with zipfile.ZipFile(content) as archive:
            return len(archive.infolist()) >= LEAST_FILES
    except UNREADABLE_ENTRY:
        return False
    finally:
        content.seek(0)


def _first_items(found: Recognised, encoding: str | None) -> list[InputItem]:
    encodings = Encodings(encoding, how_to_name=NAME_IT_ON_THE_PAGE)
    reader = download_reader(found, encodings=encodings, options=InputOptions(is_strict=False))
    kept: list[InputItem] = []
    for each in islice(reader.items(), MOST_TRIED):
        if isinstance(each, InputItem):
            kept.append(each)
        if sum(not item.left_out for item in kept) == READ_FIRST:
            break
    return kept


def _look(found: Recognised, items: tuple[InputItem, ...]) -> FirstLook:
    hand_ins = found.found.hand_ins
    return FirstLook(
        summary=found.summary(),
        total=len(hand_ins),
        students=tuple(
            Named(
                shown(each.id),
                str(known_as(each.metadata).get("name") or ""),
                "; ".join(shown(part.name) for part in each.parts),
            )
            for each in hand_ins[:MOST_STUDENTS]
        ),
        items=items,
    )
