"""Canvas's "Download submissions": flat, the student, lateness and ids before each file's own name.

*Source*: lib/content_zipper.rb, commit 05e9653c. A group's hand-in carries the group's name and one member's id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.inputs.courses.hand_in import Found, Layout, Part, joined_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from producer.inputs.courses.tree import Tree

_NAMED = re.compile(
    r"(?P<name>[^/]+?)_(?P<late>LATE_)?(?P<user>\d+)_(?:(?P<attachment>\d+)_(?P<file>.+)|(?P<entry>text|link)\.html)",
    re.DOTALL,
)
_ANONYMOUS = re.compile(
    r"(?P<late>LATE_)?(?P<user>anon_[0-9A-Za-z]{5})_(?:(?P<attachment>\d+)_(?P<file>.+)|(?P<entry>text|link)\.html)",
    re.DOTALL,
)
_LEAST_SHARE = 0.8
"""Of the files must be named this way: a course's own folder may hold one such name by chance."""


def _find(tree: Tree, assignment: str) -> Found | None:  # noqa: ARG001 - a download holds one assignment
    matches = {path: _ANONYMOUS.fullmatch(path) or _NAMED.fullmatch(path) for path in tree.paths}
    taken = [(path, match) for path, match in matches.items() if match is not None]
    if not taken or len(taken) < _LEAST_SHARE * len(matches):
        return None
    unassigned = tuple(path for path, match in matches.items() if match is None)
    return Found(hand_ins=joined_parts(_pieces(taken)), unassigned=unassigned)


def _pieces(taken: Iterable[tuple[str, re.Match[str]]]) -> Iterator[tuple[str, Part, Mapping[str, object]]]:
    for path, match in taken:
        known: dict[str, object] = {"canvas_id": match["user"]}
        groups = match.groupdict()
        if groups.get("name"):
            known["name"] = groups["name"]
        if match["late"]:
            known["late"] = True
        if match["attachment"]:
            known["attachments"] = [match["attachment"]]
        name = match["file"] or f"{match['entry']} entry.html"
        yield match["user"], Part(name=name, path=path, is_form_text=match["entry"] is not None), known


CANVAS = Layout(name="canvas", title="Canvas", documented="lib/content_zipper.rb, commit 05e9653c", find=_find)
