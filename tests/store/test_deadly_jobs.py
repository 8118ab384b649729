"""A job that kills its workers takes no other with it, and ends; one that nobody here can read ends at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, update

from tests.store.steps import (
    FEED,
    answered,
    claim,
    claimed,
    endings,
    enqueue,
    failure,
    outcome_rows,
    persist,
    publish,
    register,
    send,
    states,
    success,
)
from workers.store.feed import due_jobs
from workers.store.liveness import beat, free_dead, mark_stopped, read_pulses
from workers.store.releases import MOST_DEATHS, MOST_LOST_CLAIMS, free_claims, release_all
from workers.store.sql import new_id
from workers.store.steering import retry_failed
from workers.store.tables import attempts, jobs, workers

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.claims import ClaimedJob


def kill(store: Store, worker: str) -> list[str]:
    """Its heartbeat stands still: a sweeper frees what it held."""
    with store.snapshot() as connection:
        pulses = read_pulses(connection)
    dead = {worker: pulses[worker].heartbeat_at}
    return store.run(lambda connection: free_dead(connection, dead, at_most=100))


def claim_anew(store: Store, worker: str) -> dict[str, ClaimedJob]:
    register(store, worker)
    return claim(store, publish(store), worker)


def test_a_job_that_killed_two_workers_runs_alone(store: Store):
    enqueue(store, 1)
    for worker, alone in (("w1", False), ("w2", False), ("w3", True)):
        [job] = claim_anew(store, worker).values()
        assert job.runs_alone is alone
        assert kill(store, worker) == [job.id]


def test_a_worker_that_stops_in_order_is_no_mark_against_its_jobs(store: Store):
    enqueue(store, 1)
    for worker in ("w1", "w2", "w3"):
        [job] = claim_anew(store, worker).values()
        assert not job.runs_alone
        store.run(lambda connection, worker=worker: release_all(connection, worker_id=worker))  # type: ignore[misc]


def test_what_killed_two_workers_is_published_after_all_others(store: Store):
    enqueue(store, 5)
    with store.transaction() as connection:
        first = connection.execute(select(jobs.c.id).order_by(jobs.c.position).limit(1)).scalar_one()
        connection.execute(update(jobs).where(jobs.c.id == first).values(lost_claims=2))
    with store.snapshot() as connection:
        assert due_jobs(connection, FEED, at_most=2, startable={"m": 2}) != [first]
    assert len(publish(store)) == 4
    with store.snapshot() as connection:
        assert due_jobs(connection, FEED, at_most=10, startable={"m": 4}) == [], "its model has no room"
    assert publish(store) == [first]
    assert publish(store) == []


def test_a_job_that_kills_before_its_request_is_in_the_ledger_ends(store: Store):
    enqueue(store, 1)
    for number in range(MOST_LOST_CLAIMS):
        [job] = claim_anew(store, f"w{number}").values()
        kill(store, f"w{number}")

    [row] = outcome_rows(store)
    assert (row.job_id, row.failure_kind) == (job.id, "internal")
    assert states(store) == {"failed": 1}


def test_a_job_whose_request_kills_ends_after_four_workers_and_its_neighbours_do_not(store: Store):
    enqueue(store, 2)
    for number in range(MOST_DEATHS):
        worker = f"w{number}"
        found = claim_anew(store, worker)
        deadly = min(found)
        send(store, found[deadly], worker)  # the neighbour waits until it is done
        kill(store, worker)

    [row] = outcome_rows(store)
    assert (row.job_id, row.failure_kind) == (deadly, "internal")
    assert endings(store) == {"unknown": MOST_DEATHS}
    assert states(store) == {"failed": 1, "ready": 1}


def test_another_round_begins_without_the_marks_of_the_last(store: Store):
    enqueue(store, 1)
    for worker in ("w1", "w2"):
        claim_anew(store, worker)
        kill(store, worker)
    [job] = claim_anew(store, "w3").values()
    persist(store, ending=failure(job))
    retry_failed(store, "b")

    [again] = claim_anew(store, "w4").values()
    assert not again.runs_alone


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"max_tokens": 5, "persona": "kind"}, "'persona' is unknown to this worker"),
        ({"temperature": 9.0}, "temperature must be between"),
        ([1, 2], "unknown to this worker"),
    ],
    ids=["a new name", "a new range", "another shape"],
)
def test_a_job_of_a_newer_producer_ends_with_what_to_upgrade(store: Store, parameters: Any, says: str):
    enqueue(store, 3)
    ids = publish(store)
    with store.transaction() as connection:
        connection.execute(update(jobs).where(jobs.c.id == ids[1]).values(parameters=parameters))
    found = claim(store, ids)

    assert set(found) == {ids[0], ids[2]}, "its neighbours are claimed"
    [row] = outcome_rows(store)
    assert (row.job_id, row.failure_kind) == (ids[1], "internal")
    assert says in row.failure_message
    assert "upgrade the workers" in row.failure_message


def test_what_a_killed_repeat_left_open_in_the_ledger_is_closed(store: Store):
    register(store, "w1")
    [job] = claimed(store, 1, "w1")
    first = send(store, job) or ""
    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}))  # it was taken for dead
    [repeat] = claim_anew(store, "w2").values()
    send(store, repeat, "w2")
    assert persist(store, closing=answered(first), ending=success(job)), "the first answer comes after all"
    assert endings(store) == {"answered": 1, None: 1}

    kill(store, "w2")
    assert endings(store) == {"answered": 1, "unknown": 1}
    with store.snapshot() as connection:
        assert set(read_pulses(connection)) == {"w1"}, "nobody looks after the dead one any more"


def test_a_worker_that_stops_in_order_leaves_nothing_open(store: Store):
    worker = new_id()
    register(store, worker)
    [job] = claimed(store, 1, worker)
    send(store, job, worker)
    with store.transaction() as connection:
        connection.execute(update(jobs).values(state="succeeded"))
        # another worker's, and one that the same host made before this worker began
        row = dict(connection.execute(select(attempts)).one()._mapping)
        connection.execute(insert(attempts), [row | {"id": new_id(), "worker_id": "other"}])
    store.run(lambda connection: mark_stopped(connection, worker_id=worker))

    assert endings(store) == {"unknown": 1, None: 1}


def test_a_worker_that_was_taken_for_dead_and_only_slept_lives(store: Store):
    register(store, "w1")
    kill(store, "w1")
    store.run(lambda connection: beat(connection, worker_id="w1"))

    with store.snapshot() as connection:
        assert connection.execute(select(workers.c.stopped_at)).scalar_one() is None
        assert set(read_pulses(connection)) == {"w1"}
