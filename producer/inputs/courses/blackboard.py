"""Blackboard's "Assignment file download": flat, one `.txt` of its own per attempt beside the files handed in.

The shape is from documentation and as commonly seen. That text file names the student; its "Submission Field" can
itself be what was handed in, everything else in it is metadata. Ultra puts `<br>` behind a title, and the text may
follow on the same line (*Source*: vangef/BBGradebookOrganiser).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.inputs.courses.hand_in import Found, HandIn, Layout, Part, newest_attempts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from producer.inputs.courses.tree import Tree

_STEM = r"(?P<stem>(?P<owner>[^/]+?)_attempt_(?P<time>\d{4}(?:-\d\d){5}))"
_OWN = re.compile(rf"{_STEM}\.txt")
_FILE = re.compile(rf"{_STEM}_(?P<file>.+)", re.DOTALL)
_NAME = re.compile(r"^Name:\s*(?P<name>.*?)\s*\((?P<user>[^()]+)\)\s*$", re.MULTILINE)
_FIELD = re.compile(r"^(?P<title>Submission Field|Comments|Files):[^\S\n]*(?:$|<br\s*/?>)", re.MULTILINE)
_ORIGINAL = re.compile(
    r"^\s*Original filename:\s*(?P<original>.+?)\s*\n\s*Filename:\s*(?P<stored>.+?)\s*$", re.MULTILINE
)
_NOTHING = re.compile(r"There (?:is|are) no student (?:submission text data|comments)\b.*", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_MAX_OWN_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class _Attempt:
    owner: str
    time: str
    own: str | None = None
    files: list[tuple[str, str]] | None = None


def _find(tree: Tree, assignment: str) -> Found | None:  # noqa: ARG001 - a download holds one assignment
    attempts: dict[str, _Attempt] = {}
    unassigned: list[str] = []
    for path in tree.paths:
        match = _OWN.fullmatch(path) or _FILE.fullmatch(path)
        if match is None:
            unassigned.append(path)
            continue
        attempt = attempts.setdefault(match["stem"], _Attempt(match["owner"], match["time"]))
        if path == f"{match['stem']}.txt":
            attempt.own = path
        else:
            attempt.files = [*(attempt.files or []), (match["file"], path)]
    if not attempts:
        return None
    own = tuple(attempt.own for attempt in attempts.values() if attempt.own)
    return Found(hand_ins=newest_attempts(_hand_ins(tree, attempts)), passed_over=own, unassigned=tuple(unassigned))


def _hand_ins(tree: Tree, attempts: dict[str, _Attempt]) -> Iterator[HandIn]:
    texts = {stem: _own_text(tree, attempt) for stem, attempt in attempts.items()}
    prefix = _assignment_of(attempts, texts)
    for stem, attempt in attempts.items():
        text = texts[stem]
        who = _named(text, attempt.owner)
        user = who["user"] if who else attempt.owner[len(prefix) :]
        metadata: dict[str, object] = {"user": user, "submitted": attempt.time}
        if who:
            metadata["name"] = who["name"]
        fields = _fields(text)
        if fields.get("Comments"):
            metadata["comments"] = fields["Comments"]
        original = {match["stored"]: match["original"] for match in _ORIGINAL.finditer(text)}
        parts = [Part(name=original.get(path, file), path=path) for file, path in attempt.files or ()]
        if fields.get("Submission Field"):
            parts.insert(0, Part(name="submission text.html", text=fields["Submission Field"], is_form_text=True))
        yield HandIn(id=user, parts=tuple(parts), metadata=metadata, sort_key=attempt.time)


def _own_text(tree: Tree, attempt: _Attempt) -> str:
    if attempt.own is None:
        return ""
    return tree.read(attempt.own, max_bytes=_MAX_OWN_BYTES).decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _named(text: str, owner: str) -> re.Match[str] | None:
    """The line with name and user, where it is this owner's."""
    found = _NAME.search(text)
    return found if found and owner.endswith(f"_{found['user']}") else None


def _fields(text: str) -> dict[str, str]:
    """The text below each title that is alone on its line or before a `<br>`.

    Blackboard's own "there is none" counts as none. A student may write such a line too: the first Submission Field,
    the last Files and the last Comments before it are Blackboard's, so that nothing of the work is cut away.
    """
    titles = list(_FIELD.finditer(text))
    begin = next((title for title in titles if title["title"] == "Submission Field"), None)
    files = next((title for title in reversed(titles) if title["title"] == "Files"), None)
    last = files.start() if files else len(text)
    comments = next((each for each in reversed(titles) if each["title"] == "Comments" and each.start() < last), None)
    found: dict[str, str] = {}
    if begin is not None:
        found["Submission Field"] = text[begin.end() : comments.start() if comments else last].strip()
    if comments is not None:
        found["Comments"] = text[comments.end() : last].strip()
    return {
        title: below for title, below in found.items() if below and not _NOTHING.fullmatch(_TAG.sub("", below).strip())
    }


def _assignment_of(attempts: Mapping[str, _Attempt], texts: Mapping[str, str]) -> str:
    """`<Assignment>_`, which a text that names its user shows; else what all owners share."""
    for stem, attempt in attempts.items():
        if who := _named(texts[stem], attempt.owner):
            return attempt.owner.removesuffix(who["user"])
    return _common_assignment([attempt.owner for attempt in attempts.values()])


def _common_assignment(owners: list[str]) -> str:
    """`<Assignment>_` where every owner begins with it; a single owner is split at its last underscore."""
    first, last = min(owners), max(owners)
    if first == last:
        return first[: first.rfind("_") + 1]
    common = next(
        (index for index, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    return first[: first.rfind("_", 0, common) + 1]


BLACKBOARD = Layout(name="blackboard", title="Blackboard", documented="as commonly seen", find=_find)
