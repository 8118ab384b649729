"""nbgrader: the course's tree `submitted/<student>/<assignment>`, or what `nbgrader list` shows as inbound.

*Source*: nbgrader 0.9.6, apps/baseapp.py (directory_structure) and exchange/default/{submit,collect}.py. The user may
hold a `+`; the secret that opens a student's feedback lies beside the work and is never a part of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.inputs.courses.hand_in import Found, HandIn, Layout, Part, newest_attempts
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from producer.inputs.courses.tree import Tree

_TIMESTAMP = "timestamp.txt"
_OWN = frozenset({_TIMESTAMP, "submission_secret.txt"})
"""Which nbgrader writes beside the work, at the top of the submission."""
_INBOUND = re.compile(
    r"(?P<user>[^/]+)\+(?P<assignment>[^+/]+)\+(?P<time>\d{4}-\d\d-\d\d[^+/]*)(?:\+[^+/]*)?/(?P<file>.+)", re.DOTALL
)
_INBOUND_ANY_TIME = re.compile(
    r"(?P<user>[^+/]+)\+(?P<assignment>[^+/]+)\+(?P<time>[^+/]+)(?:\+[^+/]*)?/(?P<file>.+)", re.DOTALL
)
"""Of an exchange with a `timestamp_format` of its own."""
_STEPS = ("submitted", "autograded", "source", "release", "feedback")
"""The course's folders, as nbgrader names them: none of them is a student or an assignment."""
_NOBODY = rf"(?!(?:{'|'.join(_STEPS)})/)"
_IN_TREE = re.compile(rf"{_NOBODY}(?P<user>[^/]+)/{_NOBODY}(?P<assignment>[^+/]+)/(?P<file>.+)", re.DOTALL)

_WITH_WORK = _STEPS[:2]
_BELOW = {
    step: re.compile(rf"(?P<root>(?:[^/]+/)*?{step}/){_NOBODY}[^/]+/{_NOBODY}[^+/]+/.", re.DOTALL)
    for step in _WITH_WORK
}


def _find(tree: Tree, assignment: str) -> Found | None:
    return _inbound(tree, assignment) or _in_tree(tree, assignment)


def _inbound(tree: Tree, assignment: str) -> Found | None:
    matches = {path: _INBOUND.fullmatch(path) or _INBOUND_ANY_TIME.fullmatch(path) for path in tree.paths}
    if not matches or not all(matches.values()):
        return None
    return _found(tree, {path: match for path, match in matches.items() if match}, assignment)


def _in_tree(tree: Tree, assignment: str) -> Found | None:
    paths = tree.paths
    prefix = _root(paths)
    if prefix is None:
        return None
    below = {path: _IN_TREE.fullmatch(path.removeprefix(prefix)) for path in paths if path.startswith(prefix)}
    matches = {path: match for path, match in below.items() if match}
    has_stamp = any(match["file"] == _TIMESTAMP for match in matches.values())
    is_deeper = not has_stamp and any(path.endswith(f"/{_TIMESTAMP}") for path in below)
    is_named_so = bool(prefix) or (tree.name in _WITH_WORK and not is_deeper)
    course = prefix[: prefix[:-1].rfind("/") + 1]
    has_neighbours = not all(path.startswith(course) for path in paths)
    has_notebook = any(path.endswith(".ipynb") for path in matches)
    if not matches or not has_notebook or (has_neighbours and not has_stamp):
        return None
    if not (is_named_so or (has_stamp and len(matches) == len(below))):
        return None
    return _found(tree, matches, assignment, course)


def _root(paths: Sequence[str]) -> str | None:
    """The folder, with its slash, that holds the students': `""` for the tree itself, None where there are several.

    What was handed in comes before nbgrader's graded copies of it.
    """
    for step in _WITH_WORK:
        roots = {match["root"] for path in paths if (match := _BELOW[step].match(path))}
        if roots:
            return roots.pop() if len(roots) == 1 else None
    return ""


def _found(tree: Tree, matches: Mapping[str, re.Match[str]], assignment: str, course: str = "") -> Found:
    assignments = sorted({match["assignment"] for match in matches.values()})
    chosen = assignment or assignments[0]
    if chosen not in assignments or (len(assignments) > 1 and not assignment):
        raise InvalidInput(
            f"holds the assignments {', '.join(assignments)}; choose one with --layout nbgrader:{assignments[0]}",
            where=tree.where,
        )
    mine = {path: match for path, match in matches.items() if match["assignment"] == chosen}
    own = tuple(path for path, match in mine.items() if match["file"] in _OWN)
    others = [path for path in tree.paths if path not in matches]
    return Found(
        hand_ins=newest_attempts(_attempts(tree, mine)),
        passed_over=(*own, *(path for path in others if path.startswith(course))),
        unassigned=tuple(path for path in others if not path.startswith(course)),
    )


def _attempts(tree: Tree, matches: Mapping[str, re.Match[str]]) -> Iterator[HandIn]:
    attempts: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for path, match in matches.items():
        time = match.groupdict().get("time", "")
        attempts.setdefault((match["user"], time), []).append((match["file"], path))
    for (user, time), files in attempts.items():
        stamp = next((path for name, path in files if name == _TIMESTAMP), None)
        submitted = tree.read(stamp, max_bytes=1000).decode("ascii", "replace").strip() if stamp else time
        yield HandIn(
            id=user,
            parts=tuple(Part(name=name, path=path) for name, path in files if name not in _OWN),
            metadata={"user": user, **({"submitted": submitted} if submitted else {})},
            sort_key=submitted,
        )


NBGRADER = Layout(name="nbgrader", title="nbgrader", documented="nbgrader 0.9.6, apps/baseapp.py", find=_find)
