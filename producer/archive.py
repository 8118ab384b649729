"""A ZIP somebody uploaded, unpacked into an empty folder; what is dangerous or unreadable is left out and named.

Nothing in the archive is believed: sizes are counted while unpacking, names may not leave the folder, links are not
made. Used by the page; knows nothing of jobs.
"""

from __future__ import annotations

import errno
import lzma
import stat
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from producer.inputs.text import shown
from workers.contract.errors import InvalidInput
from workers.contract.job import MAX_PROMPT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 16
_ENCRYPTED = 0x1
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError, OSError, ValueError
)  # fmt: skip
"""What damaged, encrypted or oddly compressed entries raise in the standard library."""
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


def unpack(file: IO[bytes], folder: Path, *, name: str, limits: ArchiveLimits | None = None) -> list[InvalidInput]:
    """Unpack into `folder`; returns what was left out, one problem each.

    Raises `InvalidInput` when nothing of the archive can be used: not a ZIP, too many entries, a bomb, a full disk.
    """
    limits = limits or ArchiveLimits()
    try:
        with zipfile.ZipFile(file) as archive:
            return list(_unpacked(archive, folder, shown(name), limits))
    except _UNREADABLE:
        raise InvalidInput("this is not a ZIP archive that can be read; make it anew", where=shown(name)) from None


def _unpacked(archive: zipfile.ZipFile, folder: Path, name: str, limits: ArchiveLimits) -> Iterator[InvalidInput]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > limits.max_entries:
        raise InvalidInput(f"it holds {len(entries):,} files, more than the {limits.max_entries:,} allowed", where=name)
    uses = Counter(entry.filename.replace("\\", "/").casefold() for entry in entries)
    room = _Room(limits.max_total_bytes)
    for entry in entries:
        where = f"{name}/{shown(entry.filename)}"
        try:
            if uses[entry.filename.replace("\\", "/").casefold()] > 1:
                raise InvalidInput("the archive holds this name twice; neither was taken", where=where)  # noqa: TRY301
            _unpack_entry(archive, entry, _target(entry, folder, where), limits, room)
        except InvalidInput as problem:
            yield problem
        except _TooLargeError:
            if room.left < 0:
                size = f"{limits.max_total_bytes // 2**20} MiB"
                raise InvalidInput(f"unpacked it exceeds {size}; it was not taken", where=name) from None
            yield InvalidInput(f"the file is larger than {limits.max_file_bytes:,} bytes unpacked", where=where)
        except _UNREADABLE as error:
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
    path = PurePosixPath(entry.filename.replace("\\", "/"))
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
            target.unlink()  # ours: what stood there before would have stopped the opening
            raise


def _copy(source: IO[bytes], copy: IO[bytes], max_bytes: int, room: _Room) -> None:
    written = 0
    while chunk := source.read(_CHUNK_BYTES):
        written += len(chunk)
        room.left -= len(chunk)
        if written > max_bytes or room.left < 0:
            raise _TooLargeError
        copy.write(chunk)
