"""The same work is graded once: followers take what becomes of their leader, at no cost, in the same transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, update

from tests.store.steps import (
    answered,
    claim,
    enqueue,
    failure,
    job_row,
    new_job,
    outcome_rows,
    persist,
    publish,
    send,
    states,
    success,
)
from workers.contract.flag import Flag, FlagKind
from workers.store import enqueue as enqueueing
from workers.store.enqueue import add_jobs, open_batch
from workers.store.progress import read_progress
from workers.store.results import read_results
from workers.store.retention import purge
from workers.store.steering import cancel_batch, retry_failed
from workers.store.tables import flags, jobs, outcomes
from workers.store.twins import end_left, leaders_left

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.claims import ClaimedJob
    from workers.store.results import ResultRow

FLAGS = (Flag(kind=FlagKind.OFF_TASK), Flag(kind=FlagKind.CANNOT_ASSESS, path="items[0]"))


def twins(count: int, *, first: int = 0, key: str = "k") -> list:
    return [new_job(f"t{number}", twin_key=key) for number in range(first, first + count)]


def led(store: Store, count: int = 3) -> ClaimedJob:
    """So many twins of which the leader is claimed."""
    enqueue(store, twins(count))
    [job_id] = publish(store)
    return claim(store, [job_id])[job_id]


def rows(store: Store) -> dict[str, ResultRow]:
    with store.snapshot() as connection:
        return {row.id: row for row in read_results(connection, "b")}


def test_one_request_grades_all_and_each_has_an_outcome_that_names_its_leader(store: Store):
    leader = led(store)
    attempt = send(store, leader)
    assert attempt is not None
    persist(store, closing=answered(attempt), ending=replace(success(leader, 7), flags=FLAGS))
    found = rows(store)
    assert {row.state for row in found.values()} == {"succeeded"}
    assert [row.result for row in found.values()] == [{"grade": 7}] * 3
    assert [row.same_as for row in found.values()] == [None, "t0", "t0"]
    assert [row.flags for row in found.values()] == [FLAGS] * 3
    assert [(row.attempts, row.cost_usd) for row in found.values()] == [(1, 0.5), (0, 0.0), (0, 0.0)]
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
    assert progress is not None
    assert (progress.followers, progress.flags[FlagKind.OFF_TASK]) == (2, 3)


def test_other_work_and_jobs_without_a_key_are_graded_by_themselves(store: Store):
    enqueue(store, [*twins(1), *twins(1, first=1, key="other"), new_job("x"), new_job("y")])
    assert len(publish(store)) == 4


def test_a_follower_is_neither_published_nor_claimed(store: Store):
    leader = led(store)
    with store.snapshot() as connection:
        ids = set(connection.execute(select(jobs.c.id)).scalars()) - {leader.id}
    assert publish(store) == []
    assert claim(store, sorted(ids)) == {}
    assert states(store) == {"running": 1, "following": 2}


def test_a_failure_is_shared_and_a_retry_of_it_too(store: Store):
    leader = led(store)
    persist(store, ending=failure(leader))
    assert states(store) == {"failed": 3}
    assert retry_failed(store, "b") == 3
    assert states(store) == {"ready": 1, "following": 2}
    again = claim(store, publish(store))[leader.id]
    persist(store, ending=success(again))
    assert states(store) == {"succeeded": 3}
    assert sorted(row.round for row in outcome_rows(store)) == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("is_running", [False, True])
def test_a_cancel_takes_the_followers_along(store: Store, *, is_running: bool):
    if is_running:
        leader = led(store)
        assert cancel_batch(store, "b") == (0, 3)
        persist(store, ending=failure(leader))
    else:
        enqueue(store, twins(3))
        assert cancel_batch(store, "b") == (3, 0)
    assert states(store) == {"failed": 3}


def test_one_that_comes_later_takes_what_is_there_already(store: Store):
    leader = led(store, 1)
    enqueue(store, twins(1, first=5))
    persist(store, ending=replace(success(leader, 4), flags=FLAGS))
    enqueue(store, twins(1, first=8))
    found = rows(store)
    assert [row.result for row in found.values()] == [{"grade": 4}] * 3
    assert found["t8"].flags == FLAGS


def test_a_leader_may_lie_chunks_before_its_follower(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(enqueueing, "CHUNK", 2)
    enqueue(store, [*twins(1), *(new_job(f"x{n}") for n in range(5)), *twins(1, first=1)])
    assert states(store) == {"ready": 6, "following": 1}


def test_nobody_follows_a_job_whose_answer_was_purged(store: Store):
    persist(store, ending=success(led(store, 1)))
    with store.transaction() as connection:
        connection.execute(update(jobs).values(finished_at=0.0))
        connection.execute(update(enqueueing.batches).values(created_at=0.0))
    assert purge(store, older_than_seconds=10) == 1
    enqueue(store, twins(2, first=1))
    assert states(store) == {"succeeded": 1, "ready": 1, "following": 1}


def test_what_an_enqueue_that_died_left_goes_with_the_outcomes_it_took(store: Store):
    persist(store, ending=replace(success(led(store, 1)), flags=FLAGS))

    def dies() -> object:
        yield from twins(enqueueing.CHUNK + 1, first=1)
        raise RuntimeError("the machine went down")

    batch = open_batch(store, name="b", provider="p", queue="bulk")
    with pytest.raises(RuntimeError):
        add_jobs(store, batch, dies())  # type: ignore[arg-type]
    with store.snapshot() as connection:
        assert read_progress(connection, "b").succeeded == 1  # type: ignore[union-attr]
    enqueue(store, twins(1, first=1))
    assert states(store) == {"succeeded": 2}
    with store.snapshot() as connection:
        assert connection.execute(select(func.count()).select_from(flags)).scalar() == 4
        assert connection.execute(select(func.count()).select_from(outcomes)).scalar() == 2


def test_followers_that_an_older_worker_forgot_are_ended_later(store: Store):
    leader = led(store)
    persist(store, ending=success(leader, 3))
    with store.transaction() as connection:  # as if it had known nothing of them
        connection.execute(outcomes.delete().where(outcomes.c.same_as.is_not(None)))
        connection.execute(update(jobs).where(jobs.c.leader_id.is_not(None)).values(state="following"))
    with store.snapshot() as connection:
        left = leaders_left(connection, at_most=10)
    assert left == [leader.id]
    assert store.run(lambda connection: end_left(connection, left)) == 2
    assert [row.result for row in rows(store).values()] == [{"grade": 3}] * 3
    assert job_row(store, leader.id).state == "succeeded"
