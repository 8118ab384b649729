"""A worker that was taken for dead, because its host was cut off, comes back and writes what it still has."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from sqlalchemy import select

from tests.store.steps import (
    answered,
    claim,
    claimed,
    endings,
    enqueue,
    failure,
    job_row,
    outcome_rows,
    persist,
    publish,
    register,
    send,
    success,
)
from tests.store.test_writer import writing
from workers.store.job_update import JobUpdate
from workers.store.liveness import beat, free_dead, read_pulses
from workers.store.progress import read_progress
from workers.store.releases import Release
from workers.store.steering import cancel_batch
from workers.store.tables import workers
from workers.store.tallies import recount

if TYPE_CHECKING:
    from workers.store import Store

CUT_OFF, OTHER = "w1", "w2"


def free_what_it_holds(store: Store) -> None:
    with store.snapshot() as connection:
        pulse = read_pulses(connection)[CUT_OFF]
    store.run(lambda connection: free_dead(connection, {CUT_OFF: pulse.heartbeat_at}, at_most=100))


def grades(store: Store) -> dict[str, int | None]:
    """By job; None for a failure."""
    return {row.job_id: json.loads(row.result)["grade"] if row.result else None for row in outcome_rows(store)}


async def test_each_late_answer_counts_where_its_job_has_none_and_stands_in_the_ledger_otherwise(store: Store):
    register(store, CUT_OFF, silent_seconds=60)
    register(store, OTHER)
    held = claimed(store, 5, CUT_OFF)
    enqueue(store, 1, name="cancelled")
    held += claim(store, publish(store), CUT_OFF).values()
    sent = {job.id: send(store, job, CUT_OFF) or "" for job in held}
    free_what_it_holds(store)
    assert endings(store) == {"unknown": 6}

    waiting, running, done, failed, released, cancelled = held
    publish(store)
    again = claim(store, [running.id, done.id], OTHER)
    in_flight = send(store, again[running.id], OTHER) or ""
    persist(store, closing=answered(send(store, again[done.id], OTHER) or ""), ending=success(again[done.id], 2))
    cancel_batch(store, "cancelled")
    assert send(store, waiting, CUT_OFF) is None, "it may open no further request for what it lost"

    async with writing(store) as writer:
        late = [
            JobUpdate(closing=answered(sent[job.id]), ending=success(job, 1))
            for job in (waiting, running, done, cancelled)
        ]
        late.append(JobUpdate(closing=answered(sent[failed.id]), ending=failure(failed)))
        late.append(JobUpdate(release=Release(job_id=released.id, claim=released.claim)))
        accepted = await asyncio.gather(*map(writer.persist, late))
        assert not await writer.persist(JobUpdate(closing=answered(in_flight), ending=success(again[running.id], 2))), (
            "the late one was first"
        )

    assert accepted[:5] == [True, True, False, False, False]
    assert grades(store) == {waiting.id: 1, running.id: 1, done.id: 2, cancelled.id: None}
    assert [job_row(store, job.id).state for job in (failed, released)] == ["ready", "ready"]
    assert endings(store) == {"answered": 7, "unknown": 1}
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
        assert progress is not None
        assert (progress.succeeded, progress.waiting, progress.running) == (3, 2, 0)
        assert (progress.repeats.repeated, progress.repeats.unknown) == (2, 1)
        assert progress.cost_usd == 6 * 0.5
        assert recount(connection) == {}

    store.run(lambda connection: beat(connection, worker_id=CUT_OFF))
    with store.snapshot() as connection:
        assert connection.execute(select(workers.c.stopped_at).where(workers.c.id == CUT_OFF)).scalar() is None
    publish(store)
    assert set(claim(store, [failed.id, released.id], CUT_OFF)) == {failed.id, released.id}, "it is one of them again"
