"""Paid answers on disk while the store cannot take them; a worker of this machine stores them as soon as it can.

One file per worker under `<data folder>/spool`, mode 0600: JSON lines of updates, with answers, without prompts.
Its room is reserved when the worker starts and overwritten in place, so that a disk that has filled up since takes no
answer away; NUL bytes follow the last line. Its worker holds a lock on it while it lives, who takes it up holds one
while it does; so a file is taken up once, by one, and only when nobody writes to it. Taking it up twice after a crash
changes nothing. A line that cannot be read, because it is torn or a newer version wrote it, is kept in a `.kept` file
beside it, which every take-up tries again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from typing import IO, TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from workers.contract.errors import ServiceUnavailable
from workers.log import get_logger
from workers.store.admission import lock_gates
from workers.store.job_update import apply_updates, storable_forms
from workers.store.spool_lines import read_line, written_line
from workers.store.sql import LIST_LENGTH, lock_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from workers.store.engine import Store
    from workers.store.job_update import JobUpdate

logger = get_logger(__name__)

BYTES_PER_JOB = 32 * 1024
"""Reserved per job in flight: twice an answer of 4,096 tokens with its escapes. While the store is away no job is
claimed, so that there is at most one answer for each."""
UNSAVED_EXIT = 74
"""Exit status of a worker that ended with paid answers it could save nowhere; EX_IOERR of sysexits.h."""
BLOCK = b"\0" * 65_536


class Spool:
    """Where one worker puts what it cannot store. One thread at a time may use it."""

    def __init__(self, data_dir: Path, store: Store, *, worker_id: str) -> None:
        self._folder = spool_folder(data_dir, store)
        self._path = self._folder / f"{worker_id}.jsonl"
        self._file: IO[bytes] | None = None
        self._used = 0

    @property
    def folder(self) -> Path:
        """Where the files are, for people."""
        return self._folder

    def reserve(self, jobs: int) -> None:
        """Take room for so many answers now. Raises `ServiceUnavailable` when the disk does not have it."""
        try:
            _allocate(self._opened().fileno(), jobs * BYTES_PER_JOB)
        except OSError as error:
            self.close()
            raise ServiceUnavailable(
                "disk",
                f"cannot reserve {jobs * BYTES_PER_JOB // 2**20} MiB in {self._folder} for paid answers: "
                f"{error.strerror}; free some space, lower --concurrency, or set GRADEQUEUE_DATA_DIR",
            ) from None

    def keep(self, updates: Sequence[JobUpdate]) -> int:
        """Write them down, on disk when this returns; returns how many. A release alone is not worth it.

        Raises `OSError` when the disk refuses; what was written before stays.
        """
        lines = [_line(each) for each in updates if each.closing or each.ending]
        if lines:
            descriptor = self._opened().fileno()
            _write(descriptor, b"".join(lines), at=self._used)
            os.fsync(descriptor)
            self._used += sum(map(len, lines))
        return len(lines)

    def clear(self) -> None:
        """Everything in it was stored; its room stays reserved."""
        if self._file is not None and self._used:
            for start in range(0, self._used, len(BLOCK)):
                _write(self._file.fileno(), BLOCK[: self._used - start], at=start)
            self._used = 0

    def close(self) -> None:
        """Give the spare room back, and let others take the file up."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with file:
            if self._used:
                file.truncate(self._used)
            else:
                self._path.unlink(missing_ok=True)

    def _opened(self) -> IO[bytes]:
        while self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            file = os.fdopen(descriptor, "r+b", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                self._file = file
            else:  # a worker that starts has taken the empty file up before it was locked
                file.close()
        return self._file


def _line(update: JobUpdate) -> bytes:
    """One that cannot be written as it is must not keep the others in memory."""
    try:
        return written_line(update)
    except (ValueError, TypeError, RecursionError):
        return written_line(storable_forms(update)[-1])


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for start in range(0, size, len(BLOCK)):  # macOS
        _write(descriptor, BLOCK[: size - start], at=start)


def _write(descriptor: int, content: bytes, *, at: int) -> None:
    """All of it: a disk that is filling up takes a part, and says so with the next call."""
    while content:
        written = os.pwrite(descriptor, content, at)
        content, at = content[written:], at + written


def spool_folder(data_dir: Path, store: Store) -> Path:
    """A folder per store: answers must not end in another one because a URL was changed."""
    url = store.engine.url
    place = f"{url.get_backend_name()}:{url.host}:{url.port}:{url.database}"
    return data_dir.expanduser().absolute() / "spool" / hashlib.sha256(place.encode()).hexdigest()[:12]


def take_up(data_dir: Path, store: Store, *, kept_too: bool = True) -> int:
    """Store what workers that ended left behind; returns how many updates. Raises `ServiceUnavailable`.

    `kept_too`: also what could not be read before, which a newer version may be able to.
    """
    folder = spool_folder(data_dir, store)
    patterns = ("*.jsonl", "*.kept") if kept_too else ("*.jsonl",)
    taken = 0
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        try:
            file = path.open("rb")
        except FileNotFoundError:  # somebody else was quicker
            continue
        with file:
            if _is_ours_alone(file, path):
                taken += _take_up_file(file, path, store)
    return taken


def _is_ours_alone(file: IO[bytes], path: Path) -> bool:
    """True when nobody writes or reads the file; the lock goes with the open file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return path.exists()  # who had the lock before us may have finished the file and removed it


def _take_up_file(file: IO[bytes], path: Path, store: Store) -> int:
    lines = _lines(file)
    read = [(line, update) for line in lines if (update := read_line(line)) is not None]
    refused: list[bytes] = []
    for start in range(0, len(read), LIST_LENGTH):
        refused += _store(store, read[start : start + LIST_LENGTH])
    taken = len(read) - len(refused)
    if taken:
        logger.warning("spool.taken_up", file=path.name, updates=taken)
    readable = {line for line, _update in read}
    left = [line for line in lines if line not in readable] + refused
    if _has_put_aside(left, path):
        path.unlink()
    return taken


def _lines(file: IO[bytes]) -> list[bytes]:
    """Up to the reserved room behind the last line."""
    lines = []
    for line in file:
        content, *reserved = line.split(b"\0", 1)
        if content.strip():
            lines.append(content.rstrip(b"\n") + b"\n")
        if reserved:
            break
    return lines


def _has_put_aside(lines: list[bytes], path: Path) -> bool:
    """True when the lines are safe in another file; a disk that is full leaves them where they are."""
    if not lines:
        return True
    kept = path.with_name(f"{hashlib.sha256(b''.join(lines)).hexdigest()[:24]}.kept")
    if kept == path:
        return False  # the same lines as before, and said then
    try:
        _replace(kept, b"".join(lines))
    except OSError as error:
        logger.error("spool.lines_not_put_aside", file=path.name, reason=error.strerror)  # noqa: TRY400
        return False
    logger.error(
        "spool.lines_kept",
        lines=len(lines),
        file=kept.name,
        reason="torn, refused by the store, or written by a newer gradequeue, whose workers take them up",
    )
    return True


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write(descriptor, content, at=0)
        os.fsync(descriptor)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    partial.replace(path)


def _store(store: Store, read: Sequence[tuple[bytes, JobUpdate]]) -> list[bytes]:
    """Store them all; returns the lines of those that the store refuses in every form."""
    try:
        store.run(lambda connection: _apply(connection, [update for _line, update in read]))
    except (SQLAlchemyError, ValueError, TypeError) as error:
        if len(read) > 1:
            return [line for each in read for line in _store(store, [each])]
        logger.error("spool.row_refused", error=type(error).__name__)  # noqa: TRY400 - its text may quote a row
        [(line, update)] = read
        if not (forms := storable_forms(update)):
            return [line]
        return _store(store, [(line, forms[0])])
    return []


def _apply(connection: Connection, updates: Sequence[JobUpdate]) -> None:
    gates = lock_gates(
        connection,
        closings=[each.closing for each in updates if each.closing],
        endings=[each.ending for each in updates if each.ending],
    )
    locked = lock_jobs(connection, set().union(*(each.job_ids for each in updates)))
    apply_updates(connection, updates, locked=locked, gates=gates)
    gates.write()
