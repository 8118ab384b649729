"""What people see of a batch: counts that add up, and what was paid for twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from tests.store.steps import answered, claim, claimed, enqueue, move_clock, persist, publish, send, success
from workers.contract.outcome import AttemptEnding
from workers.store import progress
from workers.store.glance import read_glance
from workers.store.ledger import AttemptClosing
from workers.store.progress import LATE_SECONDS, Progress, Repeats, ended_jobs, read_progress
from workers.store.releases import Release, free_claims
from workers.store.tables import batches, outcomes

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.claims import ClaimedJob


def progress_of(store: Store) -> Progress:
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
    assert progress is not None
    return progress


def again(store: Store, job: ClaimedJob, worker: str = "w2") -> ClaimedJob:
    """The first worker died; another one claims the job."""
    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}))
    publish(store)
    return claim(store, [job.id], worker)[job.id]


def test_there_is_no_progress_of_a_batch_that_is_not_there(store: Store):
    with store.snapshot() as connection:
        assert read_progress(connection, "nowhere") is None


def test_a_batch_without_accidents_repeated_nothing(store: Store):
    [job] = claimed(store)
    throttled = AttemptClosing(attempt_id=send(store, job) or "", ending=AttemptEnding.THROTTLED)
    persist(
        store,
        closing=throttled,
        release=Release(job_id=job.id, claim=job.claim, after_seconds=0.0, message_follows=True),
    )
    second = claim(store, [job.id])[job.id]
    persist(store, closing=answered(send(store, second) or ""), ending=success(second))

    assert progress_of(store).repeats == Repeats(repeated=0, repeated_cost_usd=0.0, unknown=0, unknown_cost_usd=0.0), (
        "a request after a 429 is no repetition: the first one cost nothing"
    )


def test_a_request_after_one_that_was_left_unknown_is_repeated(store: Store):
    [job] = claimed(store)
    send(store, job)
    second = again(store, job)
    persist(store, closing=answered(send(store, second, "w2") or "", cost_usd=0.25), ending=success(second))

    assert progress_of(store).repeats == Repeats(
        repeated=1, repeated_cost_usd=0.25, unknown=1, unknown_cost_usd=pytest.approx(0.25), unknown_most_usd=None
    )


def test_a_late_answer_makes_both_costs_known(store: Store):
    [job] = claimed(store)
    late = send(store, job) or ""
    second = again(store, job)
    persist(store, closing=answered(send(store, second, "w2") or "", cost_usd=0.25), ending=success(second))
    persist(store, closing=answered(late, cost_usd=0.5), ending=success(job))

    progress = progress_of(store)
    assert progress.repeats == Repeats(repeated=1, repeated_cost_usd=0.25, unknown=0, unknown_cost_usd=0.0)
    assert progress.cost_usd == pytest.approx(0.75)


def test_the_cost_of_unknown_requests_is_unknown_without_a_price(store: Store):
    [job] = claimed(store)
    send(store, job)
    second = again(store, job)
    persist(store, closing=answered(send(store, second, "w2") or "", cost_usd=None), ending=success(second))

    repeats = progress_of(store).repeats
    assert (repeats.repeated_cost_usd, repeats.unknown_cost_usd) == (None, None)


def test_waiting_deferred_and_running_jobs_are_told_apart(store: Store):
    running, deferred = claimed(store, 2)
    persist(store, release=Release(job_id=deferred.id, claim=deferred.claim, after_seconds=60.0))
    enqueue(store, 3)

    progress = progress_of(store)
    assert (progress.waiting, progress.deferred, progress.running) == (4, 1, 1)
    assert not progress.is_finished
    assert running.id != deferred.id


def test_a_later_look_at_what_ended_reads_no_more_than_what_could_not_be_seen_before(store: Store):
    long_ago, lately = claimed(store, 2)
    persist(store, ending=success(long_ago))
    move_clock(store, "outcomes", "finished_at", LATE_SECONDS + 10)
    persist(store, ending=success(lately))

    with store.snapshot() as connection:
        everything = ended_jobs(connection, "b", since=None, at_most=100)
        again = ended_jobs(connection, "b", since=max(each.finished_at for each in everything), at_most=100)
    assert [each.job_id for each in everything] == [long_ago.id, lately.id]
    assert [each.job_id for each in again] == [lately.id]


def test_the_pace_of_a_fast_batch_is_that_of_its_newest_ends(expendable_store: Store, monkeypatch: pytest.MonkeyPatch):
    """So that asking for it costs no more the more jobs have ended in the last minute."""
    store = expendable_store
    monkeypatch.setattr(progress, "MOST_PACED", 3)
    for number, job in enumerate(claimed(store, 5)):
        persist(store, closing=answered(send(store, job) or ""), ending=success(job))
        with store.transaction() as connection:  # one each 10 s, the oldest 50 s ago
            ended_at = outcomes.c.finished_at - 10.0 * (5 - number)
            connection.execute(update(outcomes).where(outcomes.c.job_id == job.id).values(finished_at=ended_at))
    with store.snapshot() as connection:
        glance = read_glance(connection, "b")
        [of_batch] = progress.read_paces(connection, connection.execute(select(batches)).all(), []).values()
    assert glance is not None
    for pace in (of_batch, glance.pace):
        assert pace.jobs_per_second == pytest.approx(2 / 30, rel=0.15)  # of all five it would be 4 / 50
