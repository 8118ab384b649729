"""Writers of one SQLite file take turns: who waits is served before who has just written."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.stores import new_store
from tests.support.wait import wait_until
from workers.contract.errors import ServiceUnavailable
from workers.store import sqlite_turns
from workers.store.sqlite_turns import begin_in_turn, open_turnstile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Writer:
    """One connection with its turnstile."""

    def __init__(self, file: Path) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=30)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.turnstile = open_turnstile(str(file))

    def begin(self, *, within_seconds: float = 30.0) -> bool:
        return begin_in_turn(self.connection, self.turnstile, within_seconds=within_seconds)

    def commit(self) -> None:
        self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()
        if self.turnstile is not None:
            os.close(self.turnstile)


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[tuple[Writer, Writer]]:
    both = Writer(tmp_path / "store.db"), Writer(tmp_path / "store.db")
    yield both
    for each in both:
        each.close()


def is_waited_in(writer: Writer) -> bool:
    """Somebody is in the turnstile."""
    assert writer.turnstile is not None
    try:
        fcntl.flock(writer.turnstile, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(writer.turnstile, fcntl.LOCK_UN)
    return False


def test_who_waits_writes_before_who_has_just_written(writers: tuple[Writer, Writer]):
    busy, click = writers
    assert busy.begin()
    order: list[str] = []

    def write() -> None:
        assert click.begin()
        order.append("click")
        click.commit()

    waiting = threading.Thread(target=write)
    waiting.start()
    wait_until(lambda: is_waited_in(busy), "the click waits")
    busy.commit()
    assert busy.begin(), "asked for at once, and had only after the click"
    order.append("busy")
    waiting.join()
    busy.commit()
    assert order == ["click", "busy"]


def test_a_file_that_stays_locked_is_given_up_and_the_busy_handler_is_back(writers: tuple[Writer, Writer]):
    holder, other = writers
    assert holder.begin()
    assert not other.begin(within_seconds=0.01)
    assert other.connection.execute("PRAGMA busy_timeout").fetchone() == (10,)
    assert not is_waited_in(holder)
    holder.commit()
    assert other.begin(within_seconds=0.01)
    other.commit()


def test_a_file_that_cannot_be_written_is_a_store_that_is_away(tmp_path: Path):
    store = new_store(tmp_path / "store.db")
    store.close()
    (tmp_path / "store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ServiceUnavailable, match="not a database"):
        store.run(lambda _connection: None)
    store.close()


def test_a_turnstile_that_nobody_leaves_is_passed(writers: tuple[Writer, Writer], monkeypatch: pytest.MonkeyPatch):
    """A process that was stopped in it must not end the writing of all others."""
    stopped, other = writers
    assert stopped.turnstile is not None
    fcntl.flock(stopped.turnstile, fcntl.LOCK_EX)
    monkeypatch.setattr(sqlite_turns, "LONGEST_IN_TURN_SECONDS", 0.01)
    assert other.begin()
    other.commit()


def test_without_a_file_beside_the_database_it_writes_all_the_same(tmp_path: Path):
    assert [open_turnstile(name) for name in (None, ":memory:", str(tmp_path / "missing" / "store.db"))] == [None] * 3
    writer = Writer(tmp_path / "store.db")
    assert writer.turnstile is not None
    os.close(writer.turnstile)
    writer.turnstile = None
    assert writer.begin()
    writer.close()
