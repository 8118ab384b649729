"""Parked accounts: their jobs wait, and the wait is not theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.store.steps import claim, claimed, enqueue, job_row, move_clock, new_job, publish, settle, success
from workers.contract.outcome import AccountState
from workers.store.parks import park_account, parked_accounts, resume_account

if TYPE_CHECKING:
    from workers.store import Store


def park(store: Store, account: str = "p") -> None:
    store.run(
        lambda connection: park_account(
            connection, account=account, state=AccountState.QUOTA_EXHAUSTED, message="empty"
        )
    )


def test_parking_twice_keeps_the_first_time(store: Store):
    park(store)
    move_clock(store, "parks", "parked_at", 100)
    with store.snapshot() as connection:
        [before] = parked_accounts(connection)
    park(store)
    with store.snapshot() as connection:
        assert parked_accounts(connection) == [before]


def test_resume_lifts_the_named_account_alone(store: Store):
    park(store, "p")
    park(store, "q")

    assert store.run(lambda connection: resume_account(connection, "p")) == ["p"]
    with store.snapshot() as connection:
        assert [each.account for each in parked_accounts(connection)] == ["q"]


def test_parked_time_does_not_count_towards_the_deadline(store: Store):
    enqueue(store, [new_job("a", deadline_seconds=60.0)])
    move_clock(store, "jobs", "deadline_at", 10)  # enqueued 10 s ago
    park(store)
    move_clock(store, "parks", "parked_at", 3600)
    move_clock(store, "jobs", "deadline_at", 3600)
    store.run(resume_account)

    [job] = claim(store, publish(store)).values()
    assert job.seconds_to_deadline == pytest.approx(50, abs=5)


def test_a_job_that_came_while_its_account_was_parked_gains_only_its_own_wait(store: Store):
    park(store)
    move_clock(store, "parks", "parked_at", 3600)
    enqueue(store, [new_job("a", deadline_seconds=60.0)])
    move_clock(store, "jobs", "deadline_at", 30)  # half a minute ago
    store.run(resume_account)

    [job] = claim(store, publish(store)).values()
    assert job.seconds_to_deadline == pytest.approx(60, abs=5)


def test_a_second_park_adds_to_the_first(store: Store):
    enqueue(store, [new_job("a", deadline_seconds=60.0)])
    for _ in range(2):
        park(store)
        move_clock(store, "parks", "parked_at", 1000)
        move_clock(store, "jobs", "deadline_at", 1000)
        store.run(resume_account)
        move_clock(store, "jobs", "deadline_at", 10)

    [job] = claim(store, publish(store)).values()
    assert job.seconds_to_deadline == pytest.approx(40, abs=5)


def test_other_providers_and_finished_jobs_keep_their_deadlines(store: Store):
    [done] = claimed(store, deadline_seconds=60.0)
    settle(store, ending=success(done))
    before = job_row(store, done.id).deadline_at
    enqueue(store, [new_job("x", deadline_seconds=60.0)], name="other", provider="q")
    park(store)
    move_clock(store, "parks", "parked_at", 3600)
    store.run(resume_account)

    assert job_row(store, done.id).deadline_at == before
    from workers.store.feed import Feed

    [other] = publish(store, feed=Feed("bulk", "q"))
    row = job_row(store, other)
    assert row.deadline_at - row.enqueued_at == pytest.approx(60, abs=1)
