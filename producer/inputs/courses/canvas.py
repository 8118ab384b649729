"""Canvas's "Download submissions": flat, the student, lateness and ids before each file's own name.

*Source*: lib/content_zipper.rb, commit 05e9653c; app/views/assignments/{text_entry,redirect}_page.html.erb. A group's
hand-in carries the group's name and one member's id. A name holds no `_12_`, but may end in `_12`, and a file's may
begin with `2024_`: where a member can be read in two ways, the others decide. Nothing later in a name counts.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from producer.inputs.courses.hand_in import Found, Layout, Part, joined_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from producer.inputs.courses.tree import Tree

_IDS = re.compile(
    r"_(?P<late>LATE_)?(?P<user>\d+)_(?:(?P<attachment>\d+)_(?P<file>.+)|(?P<entry>text|link)\.html\Z)", re.DOTALL
)
_ANONYMOUS = re.compile(
    r"(?P<late>LATE_)?(?P<user>anon_[0-9A-Za-z]{5})_(?:(?P<attachment>\d+)_(?P<file>.+)|(?P<entry>text|link)\.html)",
    re.DOTALL,
)
_LINK = re.compile(rb'<meta http-equiv="Refresh" content="0; url=(?P<url>.*?)">\s*<title>', re.DOTALL)
_BOX = re.compile(rb"<div[^>]*>(?P<work>.*)</div>\s*</body>\s*</html>", re.DOTALL)
_LEAST_SHARE = 0.8
"""Of the files must be named this way: a course's own folder may hold one such name by chance."""


def _find(tree: Tree, assignment: str) -> Found | None:  # noqa: ARG001 - a download holds one assignment
    readings = {path: _readings(path) for path in tree.paths}
    several = {path: found for path, found in readings.items() if found}
    if not several or len(several) < _LEAST_SHARE * len(readings):
        return None
    unassigned = tuple(path for path, found in readings.items() if not found)
    return Found(hand_ins=joined_parts(_pieces(_chosen(several))), unassigned=unassigned)


def _readings(path: str) -> list[re.Match[str]]:
    """The first way to read a member's name, and the second where the first may have taken the end of the student's."""
    if "/" in path:
        return []
    if anonymous := _ANONYMOUS.fullmatch(path):
        return [anonymous]
    found = [match for at, sign in enumerate(path) if sign == "_" and (match := _IDS.match(path, at))]
    if found and found[0]["late"]:  # names are in small letters: this LATE is Canvas's
        return found[:1]
    return [match for match in found[:2] if match is found[0] or match.start() == found[0].end("user")]


def _chosen(several: Mapping[str, list[re.Match[str]]]) -> Iterator[tuple[str, re.Match[str]]]:
    """One reading each: whose numbers are as long as those of members that can be read in one way alone."""
    sure = [found[0] for found in several.values() if len(found) == 1]
    users, attachments = {len(match["user"]) for match in sure}, {len(match["attachment"] or "") for match in sure}
    is_shared = not sure and _are_shared([found[0] for found in several.values()])

    def fit(match: re.Match[str]) -> int:
        return (len(match["user"]) in users) + (match["entry"] is not None or len(match["attachment"]) in attachments)

    for path, found in several.items():
        # groups named Group_1, Group_2: read the shortest way, many users would have one name
        yield path, found[1] if is_shared and len(found) > 1 else max(found, key=fit)


def _are_shared(matches: list[re.Match[str]]) -> bool:
    names: dict[str, set[str]] = {}
    for match in matches:
        names.setdefault(match.string[: match.start()], set()).add(match["user"])
    return any(len(users) > 1 and len(users) > len(names) for users in names.values())


def _pieces(taken: Iterable[tuple[str, re.Match[str]]]) -> Iterator[tuple[str, Part, Mapping[str, object]]]:
    for path, match in taken:
        known: dict[str, object] = {"canvas_id": match["user"]}
        if name := path[: match.start()]:
            known["name"] = name
        if match["late"]:
            known["late"] = True
        if match["attachment"]:
            known["attachments"] = [match["attachment"]]
        name = match["file"] or f"{match['entry']} entry.html"
        is_page = match["entry"] is not None
        part = Part(name=name, path=path, is_form_text=is_page, without_frame=_without_frame if is_page else None)
        yield match["user"], part, known


def _without_frame(page: bytes) -> bytes:
    """What was typed into Canvas's page, or the address: its title and its heading name the assignment and the student.

    A page without that title and heading is returned whole.
    """
    _, _, after = page.partition(b"<title>")
    title, end, _ = after.partition(b"</title>")
    head, heading, below = page.partition(b"<h1>%b</h1>" % title)
    if not end or not heading:
        return page
    if link := _LINK.search(head):
        return b"<p>%b</p>" % html.escape(link["url"].decode("utf-8", "replace")).encode()
    box = _BOX.fullmatch(below.strip())
    work = (box["work"] if box else below).strip()
    return b"<div>%b</div>" % work if work else b""


CANVAS = Layout(name="canvas", title="Canvas", documented="lib/content_zipper.rb, commit 05e9653c", find=_find)
