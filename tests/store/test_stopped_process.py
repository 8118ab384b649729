"""A process that was stopped in the middle of a transaction holds up nobody for long (PostgreSQL)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.store.steps import claimed, enqueue, publish, register, states
from workers.contract.errors import ServiceUnavailable
from workers.store import Store, engine
from workers.store.feed import unpublish
from workers.store.liveness import free_dead, read_pulses
from workers.store.sql import lock_jobs
from workers.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def pg_store(postgresql_store: Store) -> Store:
    with postgresql_store.transaction() as connection:
        connection.execute(text("TRUNCATE " + ", ".join(metadata.tables)))
    return postgresql_store


@pytest.fixture
def other_process(pg_store: Store) -> Iterator[Store]:
    store = Store.open(pg_store.engine.url.render_as_string(hide_password=False))
    yield store
    store.close()


def test_freeing_passes_over_what_it_has_locked(pg_store: Store, other_process: Store):
    for worker in ("w1", "w2"):
        register(pg_store, worker)
    [stuck, *others] = claimed(pg_store, 3, "w1")
    with pg_store.snapshot() as connection:
        dead = {worker: pulse.heartbeat_at for worker, pulse in read_pulses(connection).items()}
    with other_process.transaction() as stopped:
        lock_jobs(stopped, [stuck.id])
        stopped.execute(text("UPDATE workers SET pid = 2 WHERE id = 'w2'"))
        freed = pg_store.run(lambda connection: free_dead(connection, dead, at_most=10), lock_seconds=3)
        assert set(freed) == {job.id for job in others}
    assert pg_store.run(lambda connection: free_dead(connection, dead, at_most=10)) == [stuck.id]


def test_publishing_passes_over_what_it_has_locked(pg_store: Store, other_process: Store):
    enqueue(pg_store, 3)
    with pg_store.snapshot() as connection:
        first = connection.execute(text("SELECT id FROM jobs ORDER BY position LIMIT 1")).scalar_one()
    with other_process.transaction() as stopped:
        lock_jobs(stopped, [first])
        assert len(publish(pg_store)) == 2
    assert publish(pg_store) == [first]


def test_a_step_that_needs_the_row_gives_up_within_its_time(pg_store: Store, other_process: Store):
    enqueue(pg_store, 1)
    [job_id] = publish(pg_store)
    with other_process.transaction() as stopped:
        lock_jobs(stopped, [job_id])
        with pytest.raises(ServiceUnavailable, match="lock timeout"):
            pg_store.run(lambda connection: unpublish(connection, [job_id]), lock_seconds=0.05)
    assert pg_store.run(lambda connection: unpublish(connection, [job_id]), lock_seconds=0.05) == 1


def test_its_transaction_is_ended_by_the_server(pg_store: Store, other_process: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "IDLE_WRITING_SECONDS", 1)
    enqueue(pg_store, 1)
    [job_id] = publish(pg_store)
    waits = partial(pg_store.run, lambda connection: unpublish(connection, [job_id]))
    with pytest.raises(ServiceUnavailable):
        stop_inside_a_transaction(other_process, job_id, meanwhile=waits)
    with pg_store.snapshot() as connection:
        published = connection.execute(text("SELECT count(*) FROM jobs WHERE published_at IS NOT NULL")).scalar_one()
    assert published == 0, "who waited for the row has had it"
    assert states(other_process) == {"ready": 1}, "who was stopped connects anew"


def stop_inside_a_transaction(store: Store, job_id: str, *, meanwhile: Callable[[], object]) -> None:
    with store.transaction() as stopped:
        lock_jobs(stopped, [job_id])
        meanwhile()
        stopped.execute(text("SELECT 1"))
