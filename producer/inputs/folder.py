"""A folder of submissions: one file or one sub-folder each, in the order of their names.

The id is the folder's name or the file's name without its suffix; files that share a stem, or whose stem is
another's full name, keep their full names. In a sub-folder the files are joined in the order of their paths, each
under a line that names it. Hidden files and what systems leave behind are passed over. A link must lead to a file
inside the folder.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from producer.inputs.item import InputItem, InputLimits, item_id
from producer.inputs.text import read_text, shown, unreadable
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

_JUNK = frozenset({"__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "icon\r"})
_JUNK_PREFIXES = (".", "~$")


def scan_folder(root: Path, limits: InputLimits) -> Iterator[InputItem | InvalidInput]:
    """Each submission's item, or what is wrong with it. May raise `OSError`."""
    entries = _entries(root)
    name = shown(root.name or root.resolve().name)
    if not entries:
        yield InvalidInput("the folder holds no submissions; put one file or one sub-folder each in it", where=name)
    ids = _ids(entries)
    for entry in entries:
        where = f"{name}/{shown(entry.name)}"
        try:
            yield _item(entry, root, ids[entry], where, limits)
        except InvalidInput as problem:
            yield problem
        except OSError as error:
            yield unreadable(error, where=where)


def _entries(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not _is_junk(path.name)), key=lambda path: path.name)


def _is_junk(name: str) -> bool:
    return name.startswith(_JUNK_PREFIXES) or name.casefold() in _JUNK


def _ids(entries: list[Path]) -> dict[Path, str]:
    full_names = {entry.name for entry in entries}
    short_names = {entry: entry.name if entry.is_dir() else entry.stem for entry in entries}
    uses = Counter(short_names.values())
    return {
        entry: short if uses[short] == 1 and short not in full_names - {entry.name} else entry.name
        for entry, short in short_names.items()
    }


def _item(entry: Path, root: Path, identity: str, where: str, limits: InputLimits) -> InputItem:
    _refuse_stray_link(entry, root, where)
    text = _joined(entry, root, where, limits) if entry.is_dir() else _file_text(entry, where, limits)
    identity = item_id(identity, where=where)
    return InputItem(id=identity, fields={"id": identity, "submission": text}, where=where)


def _file_text(path: Path, where: str, limits: InputLimits) -> str:
    text = read_text(path, where=where, max_bytes=limits.max_submission_bytes)
    if not text.strip():
        raise InvalidInput("the file is empty; remove it, and grade it by hand if it was handed in so", where=where)
    return text


def _joined(folder: Path, root: Path, where: str, limits: InputLimits) -> str:
    sections: list[str] = []
    room = limits.max_submission_bytes
    is_blank = True
    for path in _files_below(folder, root, where):
        name = shown(path.relative_to(folder).as_posix())
        text = read_text(path, where=f"{where}/{name}", max_bytes=limits.max_submission_bytes)
        room -= len(text.encode())
        if room < 0:
            raise InvalidInput(f"its files exceed {limits.max_submission_bytes:,} bytes together", where=where)
        is_blank = is_blank and not text.strip()
        sections.append(f"===== {name} =====\n{text}")
    if is_blank:
        what = "its files are all empty" if sections else "it holds no files"
        raise InvalidInput(f"{what}; remove it, and grade it by hand if it was handed in so", where=where)
    return "\n".join(section if section.endswith("\n") else f"{section}\n" for section in sections)


def _files_below(folder: Path, root: Path, where: str) -> list[Path]:
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        for path in _entries(waiting.pop()):
            _refuse_stray_link(path, root, f"{where}/{shown(path.relative_to(folder).as_posix())}")
            (waiting if path.is_dir() else found).append(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _refuse_stray_link(path: Path, root: Path, where: str) -> None:
    """A link may name a file of the same folder; anything else could carry other people's files into a prompt."""
    if not path.is_symlink():
        return
    target = Path(os.path.realpath(path, strict=True))  # Path.resolve tells of a loop with a RuntimeError
    if not target.is_relative_to(root.resolve()):
        raise InvalidInput("the link leads out of the folder; put a copy in its place", where=where)
    if target.is_dir():
        raise InvalidInput("the link leads to a folder; put a copy in its place", where=where)
