"""Brightspace's submissions: `<id>-<id> - <Name> - <date>` as folder or prefix, attempts as folders of one student.

The shape is from documentation and as commonly seen. `index.html` lists the class and is never a prompt. Names and
files may hold ` - ` too: the first segment that is a date ends the name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from producer.inputs.courses.hand_in import ATTEMPTS_IN_ONE, Found, HandIn, Layout, Part, newest_attempts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from producer.inputs.courses.tree import Tree

_IDS = re.compile(r"(?P<first>\d+)-(?P<second>\d+) - (?P<rest>.+)", re.DOTALL)
_BETWEEN = " - "
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_LONGEST_DATE = 40
_CLOCK = re.compile(r"\b(\d{1,2})[:.]?(\d\d)(?= ?(?:[AP]\.?M\.?)?\Z)", re.IGNORECASE)
_INDEX = "index.html"
_DAYS = ("%b %d, %Y", "%B %d, %Y", "%d %B, %Y", "%d %b, %Y", "%d %B %Y", "%d %b %Y", "%Y-%m-%d", "%d-%m-%Y")
_CLOCKS = ("", " %I:%M %p", " %H:%M")
"""As the organisation's locale writes them: a path holds no colon, so that 1:15 PM is `115 PM`."""


class _Entry(NamedTuple):
    first: str
    second: str
    name: str
    date: str
    file: str


def _find(tree: Tree, assignment: str) -> Found | None:  # noqa: ARG001 - a download holds one assignment
    entries = {path: _read(path) for path in tree.paths}
    taken = {path: entry for path, entry in entries.items() if entry is not None}
    if not taken:
        return None
    others = tuple(path for path in tree.paths if path not in taken)
    return Found(
        hand_ins=newest_attempts(_in_one_where_undated(_attempts(taken))),
        passed_over=tuple(path for path in others if path == _INDEX),
        unassigned=tuple(path for path in others if path != _INDEX),
    )


def _read(path: str) -> _Entry | None:
    match = _IDS.fullmatch(path)
    if match is None:
        return None
    head, slash, file = match["rest"].partition("/")
    segments = head.split(_BETWEEN)
    if slash:  # the folder ends with the date
        at = len(segments) - 1
        return _entry(match, segments, at, file) if at and _is_date(segments[at]) else None
    dates = [at for at in range(1, len(segments) - 1) if _is_date(segments[at])]
    return _entry(match, segments, dates[0], _BETWEEN.join(segments[dates[0] + 1 :])) if dates else None


def _entry(match: re.Match[str], segments: list[str], at: int, file: str) -> _Entry:
    return _Entry(match["first"], match["second"], _BETWEEN.join(segments[:at]), segments[at].strip(), file)


def _is_date(text: str) -> bool:
    """A year, and another number: the day."""
    without_year, years = _YEAR.subn("", text, count=1)
    return years == 1 and len(text) <= _LONGEST_DATE and any(sign.isdigit() for sign in without_year)


def _attempts(taken: Mapping[str, _Entry]) -> Iterator[HandIn]:
    # one of the two numbers is the assignment's, the same for all: the other one is the student
    is_second_the_student = len({entry.first for entry in taken.values()}) == 1 and (
        len({entry.second for entry in taken.values()}) > 1
    )
    folders: dict[tuple[str, str, str], list[Part]] = {}
    for path, entry in taken.items():
        key = entry.second if is_second_the_student else entry.first, entry.name, entry.date
        folders.setdefault(key, []).append(Part(name=entry.file, path=path))
    for (number, name, date), parts in folders.items():
        yield HandIn(
            id=number,
            parts=tuple(parts),
            metadata={"name": name, "number": number, "submitted": date},
            sort_key=_sortable(date),
        )


def _in_one_where_undated(attempts: Iterator[HandIn]) -> Iterator[HandIn]:
    """Which attempt is the newest cannot be told without all their dates: then a student has the files of all."""
    by_id: dict[str, list[HandIn]] = {}
    for attempt in attempts:
        by_id.setdefault(attempt.id, []).append(attempt)
    for same in by_id.values():
        if len(same) == 1 or all(attempt.sort_key for attempt in same):
            yield from same
            continue
        known = {name: value for name, value in same[0].metadata.items() if name != "submitted"}
        yield replace(
            same[0],
            parts=tuple(part for attempt in same for part in attempt.parts),
            metadata={**known, ATTEMPTS_IN_ONE: [attempt.metadata["submitted"] for attempt in same]},
        )


def _sortable(date: str) -> str:
    """Empty for a date that cannot be read."""
    written = _CLOCK.sub(r"\1:\2", date)
    for clock, day in product(_CLOCKS, _DAYS):
        try:
            moment = datetime.strptime(written if clock else date, day + clock)  # noqa: DTZ007 - compared with its like
        except ValueError:
            continue
        return moment.isoformat()
    return ""


BRIGHTSPACE = Layout(name="brightspace", title="Brightspace", documented="as commonly seen", find=_find)
