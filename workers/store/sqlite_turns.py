"""Write transactions of one SQLite file take turns, so that a click's is not starved by a bulk worker's group commits.

SQLite serves the connection that asks at the right moment, and others look again after up to 0.1 s: a writer that
commits all the time is nearly always first. Here, who wants to write takes the turnstile (a lock on a file beside the
database), waits in it for the write lock, and leaves it once it has that: so who has just written is behind those who
waited. Both are looked at every few milliseconds.

The turnstile is a courtesy: SQLite's own lock protects the file. It is given up after some seconds, so that a
process that was stopped in it holds up nobody for ever; a process that dies leaves it.
*Source*: sqlite3.c, `sqliteDefaultBusyCallback`: waits of 1 ms at first and of 100 ms from the twelfth on (3.50).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = "-turns"
"""Of the turnstile's file, behind the database's name."""
LOOK_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005)
"""Between two looks; the last one again and again."""
LONGEST_IN_TURN_SECONDS = 5.0
"""In the turnstile, and for it: longer than any transaction of ours lasts."""


def open_turnstile(database: str | None) -> int | None:
    """A descriptor for one connection, to be closed with it; None where there can be no such file."""
    if not database or database.startswith((":", "file:")):
        return None
    try:
        return os.open(f"{database}{SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


def begin_in_turn(connection: sqlite3.Connection, turnstile: int | None, *, within_seconds: float) -> bool:
    """Begin a write transaction; false when the file was locked all the time, or cannot be written."""
    deadline = time.monotonic() + within_seconds
    with without_busy_handler(connection, within_seconds), _entered(turnstile):
        for pause_seconds in _looks():
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                is_locked = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
                if not is_locked or time.monotonic() > deadline:
                    return False
            else:
                return True
            time.sleep(pause_seconds)
    raise AssertionError("unreachable")


@contextmanager
def without_busy_handler(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """A locked file is an error at once; afterwards it is waited for so long again."""
    connection.execute("PRAGMA busy_timeout=0")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")


@contextmanager
def _entered(turnstile: int | None) -> Iterator[None]:
    """In the turnstile, or past it after a while."""
    if turnstile is None:
        yield
        return
    deadline = time.monotonic() + LONGEST_IN_TURN_SECONDS
    for pause_seconds in _looks():
        try:
            fcntl.flock(turnstile, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
            time.sleep(pause_seconds)
        except OSError:
            break
        else:
            break
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(turnstile, fcntl.LOCK_UN)


def _looks() -> Iterator[float]:
    yield from LOOK_SECONDS
    while True:
        yield LOOK_SECONDS[-1]
