"""Connections that the server ends in the middle of the work: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import event, text

from tests.store.steps import answered, claim, endings, enqueue, opening, outcome_rows, publish, states, success
from tests.support.postgres import SERVER, fresh_schema
from workers.store import Store
from workers.store import writer as module
from workers.store.admission import Admission
from workers.store.job_update import JobUpdate
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

JOBS = 300
LEAST_KILLS = 4
KILL_EVERY_SECONDS = 0.3
"""Longer than it takes to connect on a busy machine."""


@pytest.fixture
def pg_store() -> Iterator[Store]:
    with fresh_schema() as url:
        store = Store.open(url)
        store.migrate()
        yield store
        store.close()


def backends(store: Store) -> list[int]:
    """Process ids of the server's side of every connection that the store opens from now on."""
    pids: list[int] = []
    store.engine.dispose()
    event.listen(store.engine, "connect", lambda connection, _record: pids.append(connection.info.backend_pid))
    return pids


class Killer(threading.Thread):
    """Ends the store's sessions that are at work, again and again, until stopped."""

    def __init__(self, store: Store) -> None:
        super().__init__(daemon=True)
        self._pids = backends(store)
        self._stopping = threading.Event()
        self._killed: set[int] = set()
        self.enough = threading.Event()

    def run(self) -> None:
        with psycopg.connect(SERVER, autocommit=True) as server:
            while not self.enough.is_set() and not self._stopping.wait(KILL_EVERY_SECONDS):
                rows = server.execute(
                    "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid = ANY(%s) AND state <> 'idle'",
                    [list(self._pids)],
                )
                self._killed.update(pid for pid, _was_sent in rows)
                if len(self._killed) >= LEAST_KILLS:
                    self.enough.set()

    def stop(self) -> None:
        self._stopping.set()
        self.join()


async def test_a_writer_whose_backend_is_killed_loses_nothing(pg_store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    store = pg_store
    writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop())
    writer.start()
    killer = Killer(store)
    enqueue(store, JOBS)
    ids = publish(store)
    jobs = claim(store, ids)
    killer.start()

    async def grade(job_id: str) -> bool:
        job: Any = jobs[job_id]
        sent = opening(job)
        assert await writer.open_attempt(sent) is Admission.MAY_SEND, "a repetition finds its own row"
        return await writer.persist(JobUpdate(closing=answered(sent.attempt_id), ending=success(job)))

    for start in range(0, JOBS, 30):
        await asyncio.gather(*(grade(job_id) for job_id in ids[start : start + 30]))
    deadline = time.monotonic() + 60
    while (
        not killer.enough.is_set() and time.monotonic() < deadline
    ):  # the work was quicker: keep the connection busy until it was killed
        await asyncio.gather(*(writer.claim(job_id) for job_id in ids))
    killer.stop()
    assert killer.enough.is_set(), "it was killed in the middle of its work"
    await asyncio.to_thread(writer.stop, patience_seconds=10)

    assert states(store) == {"succeeded": JOBS}
    assert len(outcome_rows(store)) == JOBS
    assert endings(store) == {"answered": JOBS}


def test_more_threads_than_connections_take_turns(pg_store: Store):
    """A pool that is used up makes who comes wait; it does not fail."""
    holding = threading.Barrier(15, timeout=60)

    def use() -> None:
        holding.wait()
        for _ in range(3):
            pg_store.run(lambda connection: connection.execute(text("SELECT pg_sleep(0.01)")))

    threads = [threading.Thread(target=use) for _ in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pg_store.engine.pool.status()


def test_a_pool_of_sessions_that_were_all_killed_recovers_at_the_next_use(pg_store: Store):
    pids = backends(pg_store)
    with pg_store.transaction() as first, pg_store.transaction() as second:
        first.execute(text("SELECT 1"))
        second.execute(text("SELECT 1"))
    with psycopg.connect(SERVER, autocommit=True) as server:
        ended = server.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM unnest(%s::int[]) AS pid", [pids]
        ).fetchone()
    assert ended == (2,)
    assert [states(pg_store), states(pg_store)] == [{}, {}], "sessions that were idle when killed are replaced unseen"
