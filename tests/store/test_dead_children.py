"""A worker whose end its parent has seen gives its jobs back at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from producer.local.dead_workers import free_jobs_of
from tests.store.steps import claimed, job_row, register, send, states, success
from workers.store.spool import Spool
from workers.store.tables import attempts, workers
from workers.store.writer import JobUpdate

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store import Store


def url_of(store: Store) -> str:
    return store.engine.url.render_as_string(hide_password=False)


def test_its_jobs_wait_again_although_its_heartbeat_is_fresh_and_other_workers_keep_theirs(
    store: Store, tmp_path: Path
):
    register(store, "w1")
    register(store, "w2")
    mine = claimed(store, 3, worker="w1")
    send(store, mine[0])
    [other] = claimed(store, worker="w2")

    assert free_jobs_of("w1", database_url=url_of(store), data_dir=tmp_path) == 3
    assert free_jobs_of("w1", database_url=url_of(store), data_dir=tmp_path) == 0

    assert states(store) == {"ready": 3, "running": 1}
    assert job_row(store, other.id).worker_id == "w2"
    assert job_row(store, mine[0].id).lost_claims == 1, "it died, and did not stop"
    with store.snapshot() as connection:
        assert connection.execute(select(attempts.c.ending)).scalars().all() == ["unknown"]
        stopped = select(workers.c.id).where(workers.c.stopped_at.is_not(None))
        assert connection.execute(stopped).scalars().all() == ["w1"]


def test_a_worker_that_ended_before_it_began_held_nothing(store: Store, tmp_path: Path):
    assert free_jobs_of("nobody", database_url=url_of(store), data_dir=tmp_path) == 0


def test_what_it_spooled_is_stored_before_its_jobs_are_freed(store: Store, tmp_path: Path):
    register(store, "w1")
    paid, waiting = claimed(store, 2, worker="w1")
    spool = Spool(tmp_path, store, worker_id="w1")
    spool.reserve(2)
    spool.keep([JobUpdate(ending=success(paid))])
    spool.close()

    assert free_jobs_of("w1", database_url=url_of(store), data_dir=tmp_path) == 1

    assert job_row(store, paid.id).state == "succeeded"
    assert job_row(store, waiting.id).state == "ready"


def test_a_store_that_is_away_is_left_to_the_heartbeat(tmp_path: Path):
    assert free_jobs_of("w1", database_url=f"sqlite:///{tmp_path}/missing/store.db", data_dir=tmp_path) == 0
