"""The first jobs of a batch: when one has succeeded, the others do not wait for the feeder's period."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.steps import enqueue, new_job, persist, success
from tests.support.broker_messages import messages, take
from tests.support.wait import wait_until
from workers.store.enqueue import add_jobs, open_batch
from workers.store.first_jobs import batches_waiting_for_first_jobs
from workers.store.gates import FIRST_JOBS, GateRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from workers.process.feeder import Feeder
    from workers.store import Store
    from workers.store.overviews import BatchHeader

pytestmark = pytest.mark.integration


def nine_jobs(store: Store) -> BatchHeader:
    batch = open_batch(store, name="b", provider="p", queue="bulk", gate=GateRequest())
    add_jobs(store, batch, [new_job(f"b{number}") for number in range(9)])
    return batch


def test_the_first_success_lets_the_rest_of_a_batch_follow_before_the_next_round_is_due(
    store: Store, broker: redis.Redis, new_feeder: Callable[..., Feeder]
):
    nine_jobs(store)
    feeder = new_feeder(period_seconds=3600.0)
    feeder.start()
    try:
        wait_until(lambda: len(messages(broker)) == FIRST_JOBS, "the first jobs are published")
        job, *others = take(broker, store, FIRST_JOBS)
        assert len(others) == FIRST_JOBS - 1
        persist(store, ending=success(job))

        wait_until(lambda: len(messages(broker)) == 9 - FIRST_JOBS, "the others are published")
    finally:
        feeder.stop()


def test_a_success_that_comes_while_the_round_still_publishes_is_not_missed(
    store: Store, broker: redis.Redis, new_feeder: Callable[..., Feeder], monkeypatch: pytest.MonkeyPatch
):
    nine_jobs(store)
    feeder = new_feeder(period_seconds=3600.0)
    publish = feeder._publish

    def published_and_answered(*args: object, **options: object) -> None:
        publish(*args, **options)
        if len(messages(broker)) == FIRST_JOBS:
            persist(store, ending=success(take(broker, store, FIRST_JOBS)[0]))

    monkeypatch.setattr(feeder, "_publish", published_and_answered)
    feeder.start()
    try:
        wait_until(lambda: len(messages(broker)) == 9 - FIRST_JOBS, "the others are published")
    finally:
        feeder.stop()


def test_the_first_headers_let_more_follow_before_the_next_round_is_due(
    store: Store, broker: redis.Redis, new_feeder: Callable[..., Feeder]
):
    batch, feeder = nine_jobs(store), new_feeder(period_seconds=3600.0)
    feeder.start()
    try:
        wait_until(lambda: len(messages(broker)) == FIRST_JOBS, "the first jobs are published")
        take(broker, store, FIRST_JOBS)
        persist(store, heard_batch=batch.id)

        wait_until(lambda: len(messages(broker)) == 9 - FIRST_JOBS, "the others are published")
    finally:
        feeder.stop()


def test_who_waits_for_the_first_jobs_is_known_while_they_run(store: Store, feeder: Feeder, broker: redis.Redis):
    def waiting() -> set[int]:
        with store.snapshot() as connection:
            return set(batches_waiting_for_first_jobs(connection))

    batch = open_batch(store, name="b", provider="p", queue="bulk", gate=GateRequest())
    add_jobs(store, batch, [new_job(f"b{number}") for number in range(5)])
    enqueue(store, 5, name="proven")
    assert not waiting(), "none has started"

    feeder.round()
    assert waiting() == {batch.id}

    jobs = {job.batch_id: job for job in take(broker, store, 8)}
    persist(store, ending=success(jobs[batch.id]))
    assert not waiting()
