"""A folder or ZIP of submissions: one file or one sub-folder each, in the order of their names.

The id is the folder's name or the file's name without its suffix; files that share a stem, or whose stem is
another's full name, keep their full names.
"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from producer.inputs.courses.gradescope import METADATA
from producer.inputs.courses.hand_in import Found, HandIn, Layout, Part

if TYPE_CHECKING:
    from producer.inputs.courses.tree import Tree


def _find(tree: Tree, assignment: str) -> Found | None:  # noqa: ARG001 - a folder holds one assignment
    folders, everything = tree.by_top()
    files = [path for path in everything if path != METADATA]
    ids = _ids(list(folders), files)
    hand_ins = [
        HandIn(
            id=ids[folder, True],
            place=folder,
            parts=tuple(Part(name=path.partition("/")[2], path=path) for path in paths),
            is_folder=True,
        )
        for folder, paths in folders.items()
    ]
    hand_ins += [HandIn(id=ids[path, False], place=path, parts=(Part(name=path, path=path),)) for path in files]
    passed_over = tuple(path for path in everything if path == METADATA)
    return Found(hand_ins=tuple(sorted(hand_ins, key=lambda each: each.place)), passed_over=passed_over)


def _ids(folders: list[str], files: list[str]) -> dict[tuple[str, bool], str]:
    full_names = {*folders, *files}
    short_names = {**{(name, True): name for name in folders}, **{(name, False): _stem(name) for name in files}}
    uses = Counter(short_names.values())
    return {
        entry: short if uses[short] == 1 and short not in full_names - {entry[0]} else entry[0]
        for entry, short in short_names.items()
    }


def _stem(name: str) -> str:
    return PurePosixPath(name).stem or name


PLAIN = Layout(name="plain", title="Folder", documented="docs/inputs.md", find=_find)
