"""Moments that people named: nothing moves them but another word, and what will be late is known from the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from tests.store.steps import (
    answered,
    claim,
    claimed,
    enqueue,
    failure,
    job_row,
    move_clock,
    new_job,
    persist,
    publish,
    register,
    send,
)
from workers.contract.errors import InvalidInput
from workers.contract.outcome import AccountState, FailureKind
from workers.store.forecast import Speed, Waiting, read_demand
from workers.store.model_limits import set_limits
from workers.store.overviews import find_batch
from workers.store.parks import park_account, resume_account
from workers.store.pauses import PauseScope, Target, lift_pause, pause
from workers.store.steering import retry_failed
from workers.store.tables import attempts, workers
from workers.store.weights import set_weight

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.forecast import ModelDemand


def in_seconds(seconds: float) -> float:
    return time.time() + seconds


def test_a_job_may_start_until_its_moment(store: Store):
    enqueue(store, [new_job("a", deadline_at=in_seconds(3600)), new_job("b", deadline_seconds=60.0), new_job("c")])
    jobs = claim(store, publish(store)).values()
    left = {job.item_id: job.seconds_to_deadline for job in jobs}
    assert left == {"a": pytest.approx(3600, abs=30), "b": pytest.approx(60, abs=30), "c": None}


def test_neither_a_park_nor_a_pause_moves_a_moment(store: Store):
    moment = in_seconds(3600)
    enqueue(store, [new_job("a", deadline_at=moment)])
    [job_id] = publish(store)
    with store.transaction() as connection:
        park_account(connection, account="p", state=AccountState.QUOTA_EXHAUSTED, message="empty")
        pause(connection, Target(PauseScope.BATCH, "b"))
    move_clock(store, "parks", "parked_at", 500)
    move_clock(store, "pauses", "paused_at", 500)
    with store.transaction() as connection:
        assert resume_account(connection, "p") == ["p"]
        assert lift_pause(connection, Target(PauseScope.BATCH, "b"))
    assert job_row(store, job_id).deadline_at == moment


def test_the_same_jobs_with_another_moment_are_the_same_and_may_start_until_then(store: Store):
    sooner, later = in_seconds(600), in_seconds(6000)
    enqueue(store, [new_job("a", deadline_at=sooner), new_job("b", deadline_at=sooner)])
    report = enqueue(store, [new_job("a", deadline_at=later), new_job("b", deadline_at=sooner), new_job("c")])
    assert (report.new, report.existing) == (1, 2)
    rows = {row.item_id: row for row in (job_row(store, job_id) for job_id in publish(store))}
    assert {name: row.deadline_at for name, row in rows.items()} == {"a": later, "b": sooner, "c": None}
    assert rows["a"].parameters["deadline_at"] == later

    enqueue(store, [new_job("a")])
    assert job_row(store, rows["a"].id).deadline_at == later


def test_another_moment_changes_nothing_of_what_has_ended(store: Store):
    enqueue(store, [new_job("a", deadline_at=in_seconds(600))])
    [job] = claim(store, publish(store)).values()
    persist(store, ending=failure(job))
    before = job_row(store, job.id)
    enqueue(store, [new_job("a", deadline_at=in_seconds(6000))])
    assert job_row(store, job.id) == before


def test_a_round_more_keeps_the_moment_and_is_refused_when_it_is_over(store: Store):
    moment = in_seconds(600)
    [ahead] = claimed(store, deadline_at=moment)
    persist(store, ending=failure(ahead))
    assert retry_failed(store, "b") == 1
    assert job_row(store, ahead.id).deadline_at == moment

    over = next(
        job
        for job in claimed(store, deadline_at=in_seconds(-5))  # and the one before, in its new round
        if job.seconds_to_deadline is not None and job.seconds_to_deadline < 0
    )
    persist(store, ending=failure(over, FailureKind.DEADLINE_EXCEEDED))
    with pytest.raises(InvalidInput, match="give another with --by or --deadline"):
        retry_failed(store, "b", kinds=[FailureKind.DEADLINE_EXCEEDED])
    assert retry_failed(store, "b", kinds=[FailureKind.REFUSED]) == 0  # others have nothing to do with it
    parameters = {"deadline_seconds": 60.0, "deadline_at": None}
    assert retry_failed(store, "b", kinds=[FailureKind.DEADLINE_EXCEEDED], parameters=parameters) == 1
    assert job_row(store, over.id).deadline_at == pytest.approx(in_seconds(60), abs=30)


def demand(store: Store, name: str = "b", **limits: int) -> list[ModelDemand]:
    with store.snapshot() as connection:
        return read_demand(connection, find_batch(connection, name), **limits)


def test_a_batchs_demand_is_what_waits_beside_it_at_the_same_provider(store: Store):
    for name, count, provider in [("b", 5, "p"), ("other", 7, "p"), ("elsewhere", 9, "q"), ("paused", 3, "p")]:
        enqueue(store, count, name=name, provider=provider)
    with store.transaction() as connection:
        set_weight(connection, find_batch(connection, "other").id, 2.0)
        pause(connection, Target(PauseScope.BATCH, "paused"))
    [found] = demand(store, requests_per_minute=30)
    assert (found.model, found.own, found.others) == ("m", Waiting(jobs=5), (Waiting(jobs=7, weight=2.0),))
    assert found.speed == Speed(requests_per_minute=30)


def test_limits_that_a_worker_saw_come_before_the_settings_and_a_persons_beside_them(store: Store):
    enqueue(store, 1)
    register(store, "w1", silent_seconds=86_400)  # as last seen yesterday
    seen = [{"account": "p", "model": "m", "requests_limit": 500.0, "tokens_limit": None}]
    with store.transaction() as connection:
        connection.execute(update(workers).values(budgets=seen))
        set_limits(connection, "m", tokens_per_minute=9000, calls_in_flight=4)
    [found] = demand(store, requests_per_minute=30, tokens_per_minute=20_000)
    assert found.speed == Speed(requests_per_minute=500, tokens_per_minute=9000, calls_in_flight=4)


def test_the_pace_is_that_of_earlier_answers_without_the_breaks_between_runs(store: Store):
    jobs = claimed(store, 4)
    sent = [attempt for job in jobs if (attempt := send(store, job)) is not None]
    for attempt, closed_at in zip(sent, (1000.0, 1002.0, 5000.0, 5002.0), strict=True):
        persist(store, closing=answered(attempt))
        with store.transaction() as connection:
            times = {"opened_at": closed_at - 3, "closed_at": closed_at}
            connection.execute(update(attempts).where(attempts.c.id == attempt).values(**times))
    [found] = demand(store)
    assert found.speed == Speed(request_tokens=15, request_seconds=3, answers_per_minute=30)
