"""Moodle's "Download all submissions": a folder per student and plugin, or the same as a prefix of each file.

*Source*: mod/assign/classes/downloader.php, commit b1b5f263 (4.1 and later; before, the folder ends in `_`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.inputs.courses.hand_in import Found, Layout, Part, joined_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from producer.inputs.courses.tree import Tree

_ENTRY = re.compile(
    r"(?P<name>[^/]+?)(?:_(?P<number>\d+))?_assignsubmission_(?P<plugin>[a-z0-9]+)_?/?(?P<rest>.*)", re.DOTALL
)
_TEXT_PLUGIN = "onlinetext"
_BLIND_NAME = 2
"""So many students with one name have none: blind marking writes its word for participant in the name's place."""


def _find(tree: Tree, assignment: str) -> Found | None:  # noqa: ARG001 - a download holds one assignment
    matches = {path: _ENTRY.fullmatch(path) for path in tree.paths}
    if not any(matches.values()):
        return None
    taken = {path: match for path, match in matches.items() if match is not None}
    hand_ins = joined_parts(_pieces(taken))
    return Found(hand_ins=hand_ins, unassigned=tuple(path for path in tree.paths if path not in taken))


def _pieces(taken: Mapping[str, re.Match[str]]) -> Iterator[tuple[str, Part, Mapping[str, object]]]:
    numbers_of_name: dict[str, set[str]] = {}
    for match in taken.values():
        numbers_of_name.setdefault(match["name"], set()).add(match["number"] or "")
    is_blind = len(numbers_of_name) == 1 and len(next(iter(numbers_of_name.values()))) >= _BLIND_NAME
    # a student always has a number; the group of those without a group has none, whatever the language calls it
    is_team = any("" in numbers for numbers in numbers_of_name.values())
    # the text before the files, as the course page shows them
    for path, match in sorted(taken.items(), key=lambda found: found[1]["plugin"] != _TEXT_PLUGIN):
        name, number = match["name"], match["number"]
        known: dict[str, object] = {} if is_blind or name == "Participant" else {"group" if is_team else "name": name}
        if number:
            known["number"] = number
        is_text = match["plugin"] == _TEXT_PLUGIN and match["rest"].endswith((".html", ".htm"))
        yield number or name, Part(name=match["rest"], path=path, is_form_text=is_text), known


MOODLE = Layout(
    name="moodle",
    title="Moodle",
    documented="mod/assign/classes/downloader.php, commit b1b5f263",
    find=_find,
)
