"""From uploaded files to things to grade: each is taken or refused with a sentence; the rest continues.

A table (CSV, JSONL) gives its rows only as the whole upload, by itself or alone in the one ZIP, and there only when
the instructor said so: its rows name ids, models and schemas, which students may not, and a table among other
files may be a student's. It is one submission then, like every other file. A ZIP gives one submission per file or
sub-folder. Where two have the same id neither is taken: which is whose is unknown.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from producer.inputs.archive import is_junk, unpack
from producer.inputs.class_list import ClassList
from producer.inputs.courses.recognise import recognised
from producer.inputs.courses.tree import opened_zip
from producer.inputs.encodings import NAME_IT_ON_THE_PAGE, Encodings
from producer.inputs.identity import searched
from producer.inputs.item import InputItem, InputOptions
from producer.inputs.reading import download_reader, scan_items
from producer.inputs.specs import JobDefaults, build_spec, for_the_model
from producer.inputs.text import shown
from producer.page.first_look import FirstLook, first_look
from producer.page.limits import MAX_WORK_MIB
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from producer.inputs.class_list import Who
    from workers.contract.identity import IdentityRule
    from workers.contract.job import JobSpec

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".jsonl", ".ndjson"})
_LENIENT = InputOptions(is_strict=False)
"""A file that cannot be read is named, and the rest is graded."""


WITH_A_MODEL_THAT_SEES = "graded from the pictures if the model sees pictures"
"""Of work without text, while no model is chosen."""


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
    """How archives, tables and files that are not UTF-8 were read, because the files alone leave it open."""
    table: str | None = None
    """The one table in the one archive, whose rows may be meant; whether they are has to be asked."""
    look: FirstLook | None = None
    """Set while only the first few of a large archive were read: nothing can be graded before the rest is."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """Who has nothing to grade and why: rows of the batch that cost nothing."""
        return tuple(
            f"{shown(item.id)}: {item.left_out}" for item in self.items if item.left_out and not item.depends_on_sight
        )

    @property
    def only_pictures(self) -> tuple[str, ...]:
        """Who is graded if the model sees pictures, and else left out."""
        return tuple(f"{shown(item.id)}: {WITH_A_MODEL_THAT_SEES}" for item in self.items if item.depends_on_sight)

    @property
    def in_part(self) -> tuple[str, ...]:
        """Whose work is graded without some of its files."""
        return tuple(
            f"{shown(item.id)}: graded without {'; '.join(item.not_read)}"
            for item in self.items
            if item.not_read and not item.left_out
        )

    def for_the_model(self, defaults: JobDefaults) -> Upload:
        """As the chosen model gets it: with the pictures, or without them for good."""
        items = (for_the_model(item, defaults) for item in self.items)
        return replace(self, items=tuple(replace(item, with_pictures=None) for item in items))

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that items have: a template's placeholders."""
        return tuple(dict.fromkeys(name for item in self.items for name in item.fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How to read an upload, as the instructor says."""

    archives_are_students: bool = False
    """Each ZIP is one submission, whatever it holds."""
    table_gives_rows: bool = False
    """The one table in the one archive gives its rows; else it is a submission."""
    encoding: str | None = None
    """Of files that are not UTF-8; detected when not given."""


def read_upload(files: Iterable[UploadedFile], reading: Reading | None = None) -> Upload:
    """Read every file. Raises nothing for what a student or an instructor may have done, nor for a full disk."""
    try:
        with tempfile.TemporaryDirectory(prefix="gradequeue-upload-", ignore_cleanup_errors=True) as scratch:
            return _Reader(Path(scratch), reading or Reading()).read(list(files))
    except OSError as error:
        return Upload(items=(), problems=(f"the upload cannot be stored: {error.strerror}",))
    except InvalidInput as problem:  # an encoding that does not exist
        return Upload(items=(), problems=(str(problem),))


def begin_upload(files: Iterable[UploadedFile], reading: Reading | None = None) -> Upload:
    """Of one large archive the first look, of anything else all of it; raises nothing, as `read_upload`."""
    given, how = list(files), reading or Reading()
    if len(given) == 1 and is_archive(given[0]) and not how.archives_are_students:
        look = first_look(given[0].content, given[0].name, encoding=how.encoding)
        if look is not None:
            return Upload(items=look.items, problems=(), look=look)
    return read_upload(given, how)


class _Reader:
    """Reads one upload."""

    def __init__(self, scratch: Path, reading: Reading) -> None:
        self._scratch = scratch
        self._reading = reading
        self._encodings = Encodings(reading.encoding, how_to_name=NAME_IT_ON_THE_PAGE)
        self._notes: list[str] = []
        self._table: str | None = None

    def read(self, files: list[UploadedFile]) -> Upload:
        found: list[InputItem | InvalidInput] = []
        last: list[InputItem | InvalidInput] = []
        is_whole_upload = len(files) == 1
        for number, file in enumerate(files):
            own = self._scratch / str(number)
            try:
                own.mkdir()
                if is_archive(file):
                    found += self._archive(file, own, is_whole_upload=is_whole_upload)
                elif is_whole_upload and _is_table(file.name):
                    found += self._scan(_saved(file, own))
                    self._notes.append(f"{shown(file.name)}: one submission for each of its rows")
                else:
                    last += self._file(file, own)
            except OSError as error:
                found.append(InvalidInput(f"the file cannot be stored: {error.strerror}", where=shown(file.name)))
        items, problems = _without_doubles([*found, *last])
        return Upload(
            items=tuple(items),
            problems=tuple(problems),
            notes=(*self._encodings.notes, *self._notes),
            table=self._table,
        )

    def _archive(self, file: UploadedFile, folder: Path, *, is_whole_upload: bool) -> list[InputItem | InvalidInput]:
        is_student = self._reading.archives_are_students
        if not is_student and (download := self._course_download(file)) is not None:
            return download
        # the archive's name becomes the student's id, and must not look like a hidden file's or lead upwards
        unpacked = folder / "upload" / (Path(_base_name(file.name)).stem.lstrip(".~$ ") or "archive")
        unpacked.mkdir(parents=True)
        try:
            problems = unpack(file.content, unpacked, name=file.name)
        except InvalidInput as problem:
            return [problem]
        innermost = _innermost(unpacked)
        table = _only_table(unpacked) if is_whole_upload and not is_student else None
        self._table = table.name if table is not None else None
        source = unpacked.parent if is_student else innermost
        if table is not None and self._reading.table_gives_rows:
            source = table
        found = self._scan(source)
        count = sum(isinstance(each, InputItem) for each in found)
        note = f"{shown(file.name)}: {count:,} {'submission' if count == 1 else 'submissions'}"
        if source == table:
            note += f", one for each row of {shown(source.name)}"
        elif not is_student:
            note += f", one for each file or folder in {'it' if innermost == unpacked else shown(innermost.name)}"
        self._notes.append(note)
        return [*problems, *found]

    def _course_download(self, file: UploadedFile) -> list[InputItem | InvalidInput] | None:
        """The students of a course system's download, read as on the command line; None for any other archive."""
        with ExitStack() as stack:
            try:
                tree = stack.enter_context(opened_zip(file.content, file.name))
            except InvalidInput:  # which unpacking says, too
                return None
            try:
                found = recognised(tree, is_peeled=True)
            except InvalidInput as problem:
                return [problem]
            if not found.is_course_download:
                return None
            self._notes.append(found.summary())
            items = download_reader(found, encodings=self._encodings, options=_LENIENT).items()
            return list(_held(items, file.name))

    def _scan(self, source: Path) -> list[InputItem | InvalidInput]:
        return list(scan_items(source, encodings=self._encodings, options=_LENIENT))

    def _file(self, file: UploadedFile, folder: Path) -> Iterator[InputItem | InvalidInput]:
        """The file by itself, so that two of the same name meet as two items, not as one file."""
        if _is_table(file.name):
            self._notes.append(
                f"{shown(file.name)}: one submission; to grade each of its rows, upload this file by itself"
            )
        own = folder / "upload"
        own.mkdir()
        _saved(file, own)
        return iter(self._scan(own))


def _held(items: Iterator[InputItem | InvalidInput], name: str) -> Iterator[InputItem | InvalidInput]:
    """The items, or in their place one sentence when they are more than a page may hold."""
    left = MAX_WORK_MIB * 2**20
    kept: list[InputItem | InvalidInput] = []
    for item in items:
        left -= _size(item) if isinstance(item, InputItem) else 0
        kept.append(item)
        if left < 0:
            kept = [
                InvalidInput(
                    f"the work in it is more than the {MAX_WORK_MIB} MiB that a page holds; grade it with the command: "
                    f"gradequeue run {name}",
                    where=shown(name),
                )
            ]
            break
    yield from kept


def _size(item: InputItem) -> int:
    seen = item.with_pictures
    pictures = sum(len(each.data) for each in seen.pictures.values()) if seen is not None else 0
    return pictures + sum(len(value) for value in item.fields.values() if isinstance(value, str))


def build_specs_of(
    items: Collection[InputItem],
    defaults: JobDefaults,
    identity: IdentityRule,
    *,
    roster: Path | None = None,
    others: Iterable[Who] = (),
    key: str | None = None,
) -> tuple[list[JobSpec], list[str]]:
    """A spec for each item, or a sentence why there is none: one empty cell does not stop the others.

    Prompts are searched for everybody of the items, `others` of their batch, and the roster; `key` makes the pseudonyms
    [default: the fence's mark]. `InvalidInput` for a roster that cannot be read.
    """
    made: list[JobSpec] = []
    specs: list[JobSpec] = []
    problems: list[str] = []
    for item in items:
        try:
            made.append(build_spec(item, defaults))
        except InvalidInput as problem:
            problems.append(str(problem))
    known = {spec.id: spec.metadata for spec in made}
    people = ClassList.of([*((item.id, known.get(item.id, item.metadata)) for item in items), *others], roster)
    for spec in made:
        try:
            specs.append(searched(spec, people, identity, fence=defaults.fence, key=key))
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


def _innermost(folder: Path) -> Path:
    """Archives often hold one folder with everything in it; that one is meant."""
    while True:
        entries = _entries(folder)
        if len(entries) != 1 or not entries[0].is_dir():
            return folder
        folder = entries[0]


def _only_table(folder: Path) -> Path | None:
    """The only file at the top of an archive, if it is a table: a table further down could be a student's."""
    entries = _entries(folder)
    return entries[0] if len(entries) == 1 and entries[0].is_file() and _is_table(entries[0].name) else None


def _is_table(name: str) -> bool:
    return Path(name).suffix.casefold() in TABLE_SUFFIXES


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not is_junk(path.name)]


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
            problems.append(f"the id {identity!r} appears {len(same)} times ({places}); none was taken, rename them")
    return [same[0] for same in by_id.values() if len(same) == 1], problems
