"""GitHub Classroom: repositories as `gh classroom clone student-repos` leaves them, `<assignment>-<user>` each.

*Source*: github/gh-classroom, pkg/classroom (clone names the outer folder `<assignment>-submissions`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.inputs.courses.hand_in import Found, HandIn, Layout, Part

if TYPE_CHECKING:
    from producer.inputs.courses.tree import Tree

_OUTER = re.compile(r"(?P<slug>.+)-submissions")
_SEVERAL = 2
_LISTS = frozenset({"classroom_roster.csv", "grades.csv"})


def _find(tree: Tree, assignment: str) -> Found | None:
    files, others = tree.by_top()
    slug = assignment or _slug(tree, list(files))
    if not slug or _holds_the_class(tree.inner(), slug):
        return None
    strangers = [path for path in others if path not in _LISTS]
    strangers += [path for folder in list(files) if not folder.startswith(f"{slug}-") for path in files.pop(folder)]
    if strangers and (len(files) < _SEVERAL or tree.name != f"{slug}-submissions"):
        return None
    hand_ins = tuple(
        HandIn(
            id=folder[len(slug) + 1 :],
            parts=tuple(Part(name=path.split("/", 1)[1], path=path) for path in paths),
            metadata={"github_user": folder[len(slug) + 1 :]},
        )
        for folder, paths in files.items()
    )
    return Found(
        hand_ins=hand_ins, passed_over=tuple(path for path in others if path in _LISTS), unassigned=tuple(strangers)
    )


def _holds_the_class(inner: Tree | None, slug: str) -> bool:
    """Whether the one folder here is the clone's outer one: a ZIP of it has its name, as a student's folder might."""
    if inner is None:
        return False
    repositories = sum(folder.startswith(f"{slug}-") for folder in inner.by_top()[0])
    return repositories >= (1 if inner.name == f"{slug}-submissions" else _SEVERAL)


def _slug(tree: Tree, folders: list[str]) -> str:
    """The assignment's name: the outer folder says it, or repositories that share it."""
    if match := _OUTER.fullmatch(tree.name):
        return match["slug"]
    if ".git" not in tree.files.hidden or len(folders) < _SEVERAL:  # one name shares nothing
        return ""
    first, last = min(folders), max(folders)
    common = next(
        (index for index, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    return first[: max(first.rfind("-", 0, common), 0)]


GITHUB_CLASSROOM = Layout(
    name="github", title="GitHub Classroom", documented="github/gh-classroom, pkg/classroom", find=_find
)
