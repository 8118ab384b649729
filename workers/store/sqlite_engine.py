"""Connections to a SQLite file: its journal, its turns, and how its transactions begin. Only `engine` imports this."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event

from workers.contract.errors import ServiceUnavailable
from workers.store.sqlite_turns import begin_in_turn, open_turnstile, without_busy_handler

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

SQLITE_BUSY_SECONDS = 30.0
"""Several workers, a page and the sweeper share one file; each write is short, so waiting is right."""
BEGIN_OPTION = "gradequeue_begin"
"""Execution option: the statement that begins a transaction, in place of the one for writing; empty for none."""
_TURNSTILE = "gradequeue_turnstile"


def sqlite_engine(url: URL) -> Engine:
    """Connections to one file; raises `ServiceUnavailable` when its folder cannot be made."""
    _make_folder(Path(url.database or ""))
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        record.info[_TURNSTILE] = open_turnstile(url.database)
        connection.isolation_level = None  # BEGIN is ours: see _begin
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous=FULL")  # a commit acknowledged to the broker must survive a power cut
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA temp_store=MEMORY")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        begin = connection.get_execution_options().get(BEGIN_OPTION)
        if begin is not None:
            if begin:
                connection.exec_driver_sql(begin)
            return
        # IMMEDIATE: a transaction that reads first and writes later could not take the lock without starting over
        driver: Any = connection.connection.driver_connection
        if not begin_in_turn(driver, connection.info.get(_TURNSTILE), within_seconds=SQLITE_BUSY_SECONDS):
            with without_busy_handler(driver, SQLITE_BUSY_SECONDS):
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # says why, as SQLAlchemy says it of every statement

    @event.listens_for(engine, "close")
    def _leave(_connection: Any, record: Any) -> None:
        if (turnstile := record.info.pop(_TURNSTILE, None)) is not None:
            os.close(turnstile)

    return engine


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for others when it changes a file's journal mode, so the first openers take turns here."""
    deadline = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ServiceUnavailable("store", f"cannot create {file.parent}: {error.strerror}") from None
