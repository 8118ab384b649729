"""Cancel ends what has not finished; retry opens another round; both beside workers that go on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from tests.store.steps import (
    claim,
    claimed,
    enqueue,
    failure,
    job_row,
    new_job,
    outcome_rows,
    persist,
    publish,
    states,
    success,
)
from workers.contract.errors import InvalidInput
from workers.contract.outcome import FailureKind
from workers.store import enqueue as enqueue_module
from workers.store import steering as module
from workers.store.releases import Release, free_claims
from workers.store.steering import cancel_batch, reopen_rejected, retry_failed
from workers.store.tables import batch_gates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.store import Store
    from workers.store.enqueue import NewJob


def test_cancel_ends_waiting_jobs_and_asks_running_ones(store: Store):
    running = claimed(store, 2)
    enqueue(store, 3)

    assert cancel_batch(store, "b") == (3, 2)
    assert states(store) == {"failed": 3, "running": 2}
    assert job_row(store, running[0].id).cancel_requested


def test_cancel_twice_changes_nothing_more(store: Store):
    claimed(store, 1)
    enqueue(store, 2)
    cancel_batch(store, "b")

    assert cancel_batch(store, "b") == (0, 0)


def test_cancel_leaves_finished_jobs_and_other_batches_alone(store: Store):
    [done] = claimed(store)
    persist(store, ending=success(done))
    enqueue(store, 2, name="other")

    assert cancel_batch(store, "b") == (0, 0)
    assert states(store) == {"succeeded": 1, "ready": 2}


def test_cancel_leaves_what_is_being_staged_to_its_enqueue(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(enqueue_module, "CHUNK", 2)

    def given() -> Iterator[NewJob]:
        for number in range(6):
            if number == 5:
                assert cancel_batch(store, "b") == (0, 0)
            yield new_job(f"i{number}")

    enqueue(store, given())
    assert states(store) == {"ready": 6}


def test_a_success_that_arrives_after_a_cancel_was_asked_is_kept(store: Store):
    [job] = claimed(store)
    cancel_batch(store, "b")

    assert persist(store, ending=success(job))
    assert states(store) == {"succeeded": 1}


def test_a_cancelled_batch_can_be_taken_up_again(store: Store):
    enqueue(store, 3)
    cancel_batch(store, "b")

    assert retry_failed(store, "b", kinds=[FailureKind.CANCELLED]) == 3
    ids = publish(store)
    assert {job.round for job in claim(store, ids).values()} == {2}


def test_retry_takes_the_named_kinds_alone(store: Store):
    refused, truncated, done = claimed(store, 3)
    persist(store, ending=failure(refused, FailureKind.REFUSED))
    persist(store, ending=failure(truncated, FailureKind.TRUNCATED))
    persist(store, ending=success(done))

    assert retry_failed(store, "b", kinds=[FailureKind.TRUNCATED]) == 1
    assert job_row(store, truncated.id).round == 2
    assert job_row(store, refused.id).state == "failed"
    assert retry_failed(store, "b") == 1


def test_jobs_that_were_rejected_for_the_accounts_fault_wait_again_and_no_others(store: Store):
    rejected, refused, done, running = claimed(store, 4)
    persist(store, ending=failure(rejected, FailureKind.REJECTED_REQUEST))
    persist(store, ending=failure(refused, FailureKind.REFUSED))
    persist(store, ending=success(done))
    [another] = claimed(store)
    persist(store, ending=failure(another, FailureKind.REJECTED_REQUEST))
    of_alarm = {job.id for job in (rejected, refused, done, running)}

    assert [store.run(lambda connection: reopen_rejected(connection, of_alarm)) for _ in range(2)] == [1, 0]

    assert (job_row(store, rejected.id).state, job_row(store, rejected.id).round) == ("ready", 2)
    assert states(store) == {"ready": 1, "failed": 2, "succeeded": 1, "running": 1}, (
        "another rejection is no part of the alarm"
    )
    assert [job.round for job in claim(store, publish(store)).values()] == [2]


def test_jobs_of_a_batch_that_has_ended_or_waits_for_a_word_stay_as_they_ended(store: Store):
    [ended] = claimed(store)
    persist(store, ending=failure(ended, FailureKind.REJECTED_REQUEST))
    enqueue(store, 2, name="closed")
    closed, _waiting = claim(store, publish(store)).values()
    persist(store, ending=failure(closed, FailureKind.REJECTED_REQUEST))
    with store.transaction() as connection:
        closing = {"batch_id": closed.batch_id, "held_usd": 0.0, "closed_at": 1.0, "closed_by": "same_failure"}
        connection.execute(insert(batch_gates).values(closing))

    assert store.run(lambda connection: reopen_rejected(connection, {ended.id, closed.id})) == 0


def test_jobs_of_a_cancelled_batch_stay_as_they_ended(store: Store):
    rejected, _waiting = claimed(store, 2)
    persist(store, ending=failure(rejected, FailureKind.REJECTED_REQUEST))
    cancel_batch(store, "b")
    cancel_batch(store, "b")

    assert store.run(lambda connection: reopen_rejected(connection, {rejected.id})) == 0
    assert store.run(lambda connection: reopen_rejected(connection, frozenset())) == 0


def test_retry_gives_a_new_deadline(store: Store):
    [job] = claimed(store, deadline_seconds=60.0)
    from tests.store.steps import move_clock

    move_clock(store, "jobs", "deadline_at", 3600)
    persist(store, ending=failure(job))
    retry_failed(store, "b")
    publish(store)

    assert claim(store, [job.id])[job.id].seconds_to_deadline == pytest.approx(60, abs=5)


def test_more_jobs_than_one_transaction_takes(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LIST_LENGTH", 10)
    claimed(store, 7)
    enqueue(store, 25)

    assert cancel_batch(store, "b") == (25, 7)
    assert retry_failed(store, "b") == 25


def test_an_unknown_batch_is_named(store: Store):
    with pytest.raises(InvalidInput, match="'nowhere'"):
        cancel_batch(store, "nowhere")
    with pytest.raises(InvalidInput, match="'nowhere'"):
        retry_failed(store, "nowhere")


def test_cancel_and_retry_beside_busy_workers_leave_every_round_with_one_outcome(store: Store):
    enqueue(store, 120)
    stop = threading.Event()
    errors: list[BaseException] = []

    def work(worker: str) -> None:
        turn = 0
        try:
            while not stop.is_set():
                for job in claim(store, publish(store, at_most=20), worker).values():
                    turn += 1
                    if turn % 3 == 0:
                        persist(store, release=Release(job_id=job.id, claim=job.claim))
                    else:
                        persist(store, ending=failure(job) if turn % 3 == 1 else success(job))
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        cancel_batch(store, "b")
        retry_failed(store, "b")
    stop.set()
    for thread in threads:
        thread.join()
    cancel_batch(store, "b")

    assert errors == []
    counts = states(store)
    assert sum(counts.values()) == 120
    assert set(counts) <= {"failed", "succeeded"}
    with store.snapshot() as connection:
        from sqlalchemy import text

        broken = connection.execute(
            text(
                "SELECT count(*) FROM jobs WHERE round <> "
                "(SELECT count(*) FROM outcomes WHERE outcomes.job_id = jobs.id)"
            )
        ).scalar()
    assert broken == 0
    assert len({(row.job_id, row.round) for row in outcome_rows(store)}) == len(outcome_rows(store))


def test_cancel_keeps_an_answer_that_is_paid_and_waits_for_another_request(store: Store):
    [job] = claimed(store)
    persist(store, kept=success(job, 7))
    persist(store, release=Release(job_id=job.id, claim=job.claim, after_seconds=60.0))

    assert cancel_batch(store, "b") == (0, 0)

    [outcome] = outcome_rows(store)
    assert outcome.failure_kind is None
    assert outcome.result == '{"grade":7}'
    assert states(store) == {"succeeded": 1}
    assert job_row(store, job.id).kept_answer is None


def test_a_job_to_be_cancelled_whose_worker_died_ends_with_the_answer_it_keeps(store: Store):
    [job] = claimed(store)
    persist(store, kept=success(job, 7))
    assert cancel_batch(store, "b") == (0, 1)

    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}, have_died=True))

    [outcome] = outcome_rows(store)
    assert (outcome.failure_kind, outcome.result) == (None, '{"grade":7}')
