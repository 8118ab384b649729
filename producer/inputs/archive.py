"""An uploaded ZIP, unpacked into an empty folder; what is dangerous or unreadable is left out and named.

Nothing in the archive is believed: sizes are counted while unpacking, names may not leave the folder, links are not
made. Used by the page; knows nothing of jobs.
"""

from __future__ import annotations

import errno
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from producer.inputs.text import shown
from workers.contract.errors import InvalidInput
from workers.contract.job import MAX_PROMPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 16
_ENCRYPTED, _NAME_IS_UTF_8 = 0x1, 0x800
UNREADABLE_ENTRY = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError, OSError, ValueError
)  # fmt: skip
"""What damaged, encrypted or oddly compressed entries raise in the standard library."""
_ENTRY, _END_RECORD, _END_RECORD_64, _LOCATOR = b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END, _END_64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
_LOCATOR_BYTES = 20
_MOST_TAIL_BYTES = _END.size + 0xFFFF + _LOCATOR_BYTES + _END_64.size
"""The record, the longest comment behind it, and ZIP64's locator and record before it."""
_MOST_ENTRY_BYTES = 512
"""Of one entry in the directory, on average: 46 bytes, its path, and what its system adds."""
_LEFT_BEHIND = frozenset(
    {"__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "icon\r"}
)
_LEFT_BEHIND_PREFIXES = (".", "~$")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """How much one archive may become."""

    max_entries: int = 20_000
    max_file_bytes: int = MAX_PROMPT_BYTES
    """A larger file could not be graded anyway."""
    max_total_bytes: int = 512 * 1024 * 1024
    """A course's programs weigh a few megabytes; what becomes this large is a bomb or a mistake."""


@dataclass(slots=True)
class _Room:
    left: int


class _TooLargeError(Exception):
    """The entry, or the archive as a whole, exceeds its bound."""


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden or left behind by an operating system or an editor."""
    return name.startswith(_LEFT_BEHIND_PREFIXES) or name.casefold() in _LEFT_BEHIND


def is_left_behind(path: str) -> bool:
    """Whether the file, or a folder that it lies in, is junk."""
    return any(map(is_junk, path.strip("/").split("/")))


def unpack(file: IO[bytes], folder: Path, *, name: str, limits: ArchiveLimits | None = None) -> list[InvalidInput]:
    """Unpack into `folder`; returns what was left out, one problem each.

    Raises `InvalidInput` when nothing of the archive can be used: not a ZIP, too many entries, a bomb, a full disk.
    """
    limits = limits or ArchiveLimits()
    refuse_long_directory(file, shown(name), limits)
    try:
        with zipfile.ZipFile(file) as archive:
            return list(_unpacked(archive, folder, shown(name), limits))
    except UNREADABLE_ENTRY:
        raise InvalidInput("this is not a ZIP archive, or it is damaged; create it again", where=shown(name)) from None


def entry_path(entry: zipfile.ZipInfo) -> str:
    """The entry's path with slashes. UTF-8 without its mark, as rubyzip and the Finder write it, is read as UTF-8.

    *Source*: APPNOTE.TXT 6.3.10, 4.4.4, bit 11; `zipfile` reads names without it as code page 437.
    """
    name = entry.filename
    if not entry.flag_bits & _NAME_IS_UTF_8 and not name.isascii():
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def refuse_long_directory(file: IO[bytes], name: str, limits: ArchiveLimits) -> None:
    """`InvalidInput` for too many entries, before `zipfile` lists them: of a million it takes 24 s.

    The record at the archive's end names the directory's size and how many entries it has; because it may lie about
    these, their marks are counted. *Source*: APPNOTE.TXT 6.3.10, 4.3.12 to 4.3.16. What has no such record is no ZIP,
    which `zipfile` says.
    """
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _MOST_TAIL_BYTES)
    file.seek(start)
    tail = file.read(_MOST_TAIL_BYTES)
    at = tail.rfind(_END_RECORD)
    if at >= 0 and len(tail) - at >= _END.size:
        *_, entries, directory_bytes, _, _ = _END.unpack_from(tail, at)
        wide = at - _LOCATOR_BYTES - _END_64.size
        if wide >= 0 and tail.startswith(_LOCATOR, at - _LOCATOR_BYTES) and tail.startswith(_END_RECORD_64, wide):
            *_, entries, directory_bytes, _ = _END_64.unpack_from(tail, wide)
            at = wide
        most = limits.max_entries * 2  # folders are entries too
        if directory_bytes <= most * _MOST_ENTRY_BYTES:
            file.seek(max(0, start + at - directory_bytes))
            entries = max(entries, file.read(directory_bytes).count(_ENTRY))
        if entries > most or directory_bytes > most * _MOST_ENTRY_BYTES:
            raise InvalidInput(f"it lists {entries:,} files and folders, more than the {most:,} allowed", where=name)
    file.seek(0)


def _unpacked(archive: zipfile.ZipFile, folder: Path, name: str, limits: ArchiveLimits) -> Iterator[InvalidInput]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    empty = [entry for entry in archive.infolist() if entry.is_dir()]
    if len(entries) > limits.max_entries:
        raise InvalidInput(f"it holds {len(entries):,} files, more than the {limits.max_entries:,} allowed", where=name)
    uses = Counter(entry_path(entry).casefold() for entry in entries)
    room = _Room(limits.max_total_bytes)
    for entry in empty:  # whose folder holds nothing is not to vanish
        with suppress(InvalidInput, *UNREADABLE_ENTRY):
            _target(entry, folder, name).mkdir(parents=True, exist_ok=True)
    for entry in entries:
        where = f"{name}/{shown(entry_path(entry))}"
        try:
            if uses[entry_path(entry).casefold()] > 1:
                raise InvalidInput("the archive holds this name twice; neither was taken", where=where)  # noqa: TRY301
            _unpack_entry(archive, entry, _target(entry, folder, where), limits, room)
        except InvalidInput as problem:
            yield problem
        except _TooLargeError:
            if room.left < 0:
                size = f"{limits.max_total_bytes // 2**20} MiB"
                raise InvalidInput(f"unpacked it exceeds {size}; it was not taken", where=name) from None
            yield InvalidInput(f"the file is larger than {limits.max_file_bytes:,} bytes unpacked", where=where)
        except UNREADABLE_ENTRY as error:
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                # as a whole: a student's folder must not be graded with half of its files
                raise InvalidInput("there is no room left to unpack it; it was not taken", where=name) from None
            yield InvalidInput(_why(error), where=where)


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:  # the system's, not a decompressor's
        return f"the file cannot be stored under its name: {error.strerror}"
    return "the file cannot be unpacked; it is damaged, or compressed in a rare way"


def _target(entry: zipfile.ZipInfo, folder: Path, where: str) -> Path:
    """Where the entry goes; `InvalidInput` when that is outside, or it is no plain file."""
    if entry.flag_bits & _ENCRYPTED:
        raise InvalidInput("the file is encrypted; pack it without a password", where=where)
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise InvalidInput("this is a link or a special file; put a copy in its place", where=where)
    path = PurePosixPath(entry_path(entry))
    has_drive = len(path.parts[0]) > 1 and path.parts[0][1] == ":" if path.parts else True
    if path.is_absolute() or ".." in path.parts or has_drive:
        raise InvalidInput("the path leads out of the archive; it was not taken", where=where)
    return folder.joinpath(*path.parts)


def _unpack_entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, limits: ArchiveLimits, room: _Room
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("xb") as copy:
        try:
            _copy(source, copy, limits.max_file_bytes, room)
        except BaseException:
            target.unlink()  # ours: a file that existed before would have stopped the opening
            raise


def _copy(source: IO[bytes], copy: IO[bytes], max_bytes: int, room: _Room) -> None:
    written = 0
    while chunk := source.read(_CHUNK_BYTES):
        written += len(chunk)
        room.left -= len(chunk)
        if written > max_bytes or room.left < 0:
            raise _TooLargeError
        copy.write(chunk)
