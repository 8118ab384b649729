"""From uploaded files to things to grade: each is taken or refused with a sentence, and the rest goes on.

A CSV or JSONL file gives its rows, a ZIP its files (one file or one sub-folder per student, or the rows of a table that
stands there alone), any other file is one submission. Where two have the same id neither is taken: nobody can tell
whose is whose.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from producer.archive import unpack
from producer.inputs.item import InputItem
from producer.inputs.reading import scan_items
from producer.inputs.specs import JobDefaults, build_spec
from producer.inputs.text import shown
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workers.contract.job import JobSpec

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".jsonl", ".ndjson"})
LIKELY_LEFTOVERS = frozenset({"__macosx", ".ds_store", "thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file as the browser sent it."""

    name: str
    content: IO[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """What an upload holds: what can be graded, in order, and what cannot, one sentence each."""

    items: tuple[InputItem, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """How each archive was read: nobody can tell from its folders alone whether they are students'."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that the first item has: a template's placeholders."""
        return tuple(self.items[0].fields) if self.items else ()


def read_upload(files: Iterable[UploadedFile], *, archives_are_students: bool = False) -> Upload:
    """Read every file. Raises nothing for what a student or an instructor may have done, nor for a full disk.

    With `archives_are_students` each ZIP is one submission, whatever it holds.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="gradequeue-upload-", ignore_cleanup_errors=True) as scratch:
            return _read(files, Path(scratch), archives_are_students=archives_are_students)
    except OSError as error:
        return Upload(items=(), problems=(f"the upload cannot be stored: {error.strerror}",))


def _read(files: Iterable[UploadedFile], scratch: Path, *, archives_are_students: bool) -> Upload:
    found: list[InputItem | InvalidInput] = []
    alone: list[InputItem | InvalidInput] = []
    notes: list[str] = []
    for number, file in enumerate(files):
        own = scratch / str(number)
        try:
            own.mkdir()
            if is_archive(file):
                archive = _from_archive(file, own, is_student=archives_are_students)
                found += archive.found
                notes += archive.notes
            elif Path(file.name).suffix.casefold() in TABLE_SUFFIXES:
                found += scan_items(_saved(file, own))
            else:
                alone += _from_file(file, own)
        except OSError as error:
            found.append(InvalidInput(f"the file cannot be stored: {error.strerror}", where=shown(file.name)))
    items, problems = _without_doubles([*found, *alone])
    return Upload(items=tuple(items), problems=tuple(problems), notes=tuple(notes))


def build_specs_of(items: Iterable[InputItem], defaults: JobDefaults) -> tuple[list[JobSpec], list[str]]:
    """A spec for each item, or a sentence why there is none: an empty cell stops nobody else's grading."""
    specs: list[JobSpec] = []
    problems: list[str] = []
    for item in items:
        try:
            specs.append(build_spec(item, defaults))
        except InvalidInput as problem:
            problems.append(str(problem))
    return specs, problems


def is_archive(file: UploadedFile) -> bool:
    """By content for what is named so, too: an Office document begins the same way and is refused as a file."""
    file.content.seek(0)
    start = file.content.read(4)
    file.content.seek(0)
    named_zip = Path(file.name).suffix.casefold() == ".zip"
    return named_zip or (start == b"PK\x03\x04" and not Path(file.name).suffix)


@dataclass(frozen=True, slots=True)
class _Archive:
    """What an archive gave, and how it was read."""

    found: list[InputItem | InvalidInput]
    notes: list[str] = field(default_factory=list)


def _from_archive(file: UploadedFile, folder: Path, *, is_student: bool) -> _Archive:
    # the archive's name becomes the student's id, and must not look like a hidden file's or lead upwards
    unpacked = folder / "upload" / (Path(_base_name(file.name)).stem.lstrip(".~$ ") or "archive")
    unpacked.mkdir(parents=True)
    try:
        problems = unpack(file.content, unpacked, name=file.name)
    except InvalidInput as problem:
        return _Archive([problem])
    innermost = _innermost(unpacked)
    table = None if is_student else _only_table(innermost)
    found = list(scan_items(unpacked.parent if is_student else table or innermost))
    count = sum(isinstance(each, InputItem) for each in found)
    note = f"{shown(file.name)}: {count:,} {'submission' if count == 1 else 'submissions'}"
    if table is not None:
        note += f", one for each row of {shown(table.name)}"
    elif not is_student:
        note += f", one for each file or folder in {'it' if innermost == unpacked else shown(innermost.name)}"
    return _Archive([*problems, *found], [note])


def _innermost(folder: Path) -> Path:
    """Archives often hold one folder with everything in it; that one is meant."""
    while True:
        entries = _entries(folder)
        if len(entries) != 1 or not entries[0].is_dir():
            return folder
        folder = entries[0]


def _only_table(folder: Path) -> Path | None:
    """The table that stands in the folder alone: its rows are meant, as if it had been uploaded itself."""
    entries = _entries(folder)
    is_table = len(entries) == 1 and entries[0].suffix.casefold() in TABLE_SUFFIXES
    return entries[0] if is_table else None


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not _is_leftover(path.name)]


def _is_leftover(name: str) -> bool:
    return name.startswith((".", "~$")) or name.casefold() in LIKELY_LEFTOVERS


def _from_file(file: UploadedFile, folder: Path) -> Iterator[InputItem | InvalidInput]:
    """The file by itself, so that two of the same name meet as two items, not as one file."""
    own = folder / "upload"
    own.mkdir()
    _saved(file, own)
    return scan_items(own)


def _saved(file: UploadedFile, folder: Path) -> Path:
    path = folder / _base_name(file.name)
    with path.open("wb") as copy:
        while chunk := file.content.read(1 << 20):
            copy.write(chunk)
    file.content.seek(0)
    return path


def _base_name(name: str) -> str:
    """A browser may send a path; only its last part names the file."""
    return os.path.basename(name.replace("\\", "/").replace("\x00", "")) or "upload"  # noqa: PTH119 - Path drops "."


def _without_doubles(found: Iterable[InputItem | InvalidInput]) -> tuple[list[InputItem], list[str]]:
    by_id: dict[str, list[InputItem]] = defaultdict(list)
    problems: list[str] = []
    for each in found:
        if isinstance(each, InvalidInput):
            problems.append(str(each))
        else:
            by_id[each.id].append(each)
    for identity, same in by_id.items():
        if len(same) > 1:
            places = ", ".join(item.where for item in same)
            problems.append(f"the id {identity!r} stands {len(same)} times ({places}); none was taken, rename them")
    return [same[0] for same in by_id.values() if len(same) == 1], problems
