"""Outcomes are written once; requests are on record, also those whose answer came too late."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.store.steps import (
    answered,
    claim,
    claimed,
    endings,
    failure,
    job_row,
    outcome_rows,
    persist,
    publish,
    send,
    states,
    success,
)
from workers.contract.outcome import AttemptEnding, FailureKind
from workers.store.ledger import AttemptClosing
from workers.store.progress import read_progress
from workers.store.releases import free_claims
from workers.store.steering import cancel_batch, retry_failed

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.claims import ClaimedJob


def lose(store: Store, job: ClaimedJob) -> None:
    """The sweeper takes the worker for dead."""
    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}))


def test_a_success_ends_the_job_and_its_request_stands_answered(store: Store):
    [job] = claimed(store)

    assert persist(store, closing=answered(send(store, job) or ""), ending=success(job, 7))
    [outcome] = outcome_rows(store)
    assert json.loads(outcome.result) == {"grade": 7}
    assert states(store) == {"succeeded": 1}
    assert endings(store) == {"answered": 1}


def test_an_outcome_is_never_overwritten(store: Store):
    [job] = claimed(store)
    persist(store, ending=success(job, 1))

    assert not persist(store, ending=success(job, 2))
    assert not persist(store, ending=failure(job))
    [outcome] = outcome_rows(store)
    assert json.loads(outcome.result) == {"grade": 1}


def test_of_many_workers_that_finish_one_job_at_once_one_is_accepted(store: Store):
    [job] = claimed(store)
    with ThreadPoolExecutor(6) as threads:
        accepted = list(threads.map(lambda grade: persist(store, ending=success(job, grade)), range(6)))

    assert accepted.count(True) == 1
    [outcome] = outcome_rows(store)
    assert json.loads(outcome.result) == {"grade": accepted.index(True)}


def test_a_paid_success_of_a_lost_claim_is_accepted_while_the_job_waits(store: Store):
    [job] = claimed(store)
    attempt = send(store, job) or ""
    lose(store, job)
    assert endings(store) == {"unknown": 1}

    assert persist(store, closing=answered(attempt), ending=success(job))
    assert states(store) == {"succeeded": 1}
    assert endings(store) == {"answered": 1}, "the unknown one turned out to be answered"


def test_a_paid_success_of_a_lost_claim_is_accepted_while_another_runs_the_job(store: Store):
    [job] = claimed(store)
    lose(store, job)
    publish(store)
    [second] = claim(store, [job.id], "w2").values()

    assert persist(store, ending=success(job, 1))
    assert not persist(store, ending=success(second, 2))
    assert json.loads(outcome_rows(store)[0].result) == {"grade": 1}


def test_a_failure_of_a_lost_claim_is_refused(store: Store):
    [job] = claimed(store)
    lose(store, job)

    assert not persist(store, ending=failure(job))
    assert states(store) == {"ready": 1}


def test_a_lost_claim_may_send_no_further_request(store: Store):
    [job] = claimed(store)
    lose(store, job)

    assert send(store, job) is None
    assert endings(store) == {}


def test_a_request_opened_twice_is_one_request(store: Store):
    from tests.store.steps import opening
    from workers.store.ledger import open_attempts

    [job] = claimed(store)
    sent = opening(job)
    for _ in range(2):  # the answer to the first commit was lost with the connection
        assert store.run(lambda connection: open_attempts(connection, [sent])) == {sent.attempt_id}
    assert endings(store) == {None: 1}


def test_a_paid_answer_after_a_cancel_stays_in_the_ledger_and_in_the_cost(store: Store):
    [job] = claimed(store)
    attempt = send(store, job) or ""
    cancel_batch(store, "b")
    lose(store, job)
    persist(store, closing=answered(attempt, cost_usd=0.25), ending=success(job))

    [outcome] = outcome_rows(store)
    assert outcome.failure_kind == "cancelled"
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
    assert progress is not None
    assert (progress.attempts, progress.cost_usd) == ({"answered": 1}, 0.25)


def test_a_paid_answer_of_an_earlier_round_stays_in_the_ledger_alone(store: Store):
    [job] = claimed(store)
    attempt = send(store, job) or ""
    persist(store, ending=failure(job))
    retry_failed(store, "b")

    assert not persist(store, closing=answered(attempt), ending=success(job))
    assert endings(store) == {"answered": 1}
    assert [(outcome.round, outcome.failure_kind) for outcome in outcome_rows(store)] == [(1, "refused")]
    assert job_row(store, job.id).state == "ready"


def test_a_request_closed_once_stays_as_it_is(store: Store):
    [job] = claimed(store)
    attempt = send(store, job) or ""
    persist(store, closing=answered(attempt))
    persist(store, closing=AttemptClosing(attempt_id=attempt, ending=AttemptEnding.FAILED))

    assert endings(store) == {"answered": 1}


def test_both_rounds_of_a_retried_job_keep_their_outcomes(store: Store):
    [job] = claimed(store)
    persist(store, ending=failure(job, FailureKind.TRUNCATED))
    retry_failed(store, "b")
    publish(store)
    [again] = claim(store, [job.id]).values()
    persist(store, ending=success(again))

    assert [(row.round, row.failure_kind) for row in outcome_rows(store)] == [(1, "truncated"), (2, None)]


def test_a_failure_keeps_what_explains_it(store: Store):
    from workers.contract.outcome import Failure
    from workers.store.ledger import JobEnding

    [job] = claimed(store)
    outcome = Failure(
        kind=FailureKind.INVALID_OUTPUT,
        message="no",
        raw_output='{"x"',
        validation_errors=({"loc": ["x"]},),
        refusal="r",
    )
    persist(
        store,
        ending=JobEnding(
            job_id=job.id,
            batch_id=job.batch_id,
            round=1,
            claim=job.claim,
            outcome=outcome,
            model_answered=None,
            is_standin=True,
        ),
    )

    [row] = outcome_rows(store)
    assert (row.raw_output, row.validation_errors, row.refusal) == ('{"x"', [{"loc": ["x"]}], "r")
    assert row.is_standin


@pytest.mark.parametrize("count", [1, 1200])
def test_a_whole_group_is_persisted_in_one_transaction(store: Store, count: int):
    found = claimed(store, min(count, 900))
    with store.transaction() as connection:
        from workers.store.ledger import finish_jobs

        accepted = finish_jobs(connection, [success(job) for job in found])

    assert len(accepted) == len(found)
    assert states(store) == {"succeeded": len(found)}
