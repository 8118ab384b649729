"""The files of a download, by path: a folder or a ZIP, read one file at a time and never unpacked as a whole.

A ZIP of gigabytes costs its list of names and the file that is being read. Nothing in it is believed: sizes are
counted while reading, nothing is written, paths that lead out and links are refused when they are read.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Protocol

from producer.inputs.archive import (
    UNREADABLE_ENTRY,
    ArchiveLimits,
    entry_path,
    is_junk,
    is_left_behind,
    refuse_long_directory,
)
from producer.inputs.text import refuse_special_file, shown, unreadable
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ENCRYPTED = 0x1
LARGE_ARCHIVE = ArchiveLimits(max_entries=200_000)
"""Of a whole course: 5,000 students with 40 files each. Only names are held."""


class Files(Protocol):
    """Files by POSIX path, an empty folder with a slash at its end; what systems leave behind is not among them."""

    name: str
    """Of the download, for messages."""
    paths: Sequence[str]
    hidden: frozenset[str]
    """Hidden folders that were passed over: `.git` says something about its neighbours."""

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """The file's content. `InvalidInput` when it is larger, damaged, encrypted, a link or leads out."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The files at or below one folder of a download."""

    files: Files
    base: str = ""
    """The folder, with its slash; empty for the download itself."""

    @property
    def name(self) -> str:
        """Of the folder, or of the download without its suffix."""
        return PurePosixPath(self.base or self.files.name).stem

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.files.name}/{shown(self.base)}".rstrip("/")

    @property
    def paths(self) -> tuple[str, ...]:
        """Sorted, relative to the folder."""
        return tuple(sorted(path[len(self.base) :] for path in self.files.paths if path.startswith(self.base)))

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """See `Files.read`."""
        return self.files.read(f"{self.base}{path}", max_bytes=max_bytes)

    def by_top(self) -> tuple[dict[str, list[str]], list[str]]:
        """The paths in each folder that lies here, and the files that do."""
        folders: dict[str, list[str]] = {}
        files: list[str] = []
        for path in self.paths:
            top, slash, _ = path.partition("/")
            (folders.setdefault(top, []) if slash else files).append(path)
        return folders, files

    def inner(self) -> Tree | None:
        """The one folder that holds everything here; None when there is more than one thing."""
        tops = {path.split("/", 1)[0] for path in self.paths}
        is_folder = all("/" in path for path in self.paths)
        return Tree(self.files, f"{self.base}{tops.pop()}/") if len(tops) == 1 and is_folder else None


@contextmanager
def opened_tree(path: Path) -> Iterator[Tree]:
    """The tree of a folder or a ZIP. `InvalidInput` when it cannot be read as one."""
    if path.is_dir():
        yield Tree(FolderFiles(path))
        return
    with path.open("rb") as file, opened_zip(file, path.name) as tree:
        yield tree


@contextmanager
def opened_zip(file: IO[bytes], name: str) -> Iterator[Tree]:
    """The tree of a ZIP that is open already; it stays open. `InvalidInput` when it cannot be read as one."""
    refuse_long_directory(file, shown(name), LARGE_ARCHIVE)
    try:
        archive = zipfile.ZipFile(file)
    except UNREADABLE_ENTRY:
        raise InvalidInput("this is not a ZIP archive, or it is damaged; create it again", where=shown(name)) from None
    with archive:
        yield Tree(ZipFiles(archive, name=shown(name)))


class FolderFiles:
    """A folder on disk."""

    def __init__(self, root: Path) -> None:
        self.name = shown(root.name or root.resolve().name)
        found, hidden = _files_below(root)
        self.paths: Sequence[str] = tuple(found)
        self.hidden = frozenset(hidden)
        self._root = root

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """See `Files.read`."""
        where = f"{self.name}/{shown(path)}"
        target = self._root / path
        try:
            if not Path(os.path.realpath(target, strict=True)).is_relative_to(self._root.resolve()):
                raise InvalidInput("the link leads out of the folder; put a copy in its place", where=where)
            if target.is_dir():
                raise InvalidInput("the link leads to a folder; put a copy in its place", where=where)
            refuse_special_file(target, where=where)
            with target.open("rb") as file:
                content = file.read(max_bytes + 1)
        except OSError as error:
            raise unreadable(error, where=where) from None
        return _bounded(content, max_bytes, where)


class ZipFiles:
    """A ZIP that stays packed."""

    def __init__(self, archive: zipfile.ZipFile, *, name: str) -> None:
        self.name = name
        self._archive = archive
        entries = {_entry_path(entry): entry for entry in archive.infolist() if not entry.is_dir()}
        uses = Counter(_entry_path(entry).casefold() for entry in archive.infolist() if not entry.is_dir())
        self._doubled = {path for path, count in uses.items() if count > 1}
        every = [_entry_path(entry) for entry in archive.infolist()]
        kept = [path for path in entries if not is_left_behind(path)]
        self.paths: Sequence[str] = (*kept, *_empty_folders(every, kept))
        self.hidden = frozenset(part for path in entries for part in path.split("/")[:-1] if part.startswith("."))
        self._entries = entries

    def read(self, path: str, *, max_bytes: int) -> bytes:
        """See `Files.read`."""
        where = f"{self.name}/{shown(path)}"
        entry = self._entries[path]
        if path.casefold() in self._doubled:
            raise InvalidInput("the archive holds this name twice; neither was taken", where=where)
        if entry.flag_bits & _ENCRYPTED:
            raise InvalidInput("the file is encrypted; pack it without a password", where=where)
        if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG}:
            raise InvalidInput("this is a link or a special file; put a copy in its place", where=where)
        try:
            with self._archive.open(entry) as file:
                content = file.read(max_bytes + 1)
        except UNREADABLE_ENTRY:
            raise InvalidInput(
                "the file cannot be unpacked; it is damaged, or compressed in a rare way", where=where
            ) from None
        return _bounded(content, max_bytes, where)


def _bounded(content: bytes, max_bytes: int, where: str) -> bytes:
    if len(content) > max_bytes:
        raise InvalidInput(f"the file is larger than {max_bytes:,} bytes", where=where)
    return content


def _entry_path(entry: zipfile.ZipInfo) -> str:
    return entry_path(entry).removeprefix("./")


def _empty_folders(every: Sequence[str], kept: Sequence[str]) -> list[str]:
    """The innermost folders that hold nothing, or only what was passed over: each may belong to a student."""
    folders = {path[: at + 1] for path in every for at, sign in enumerate(path) if sign == "/"}
    filled = {path[: at + 1] for path in kept for at, sign in enumerate(path) if sign == "/"}
    empty = {path for path in folders - filled if not is_left_behind(path)}
    outer = {path[: path.rstrip("/").rfind("/") + 1] for path in empty}
    return sorted(empty - outer)


def _files_below(root: Path) -> tuple[list[str], set[str]]:
    found: list[str] = []
    hidden: set[str] = set()
    for folder, folders, files in os.walk(root):
        inside = Path(folder).relative_to(root)
        hidden |= {name for name in folders if name.startswith(".")}
        links = [name for name in folders if not is_junk(name) and Path(folder, name).is_symlink()]
        folders[:] = [name for name in folders if not is_junk(name) and name not in links]
        kept = [name for name in files if not is_junk(name)] + links
        found += [(inside / name).as_posix() for name in kept]
        if not kept and not folders and inside.parts:
            found.append(f"{inside.as_posix()}/")
    return found, hidden
