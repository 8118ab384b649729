"""A job has at most one claim at a time, and what frees it leaves a record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from tests.store.steps import (
    answered,
    claim,
    claimed,
    endings,
    enqueue,
    failure,
    job_row,
    new_job,
    outcome_rows,
    persist,
    publish,
    send,
    states,
)
from workers.contract.outcome import AccountState, AttemptEnding
from workers.store.claims import claim_jobs
from workers.store.enqueue import save_context
from workers.store.feed import Feed
from workers.store.ledger import AttemptClosing
from workers.store.parks import park_account, resume_account
from workers.store.releases import MOST_UNKNOWN_ATTEMPTS, Release, free_claims, release_all
from workers.store.steering import cancel_batch
from workers.store.tables import jobs

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.claims import ClaimedJob


def free(store: Store, job: ClaimedJob, worker: str = "w1") -> list[str]:
    return store.run(lambda connection: free_claims(connection, [job.id], worker_ids={worker}))


def released(job: ClaimedJob, after_seconds: float | None = None, *, follows: bool = False) -> Release:
    return Release(job_id=job.id, claim=job.claim, after_seconds=after_seconds, message_follows=follows)


def test_a_claim_brings_all_that_the_worker_needs(store: Store):
    save_context(store, context_hash="c", content={"rubric": 1})
    spec = new_job("a", prompt="the prompt", temperature=0.7, deadline_seconds=60.0)
    enqueue(store, [type(spec)(spec=spec.spec, schema_fingerprint="f", context_hash="c")])
    [job] = claim(store, publish(store)).values()

    assert (job.item_id, job.prompt, job.context, job.round, job.claim) == ("a", "the prompt", {"rubric": 1}, 1, 1)
    assert job.parameters.temperature == 0.7
    assert job.seconds_to_deadline == pytest.approx(60, abs=5)
    assert "the prompt" not in repr(job)


def test_a_worker_never_claims_another_providers_job(store: Store):
    """Whatever queue the message came through: two servers may differ in their port alone."""
    enqueue(store, 1, provider="localhost:8080")
    ids = publish(store, feed=Feed("bulk", "localhost:8080"))

    def claim_as(provider: str) -> set[str]:
        return set(store.run(lambda connection: claim_jobs(connection, ids, worker_id="w", accounts=[provider])))

    assert (claim_as("localhost:11434"), claim_as("localhost:8080")) == (set(), set(ids))


def test_a_message_of_another_providers_job_is_dropped_with_a_word_and_sent_again_to_its_own_queue(
    store: Store, caplog: pytest.LogCaptureFixture
):
    own = Feed("bulk", "localhost:8080")
    enqueue(store, 1, provider="localhost:8080")
    [job_id] = publish(store, feed=own)

    store.run(lambda connection: claim_jobs(connection, [job_id], worker_id="w", accounts=["localhost:11434"]))

    [line] = caplog.messages
    assert line == f"broker.foreign_message_dropped job={job_id} serves=['localhost:11434']"
    assert publish(store, feed=own) == [job_id]


def test_of_many_claimers_one_gets_the_job(store: Store):
    enqueue(store, 40)
    ids = publish(store)
    with ThreadPoolExecutor(6) as threads:
        taken = list(threads.map(lambda worker: claim(store, ids, f"w{worker}"), range(6)))

    assert sorted(job_id for jobs_of_one in taken for job_id in jobs_of_one) == sorted(ids)


def test_an_unpublished_job_cannot_be_claimed(store: Store):
    enqueue(store, 1)
    published = publish(store)
    enqueue(store, 1, name="later")
    with store.snapshot() as connection:
        later = connection.execute(jobs.select().where(jobs.c.publish_number == 0)).one().id

    assert set(claim(store, [*published, later])) == set(published)


def test_a_running_job_cannot_be_claimed_again(store: Store):
    [job] = claimed(store)

    assert claim(store, [job.id], "w2") == {}


def test_a_snoozed_job_can_be_claimed_when_it_is_due_and_not_before(store: Store):
    soon, later = claimed(store, 2)
    persist(store, release=released(soon, 0.0, follows=True))
    persist(store, release=released(later, 60.0, follows=True))

    assert set(claim(store, [soon.id, later.id], "w2")) == {soon.id}
    assert job_row(store, later.id).snoozes == 1


def test_a_snooze_whose_message_follows_counts_as_published(store: Store):
    with_message, without = claimed(store, 2)
    persist(store, release=released(with_message, 60.0, follows=True))
    persist(store, release=released(without, 600.0))

    assert job_row(store, with_message.id).published_at is not None
    assert job_row(store, without.id).published_at is None


def test_a_release_of_a_lost_claim_changes_nothing(store: Store):
    [first] = claimed(store)
    free(store, first)
    publish(store)
    [second] = claim(store, [first.id], "w2").values()
    persist(store, release=released(first))

    row = job_row(store, first.id)
    assert (row.state, row.worker_id, row.claim) == ("running", "w2", second.claim)


def test_a_job_of_a_parked_account_waits_unpublished(store: Store):
    enqueue(store, 2)
    ids = publish(store)
    with store.transaction() as connection:
        park_account(connection, account="p", state=AccountState.AUTH_FAILED, message="no")

    assert claim(store, ids) == {}
    assert publish(store) == [], "the feeder leaves it alone as well"
    store.run(resume_account)
    assert set(publish(store)) == set(ids)
    assert set(claim(store, ids)) == set(ids)


def test_attempts_of_earlier_claims_count_and_those_of_earlier_rounds_do_not(store: Store):
    [job] = claimed(store)
    persist(store, closing=answered(send(store, job) or ""))
    throttled = AttemptClosing(attempt_id=send(store, job) or "", ending=AttemptEnding.THROTTLED)
    persist(store, closing=throttled, release=released(job, 0.0, follows=True))

    [again] = claim(store, [job.id]).values()
    assert again.spent == {"grade": 1}
    persist(store, ending=failure(again))
    from workers.store.steering import retry_failed

    assert retry_failed(store, "b") == 1
    publish(store)
    assert claim(store, [job.id])[job.id].spent == {}


def test_a_freed_job_waits_again_and_its_request_is_unknown_in_the_ledger(store: Store):
    [job] = claimed(store)
    send(store, job)

    assert free(store, job) == [job.id]
    assert endings(store) == {"unknown": 1}
    row = job_row(store, job.id)
    assert (row.state, row.worker_id, row.published_at) == ("ready", None, None)


def test_freeing_leaves_alone_what_another_worker_has_claimed_meanwhile(store: Store):
    [job] = claimed(store)
    free(store, job)
    publish(store)
    claim(store, [job.id], "w2")
    send(store, claim_of(store, job), "w2")

    assert free(store, job, "w1") == []
    assert job_row(store, job.id).worker_id == "w2"
    assert endings(store) == {None: 1}, "the request of the other one is still in flight"


def claim_of(store: Store, job: ClaimedJob) -> ClaimedJob:
    import dataclasses

    return dataclasses.replace(job, claim=job_row(store, job.id).claim)


def test_a_stopping_worker_frees_all_its_claims_and_no_other(store: Store):
    mine = claimed(store, 3, "w1")
    theirs = claimed(store, 2, "w2")

    freed = store.run(lambda connection: release_all(connection, worker_id="w1"))

    assert set(freed) == {job.id for job in mine}
    assert {job_row(store, job.id).worker_id for job in theirs} == {"w2"}


@pytest.mark.parametrize("way", ["freed", "released"])
def test_a_job_to_be_cancelled_ends_when_its_claim_does(store: Store, way: str):
    [job] = claimed(store)
    assert cancel_batch(store, "b") == (0, 1)
    if way == "freed":
        assert free(store, job) == []
    else:
        persist(store, release=released(job, 5.0))

    row = job_row(store, job.id)
    assert (row.state, row.cancel_requested) == ("failed", False)
    assert [outcome.failure_kind for outcome in outcome_rows(store)] == ["cancelled"]


def test_the_tenth_unknown_request_of_a_round_ends_the_job_internal(store: Store):
    [job] = claimed(store)
    for turn in range(MOST_UNKNOWN_ATTEMPTS):
        assert states(store) == {"running": 1}, turn
        send(store, claim_of(store, job))
        free(store, job)
        publish(store)
        claim(store, [job.id])

    assert states(store) == {"failed": 1}
    assert endings(store) == {"unknown": MOST_UNKNOWN_ATTEMPTS}
    assert [outcome.failure_kind for outcome in outcome_rows(store)] == ["internal"]


def test_unknown_requests_of_an_earlier_round_do_not_count_against_a_retry(store: Store):
    [job] = claimed(store)
    for _ in range(MOST_UNKNOWN_ATTEMPTS):
        send(store, claim_of(store, job))
        free(store, job)
        publish(store)
        claim(store, [job.id])
    from workers.store.steering import retry_failed

    retry_failed(store, "b")
    publish(store)
    [again] = claim(store, [job.id]).values()
    send(store, again)
    free(store, again)

    assert states(store) == {"ready": 1}


def test_a_staged_job_cannot_be_claimed_even_with_a_message(store: Store):
    enqueue(store, 1)
    [job_id] = publish(store)
    with store.transaction() as connection:
        connection.execute(update(jobs).values(position=7))

    assert claim(store, [job_id]) == {}
