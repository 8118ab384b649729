"""Brightspace's submissions: `<id>-<id> - <Name> - <date>` as folder or prefix, attempts as folders of one student.

The shape is from documentation and as commonly seen. `index.html` lists the class and is never a prompt.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from producer.inputs.courses.hand_in import Found, HandIn, Layout, Part, newest_attempts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from producer.inputs.courses.tree import Tree

_HEAD = r"(?P<first>\d+)-(?P<second>\d+) - (?P<name>[^/]+?) - (?P<date>[^/]*?\d{4}[^/-]*?)"
_ENTRY = re.compile(rf"{_HEAD}(?:/| - )(?P<file>.*)", re.DOTALL)
_INDEX = "index.html"
_DATES = (
    "%b %d, %Y %I%M %p", "%B %d, %Y %I%M %p", "%b %d, %Y %I:%M %p", "%B %d, %Y %I:%M %p", "%d %B, %Y %H%M",
    "%d %b, %Y %H%M", "%d %B, %Y %H:%M", "%Y-%m-%d %H%M", "%d-%m-%Y %H%M", "%b %d, %Y %H%M", "%B %d, %Y %H%M",
)  # fmt: skip
"""As the organisation's locale writes them: a path holds no colon."""


def _find(tree: Tree, assignment: str) -> Found | None:  # noqa: ARG001 - a download holds one assignment
    matches = {path: _ENTRY.fullmatch(path) for path in tree.paths}
    taken = {path: match for path, match in matches.items() if match is not None}
    if not taken:
        return None
    others = tuple(path for path in tree.paths if path not in taken)
    return Found(
        hand_ins=newest_attempts(_attempts(taken)),
        passed_over=tuple(path for path in others if path == _INDEX),
        unassigned=tuple(path for path in others if path != _INDEX),
    )


def _attempts(taken: Mapping[str, re.Match[str]]) -> Iterator[HandIn]:
    # one of the two numbers is the assignment's, the same for all: the other one is the student
    is_second_the_student = len({match["first"] for match in taken.values()}) == 1 and (
        len({match["second"] for match in taken.values()}) > 1
    )
    folders: dict[tuple[str, str, str], list[Part]] = {}
    for path, match in taken.items():
        key = match["second" if is_second_the_student else "first"], match["name"], match["date"].strip()
        folders.setdefault(key, []).append(Part(name=match["file"], path=path))
    for (number, name, date), parts in folders.items():
        yield HandIn(
            id=number,
            parts=tuple(parts),
            metadata={"name": name, "number": number, "submitted": date},
            sort_key=_sortable(date),
        )


def _sortable(date: str) -> str:
    for shape in _DATES:
        try:
            return datetime.strptime(date, shape).isoformat()  # noqa: DTZ007 - compared with its like alone
        except ValueError:
            continue
    return date


BRIGHTSPACE = Layout(name="brightspace", title="Brightspace", documented="as commonly seen", find=_find)
