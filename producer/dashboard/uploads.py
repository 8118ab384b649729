"""From uploaded files to things to grade: each is taken or refused with a sentence, and the rest goes on.

A CSV or JSONL file gives its rows, a ZIP its files (one file or one sub-folder per student), any other file is one
submission. Where two have the same id neither is taken: nobody can tell whose is whose.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from producer.archive import unpack
from producer.inputs.reading import scan_items
from producer.inputs.specs import JobDefaults, build_spec
from producer.inputs.text import shown
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from producer.inputs.item import InputItem
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

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that the first item has: a template's placeholders."""
        return tuple(self.items[0].fields) if self.items else ()


def read_upload(files: Iterable[UploadedFile]) -> Upload:
    """Read every file. Raises nothing for what a student or an instructor may have done."""
    found: list[InputItem | InvalidInput] = []
    with tempfile.TemporaryDirectory(prefix="gradequeue-upload-") as scratch:
        folder = Path(scratch)
        plain: list[UploadedFile] = []
        for number, file in enumerate(files):
            own = folder / f"file{number}"
            own.mkdir()
            if _is_zip(file):
                found += _from_archive(file, own)
            elif Path(file.name).suffix.casefold() in TABLE_SUFFIXES:
                found += scan_items(_saved(file, own))
            else:
                plain.append(file)
        found += _from_files(plain, folder / "plain")
    items, problems = _without_doubles(found)
    return Upload(items=tuple(items), problems=tuple(problems))


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


def _is_zip(file: UploadedFile) -> bool:
    """By content for what is named so, too: an Office document begins the same way and is refused as a file."""
    start = file.content.read(4)
    file.content.seek(0)
    named_zip = Path(file.name).suffix.casefold() == ".zip"
    return named_zip or (start == b"PK\x03\x04" and not Path(file.name).suffix)


def _from_archive(file: UploadedFile, folder: Path) -> Iterator[InputItem | InvalidInput]:
    unpacked = folder / (Path(_base_name(file.name)).stem or "archive")
    unpacked.mkdir()
    try:
        yield from unpack(file.content, unpacked, name=file.name)
    except InvalidInput as problem:
        yield problem
        return
    yield from scan_items(_innermost(unpacked))


def _innermost(folder: Path) -> Path:
    """Archives often hold one folder with everything in it; that one is meant."""
    while True:
        entries = [path for path in folder.iterdir() if path.name.casefold() not in LIKELY_LEFTOVERS]
        if len(entries) != 1 or not entries[0].is_dir():
            return folder
        folder = entries[0]


def _from_files(files: Sequence[UploadedFile], folder: Path) -> Iterator[InputItem | InvalidInput]:
    """Each file by itself, so that two of the same name meet as two items, not as one file."""
    for number, file in enumerate(files):
        own = folder / str(number) / "upload"
        own.mkdir(parents=True)
        try:
            _saved(file, own)
        except OSError as error:
            yield InvalidInput(f"the file cannot be stored: {error.strerror}", where=shown(file.name))
            continue
        yield from scan_items(own)


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
