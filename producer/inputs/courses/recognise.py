"""Which system a download is from: the layout that names the owner of most files, from the outermost folder inwards.

One file alone says little: a student may hand in what another system named. `--layout` overrides it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.inputs.columns import did_you_mean
from producer.inputs.courses.blackboard import BLACKBOARD
from producer.inputs.courses.brightspace import BRIGHTSPACE
from producer.inputs.courses.canvas import CANVAS
from producer.inputs.courses.github_classroom import GITHUB_CLASSROOM
from producer.inputs.courses.gradescope import GRADESCOPE
from producer.inputs.courses.hand_in import ATTEMPTS_IN_ONE, without_left_behind
from producer.inputs.courses.moodle import MOODLE
from producer.inputs.courses.nbgrader import NBGRADER
from producer.inputs.courses.plain import PLAIN
from producer.inputs.courses.tree import Tree
from producer.inputs.text import shown
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producer.inputs.courses.hand_in import Found, HandIn, Layout

LAYOUTS = {
    layout.name: layout
    for layout in (MOODLE, GRADESCOPE, BRIGHTSPACE, BLACKBOARD, CANVAS, NBGRADER, GITHUB_CLASSROOM, PLAIN)
}
"""By name, the most unmistakable first; `plain` takes everything."""
_LEAST_SHARE = 0.5
"""Of a download's files must be some student's; else a folder of work holds a few names of that shape by chance."""
_GUARD_DEPTH, _MOST_LOOKED_INTO = 3, 30
_COUNTS = ("no", "one", "two", "three", "four")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A download, the folder of it that counts, and its hand-ins."""

    layout: Layout
    tree: Tree
    found: Found

    @property
    def is_course_download(self) -> bool:
        """Whether a course system made it."""
        return self.layout is not PLAIN

    def summary(self) -> str:
        """`Moodle: 30 students, 8 with two parts`, and what else the download said."""
        hand_ins = self.found.hand_ins
        facts = [
            _counted(len(hand_ins), "student" if self.is_course_download else "submission"),
            *_parts_fact([len(hand_in.parts) for hand_in in hand_ins]),
            *(f"{count} {what}" for what, count in _known_facts(hand_ins) if count),
        ]
        if self.found.unassigned:
            facts.append(f"{_counted(len(self.found.unassigned), 'file')} assigned to no student")
        return f"{self.layout.title}: {', '.join(facts)}"


def recognised(tree: Tree, layout: str = "", *, is_peeled: bool = False) -> Recognised:
    """The hand-ins of a download. `layout`: a name of `LAYOUTS`, with `:ASSIGNMENT` where it holds several.

    With `is_peeled` a plain download is what its one outer folder holds, as ZIPs are packed. `InvalidInput` for a
    layout that there is not, or that the download does not have.
    """
    name, _, assignment = layout.partition(":")
    if name and name not in LAYOUTS:
        raise InvalidInput(
            f"there is no layout {name!r}{did_you_mean(name, LAYOUTS)}; choose from {', '.join(LAYOUTS)}"
        )
    chosen = [LAYOUTS[name]] if name else [each for each in LAYOUTS.values() if each is not PLAIN]
    trees = list(_from_outside(tree))
    if chosen != [PLAIN]:
        for each in trees:
            if (best := _best(each, chosen, assignment, least_share=0.0 if name else _LEAST_SHARE)) is not None:
                return best
        if name:
            raise InvalidInput(f"this is no download of {LAYOUTS[name].title}; leave --layout out", where=tree.where)
    plain = trees[-1] if is_peeled else tree
    found = PLAIN.find(plain, assignment)
    assert found is not None, "the plain layout takes everything"  # noqa: S101 - for the type checker
    if not name:
        _refuse_class_in_one(plain, found)
    return Recognised(layout=PLAIN, tree=plain, found=found)


def _refuse_class_in_one(tree: Tree, found: Found) -> None:
    """`InvalidInput` where the only submission holds, in a folder of its own, the download of a whole class."""
    if len(found.hand_ins) != 1:
        return
    # one student's repository has folders with a common prefix, too: without the clone's name they are no class
    courses = [layout for layout in LAYOUTS.values() if layout not in (PLAIN, GITHUB_CLASSROOM)]
    for folder in _folders_of(tree):
        inside = Tree(tree.files, f"{tree.base}{folder}/")
        layouts = [*courses, GITHUB_CLASSROOM] if folder.endswith("-submissions") else courses
        try:
            best = _best(inside, layouts, "", least_share=_LEAST_SHARE)
        except InvalidInput:
            continue
        if best is not None and len(best.found.hand_ins) > 1:
            count = _counted(len(best.found.hand_ins), "student")
            raise InvalidInput(
                f"this would be one submission, but {shown(folder)} looks like a whole class "
                f"({best.layout.title}: {count}); give that folder alone, or --layout plain if it is the work of one",
                where=tree.where,
            )


def _folders_of(tree: Tree) -> list[str]:
    """Folders a few levels down, the outermost first, no more than can be looked into at once."""
    split = [path.split("/")[:-1][:_GUARD_DEPTH] for path in tree.paths]
    folders = {"/".join(parts[:depth]) for parts in split for depth in range(1, len(parts) + 1)}
    return sorted(folders, key=lambda folder: (folder.count("/"), folder))[:_MOST_LOOKED_INTO]


def _best(tree: Tree, layouts: Sequence[Layout], assignment: str, *, least_share: float) -> Recognised | None:
    """The layout that leaves the fewest files without a student; of equals the first."""
    answers: list[Recognised] = []
    problems: list[InvalidInput] = []
    for layout in layouts:
        try:
            found = layout.find(tree, assignment)
            found = without_left_behind(found) if found is not None else None
        except InvalidInput as problem:  # it is this layout, and something of it has to be said first
            problems.append(problem)
            continue
        if found is not None and _share(found) >= least_share:
            answers.append(Recognised(layout=layout, tree=tree, found=found))
    if problems and not answers:
        raise problems[0]
    return min(answers, key=lambda answer: len(answer.found.unassigned), default=None)


def _share(found: Found) -> float:
    """How many of the files that are not the system's own are some student's."""
    assigned = sum(len(hand_in.parts) or 1 for hand_in in found.hand_ins)
    return assigned / (assigned + len(found.unassigned))


def _from_outside(tree: Tree) -> Iterator[Tree]:
    inner: Tree | None = tree
    while inner is not None:
        yield inner
        inner = inner.inner()


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _parts_fact(counts: list[int]) -> Iterator[str]:
    several = [count for count in counts if count > 1]
    if several:
        most = max(several)
        word = _COUNTS[most] if most < len(_COUNTS) else str(most)
        yield f"{len(several):,} with {'two' if most == min(several) == 2 else f'up to {word}'} parts"  # noqa: PLR2004


def _known_facts(hand_ins: tuple[HandIn, ...]) -> Iterator[tuple[str, int]]:
    yield "late", sum(bool(hand_in.metadata.get("late")) for hand_in in hand_ins)
    yield (
        "with earlier attempts that are not graded",
        sum("earlier_attempts_not_graded" in hand_in.metadata for hand_in in hand_ins),
    )
    yield (
        "with attempts whose dates cannot be read: all their files are graded together",
        sum(ATTEMPTS_IN_ONE in hand_in.metadata for hand_in in hand_ins),
    )
    yield "of several members", sum("members" in hand_in.metadata for hand_in in hand_ins)
