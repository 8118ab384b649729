"""A store moved from a file to PostgreSQL has the same rows, goes on with its numbers, and is used by nobody before."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import inspect, text, update

from producer.cli.commands import cli
from tests.store.steps import answered, claimed, enqueue, failure, move_clock, persist, register, send, success
from tests.support.postgres import fresh_schema
from tests.support.stores import new_store
from workers.contract.errors import InvalidInput, ServiceUnavailable
from workers.contract.flag import Flag, FlagKind
from workers.store import Store, moving
from workers.store.history import read_ledger_lines, read_outcome_lines
from workers.store.moving import move_store, moved_tables
from workers.store.result_lines import read_result_lines
from workers.store.result_pages import Wanted
from workers.store.steering import retry_failed
from workers.store.tables import jobs, metadata
from workers.store.tallies import recount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def target() -> Iterator[Store]:
    """An empty database."""
    with fresh_schema() as url:
        store = Store.open(url)
        yield store
        store.close()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Store]:
    """A used store: successes, failures, a second round, flags, requests, JSON that is written in several ways."""
    store = new_store(tmp_path / "store.db")
    given = claimed(store, 5)
    flag = Flag(kind=FlagKind.OFF_TASK, path="p", message="ü\t\\N\n")
    for number, job in enumerate(given[:4]):
        attempt = send(store, job)
        assert attempt is not None
        persist(store, closing=answered(attempt, cost_usd=0.1 * number), ending=None)
        persist(store, ending=failure(job) if number == 3 else success(job, flags=(flag,) * number))
    retry_failed(store, "b")
    enqueue(store, 3, name="c")
    with store.transaction() as connection:
        connection.execute(update(jobs).where(jobs.c.id == given[0].id).values(metadata={"ü": [1.50, None, "\\"]}))
        connection.exec_driver_sql("UPDATE jobs SET parameters = '{ \"spaced\" :1.50}' WHERE batch_id = 2")
    yield store
    store.close()


def everything(store: Store) -> list[str]:
    with store.snapshot() as connection:
        return [
            line
            for name in ("b", "c")
            for lines in (
                read_result_lines(connection, name, Wanted()),
                read_outcome_lines(connection, name),
                read_ledger_lines(connection, name),
            )
            for line in lines
        ]


def test_a_moved_store_has_the_same_rows_counts_identity_and_next_numbers(source: Store, target: Store):
    moved = {each.table: each.rows for each in move_store(source, target)}

    assert everything(target) == everything(source)
    assert (moved["jobs"], moved["attempts"], moved["batches"], moved["flags"]) == (8, 4, 2, 3)
    assert target.id == source.id
    target.prepare()
    with target.snapshot() as connection:
        assert recount(connection) == {}
        assert connection.execute(text("SELECT sum(jobs) FROM job_tallies")).scalar() == 8
        kept = connection.execute(text("SELECT DISTINCT CAST(parameters AS TEXT) FROM jobs WHERE batch_id = 2"))
        assert kept.scalars().all() == ['{ "spaced" :1.50}']
    enqueue(target, 1, name="d")
    with target.snapshot() as connection:
        assert connection.execute(text("SELECT id FROM batches WHERE name = 'd'")).scalar() == 3


def test_every_table_is_moved_or_has_a_reason_not_to_be():
    left = {table.name for table in metadata.sorted_tables} - {table.name for table in moved_tables()}
    assert left == {"leases", "store_identity", "backfills", "job_tallies", "attempt_tallies", "finding_tallies"}


def test_a_copy_that_broke_off_is_used_by_nobody_and_is_resumed_without_copying_again(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(moving, "CHUNK_ROWS", 2)
    written: list[int] = []
    original = moving._write

    def breaking(connection: object, table: object, rows: list[object]) -> None:
        if len(written) == 4:
            raise ConnectionAbortedError
        written.append(len(rows))
        original(connection, table, rows)  # type: ignore[arg-type] # as it was given

    monkeypatch.setattr(moving, "_write", breaking)
    with suppress(ConnectionAbortedError):
        move_store(source, target)
    with pytest.raises(ServiceUnavailable, match="copy that is not complete"):
        target.prepare()

    monkeypatch.setattr(moving, "_write", lambda *given: (written.append(len(given[2])), original(*given)))
    move_store(source, target)
    assert everything(target) == everything(source)
    with target.snapshot() as connection:
        rows = sum(connection.execute(text(f"SELECT count(*) FROM {each.name}")).scalar() for each in moved_tables())
    assert sum(written) == rows


def test_a_file_that_changed_since_its_copy_broke_off_is_noticed(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_given: object) -> None:
        raise ConnectionAbortedError

    with monkeypatch.context() as patch:
        patch.setattr(moving, "_compared", broken)
        with suppress(ConnectionAbortedError):
            move_store(source, target)
    with source.transaction() as connection:
        connection.execute(text("UPDATE jobs SET model = 'another' WHERE position = 0 AND batch_id = 1"))
    with pytest.raises(InvalidInput, match="the copy of jobs differs from the file"):
        move_store(source, target)
    with pytest.raises(ServiceUnavailable, match="not complete"):
        target.prepare()


def test_another_files_unfinished_copy_and_a_store_in_use_are_refused(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
):
    target.migrate()
    enqueue(target, 1)
    with pytest.raises(InvalidInput, match=r"not empty \(batches\)"):
        move_store(source, target)

    with fresh_schema() as url:
        half = Store.open(url)
        monkeypatch.setattr(moving, "_finish", lambda *_given: None)
        move_store(source, half)
        with source.transaction() as connection:
            connection.execute(text("UPDATE store_identity SET id = 'another'"))
        with pytest.raises(InvalidInput, match="unfinished copy of another file"):
            move_store(source, half)
        half.close()


def test_a_store_with_a_living_worker_is_not_moved(source: Store, target: Store):
    register(source, "w9")
    with pytest.raises(InvalidInput, match=r"a worker uses the store \(process 1 on h\)"):
        move_store(source, target)
    assert target.revision is None
    move_clock(source, "workers", "heartbeat_at", 60)
    move_store(source, target)


def test_the_command_moves_a_file_and_refuses_what_is_no_file(source: Store, target: Store, tmp_path: Path):
    run = CliRunner()
    urls = [each.engine.url.render_as_string(hide_password=False) for each in (source, target)]
    missing = run.invoke(cli, ["migrate", f"sqlite:///{tmp_path / 'nowhere.db'}", urls[1]])
    assert (missing.exit_code, (tmp_path / "nowhere.db").exists()) == (2, False)
    assert run.invoke(cli, ["migrate", urls[1], urls[0]]).exit_code == 2

    done = run.invoke(cli, ["migrate", urls[0]], env={"DATABASE_URL": urls[1]})
    assert (done.exit_code, "jobs: 8 rows, equal" in done.output) == (0, True)
    assert [json.loads(line) for line in everything(target)] == [json.loads(line) for line in everything(source)]


def test_every_table_is_known_to_who_moves_a_store(store: Store):
    """A table whose module nobody had imported would be left behind."""
    code = "import workers.store.moving as m; print(*m.metadata.tables)"
    known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    with store.snapshot() as connection:
        there = set(inspect(connection).get_table_names())
    assert there - {"alembic_version"} <= set(known)
