"""Parked accounts: their jobs wait, and the wait is not theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.steps import claim, claimed, enqueue, job_row, move_clock, new_job, persist, publish, success
from workers.contract.outcome import AccountState
from workers.store.parks import begin_probes, park_account, parked_accounts, resume_account
from workers.store.releases import Release, release_jobs

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
    persist(store, ending=success(done))
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


def probes(store: Store, *, every_seconds: float = 60.0) -> list[str]:
    return store.run(lambda connection: begin_probes(connection, every_seconds=every_seconds))


def test_a_parked_account_is_tried_with_one_job_at_a_time(store: Store):
    enqueue(store, [new_job(name) for name in "abc"])
    park(store)
    assert probes(store) == [], "it has just been refused"
    move_clock(store, "parks", "parked_at", 61)

    [probe] = probes(store)

    assert probes(store) == [], "one is under way"
    assert publish(store) == [probe]
    [job] = claim(store, [probe]).values()
    assert job.probes_account


def test_a_probe_that_is_refused_does_not_try_again_before_its_time(store: Store):
    enqueue(store, [new_job("a"), new_job("b")])
    park(store)
    move_clock(store, "parks", "parked_at", 61)
    [probe] = probes(store)
    publish(store)
    [job] = claim(store, [probe]).values()
    store.run(lambda connection: release_jobs(connection, [Release(job_id=job.id, claim=job.claim)]))
    park(store)

    assert publish(store) == []
    move_clock(store, "parks", "probed_at", 61)
    assert len(probes(store)) == 1


@pytest.mark.parametrize(
    ("parked_ago", "tried_ago", "is_due"),
    [(120, 55, False), (122, 64, True), (240, 119, False), (245, 123, True), (9000, 1790, False), (9000, 1810, True)],
)
def test_probes_of_a_parked_account_come_less_and_less_often(
    store: Store, parked_ago: int, tried_ago: int, *, is_due: bool
):
    enqueue(store, [new_job("a"), new_job("b")])
    park(store)
    move_clock(store, "parks", "parked_at", 61)
    probes(store)
    park(store)  # the probe was refused
    move_clock(store, "parks", "parked_at", parked_ago - 61)
    move_clock(store, "parks", "probed_at", tried_ago)
    assert bool(probes(store)) == is_due


def test_an_account_that_nobody_waited_for_is_tried_with_the_first_job_that_comes(store: Store):
    park(store)
    move_clock(store, "parks", "parked_at", 3600)
    assert probes(store) == []
    enqueue(store, [new_job("a")])
    assert len(probes(store)) == 1


def test_other_jobs_are_no_probes(store: Store):
    enqueue(store, [new_job("a")])

    [job] = claim(store, publish(store)).values()

    assert not job.probes_account


def test_the_end_of_an_alarm_lifts_no_park_that_names_its_cause(store: Store):
    park(store)

    assert store.run(lambda connection: resume_account(connection, "p", state=AccountState.REFUSING)) == []
    with store.snapshot() as connection:
        assert len(parked_accounts(connection)) == 1
