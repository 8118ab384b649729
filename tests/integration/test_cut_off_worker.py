"""A real worker that stands still until its jobs are taken from it, and then writes the answers that it paid for."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from ops.bench.chaos.audit import open_calls
from ops.bench.chaos.services import Cluster, cluster
from tests.support.scene import open_scene
from tests.support.stores import new_store
from tests.support.wait import wait_until
from workers.store import Store
from workers.store.tables import batches, outcomes, workers
from workers.store.tallies import recount

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Row

pytestmark = pytest.mark.integration

JOBS = 12


@pytest.fixture(params=["sqlite", "postgresql"])
def either_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        store = new_store(tmp_path / "store.db")
        yield store
        store.close()
        return
    if not Cluster.is_possible():
        pytest.skip("PostgreSQL is not installed here")
    with cluster() as made:
        store = Store.open(made.url)
        store.migrate()
        yield store
        store.close()


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_free(store: Store, pid: int) -> bool:
    """Nothing of it is open in the ledger: it was taken for dead."""
    return not open_calls(store).get(pid)


def is_alive(store: Store, pid: int) -> bool:
    with store.snapshot() as connection:
        row = connection.execute(select(workers.c.stopped_at).where(workers.c.pid == pid)).one()
    return row.stopped_at is None


def outcomes_by_job(store: Store) -> dict[str, Row[Any]]:
    """Of the batch `b`."""
    columns = (outcomes.c.job_id, outcomes.c.claim, outcomes.c.result, outcomes.c.failure_kind)
    of_batch = select(batches.c.id).where(batches.c.name == "b").scalar_subquery()
    with store.snapshot() as connection:
        rows = connection.execute(select(*columns).where(outcomes.c.batch_id == of_batch)).all()
    return {row.job_id: row for row in rows}


@pytest.mark.parametrize("others_are_done", [False, True])
def test_its_answers_count_unless_another_worker_was_first_and_every_request_is_on_record(
    either_store: Store,
    tmp_path: Path,
    others_are_done: bool,  # noqa: FBT001 - pytest gives it
):
    store = either_store
    with open_scene(store, tmp_path, workers=2, latency_ms="5", GRADEQUEUE_DEAD_AFTER="2") as scene:
        scene.begin_calls(JOBS, "b")
        calls = open_calls(store)
        cut_off = min(calls, key=lambda pid: calls[pid])
        lost = calls[cut_off]
        with standing_still(cut_off):
            scene.answer(JOBS)
            scene.provider.configure(answers=others_are_done)
            wait_until(lambda: is_free(store, cut_off), "its jobs are taken from it")
            if others_are_done:
                scene.wait_for("b", lambda progress: progress.is_finished, "the other one has graded them")
            else:
                scene.wait_for(
                    "b", lambda _progress: scene.provider.stats()["in_flight"] == lost, "the other one asks again"
                )
            before = outcomes_by_job(store)
        if not others_are_done:
            scene.wait_for("b", lambda progress: progress.is_finished, "its own answers are stored")
            scene.provider.configure(answers=True)
        wait_until(lambda: scene.progress("b").attempts == {"answered": JOBS + lost}, "every request is on record")

        progress = scene.progress("b")
        assert progress.succeeded == JOBS
        assert progress.repeats.repeated == lost
        assert scene.provider.stats()["answered"] == JOBS + lost
        after = outcomes_by_job(store)
        assert {job: after[job] for job in before} == before, "no outcome was overwritten"
        second_claims = [row.claim for row in after.values() if row.claim > 1]
        assert (len(after), len(second_claims)) == (JOBS, lost if others_are_done else 0)
        with store.snapshot() as connection:
            assert recount(connection) == {}
        wait_until(lambda: is_alive(store, cut_off), "its heartbeat is back")
        scene.begin_calls(2 * JOBS, "c")
        assert open_calls(store)[cut_off] == JOBS, "it takes jobs again"
        scene.provider.configure(answers=True)
