"""The feeder against a real broker: a short window, nothing lost, nothing flooded, one feeder at a time."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.store.steps import (
    FEED,
    claim,
    claimed,
    enqueue,
    job_row,
    move_clock,
    persist,
    publish,
    states,
)
from tests.support.broker_messages import QUEUE, Clock, messages, take
from tests.support.store_id import queue_key
from workers.contract.errors import ServiceUnavailable
from workers.contract.outcome import AccountState
from workers.process import feeder as module
from workers.publisher import Publisher
from workers.settings import load_settings
from workers.store.parks import park_account
from workers.store.releases import Release

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from workers.process.feeder import Feeder
    from workers.store import Store

WINDOW = 20

pytestmark = pytest.mark.integration


def test_the_queue_holds_a_window_and_the_store_the_rest(store: Store, broker: redis.Redis, feeder: Feeder):
    enqueue(store, 50)
    for _ in range(3):
        feeder.round()

    assert len(messages(broker)) == WINDOW
    assert len(set(messages(broker))) == WINDOW


def test_what_workers_take_is_filled_up(store: Store, broker: redis.Redis, feeder: Feeder):
    enqueue(store, 50)
    feeder.round()
    taken = take(broker, store, 15)
    feeder.round()

    assert len(messages(broker)) == WINDOW
    assert not {job.id for job in taken} & set(messages(broker))


def test_a_small_batch_does_not_wait_behind_a_large_one(store: Store, broker: redis.Redis, feeder: Feeder):
    enqueue(store, 100, name="large")
    enqueue(store, 5, name="small")
    feeder.round()

    shares = Counter(job_row(store, job_id).batch_id for job_id in messages(broker))
    assert sorted(shares.values()) == [5, 15]


def test_an_emptied_broker_gets_every_unclaimed_job_again_and_no_flood(
    store: Store, broker: redis.Redis, feeder: Feeder
):
    enqueue(store, 30)
    feeder.round()
    running = take(broker, store, 5)
    broker.flushall()
    for _ in range(4):
        feeder.round()

    assert len(messages(broker)) == WINDOW
    assert len(set(messages(broker))) == WINDOW
    assert not {job.id for job in running} & set(messages(broker))
    take(broker, store, WINDOW, "w2")
    feeder.round()
    assert len(messages(broker)) == 5
    assert states(store) == {"running": 25, "ready": 5}


def test_a_feeder_that_dies_while_it_mends_an_emptied_broker_is_followed_by_another(
    store: Store,
    broker: redis.Redis,
    publisher: Publisher,
    new_feeder: Callable[..., Feeder],
    monkeypatch: pytest.MonkeyPatch,
):
    enqueue(store, 10)
    new_feeder().round()
    broker.flushall()

    def die(_store: Store) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publisher, "begin_epoch", die)
        with pytest.raises(KeyboardInterrupt):
            new_feeder("f1").round()
    new_feeder("f1").round()

    assert len(set(messages(broker))) == 10


def test_marked_rows_without_messages_are_found_in_the_second_round(store: Store, broker: redis.Redis, feeder: Feeder):
    feeder.round()
    enqueue(store, 8)
    publish(store)  # a producer that was killed between its commit and the broker

    feeder.round()
    assert messages(broker) == []
    feeder.round()
    assert len(set(messages(broker))) == 8


def test_messages_in_workers_hands_are_not_missed_in_one_round(store: Store, broker: redis.Redis, feeder: Feeder):
    enqueue(store, 10)
    feeder.round()
    in_hands: Any = broker.rpop(QUEUE, 4)  # received, not claimed yet
    feeder.round()
    claim(store, [json.loads(message)["headers"]["id"].split(":")[0] for message in in_hands])
    feeder.round()
    feeder.round()

    assert len(messages(broker)) == 6


def test_messages_that_a_busy_worker_has_not_claimed_yet_are_not_sent_again_however_often_one_looks(
    store: Store, broker: redis.Redis, new_feeder: Callable[..., Feeder]
):
    clock = Clock()
    feeder = new_feeder(clock=clock, missing_seconds=module.MISSING_SECONDS)
    enqueue(store, 10)
    feeder.round()
    in_hands: Any = broker.rpop(QUEUE, 4)
    for _ in range(45):  # rounds of 0.2 s
        feeder.round()
        clock.now += 0.2
    assert len(messages(broker)) == 6

    claim(store, [json.loads(message)["headers"]["id"].split(":")[0] for message in in_hands])
    clock.now += module.MISSING_SECONDS
    for _ in range(2):
        feeder.round()
    assert len(messages(broker)) == 6, "they are claimed now"


def test_messages_that_nobody_claims_are_sent_again_after_some_seconds(
    store: Store, broker: redis.Redis, new_feeder: Callable[..., Feeder]
):
    clock = Clock()
    feeder = new_feeder(clock=clock, missing_seconds=module.MISSING_SECONDS)
    enqueue(store, 10)
    feeder.round()
    broker.rpop(QUEUE, 4)
    feeder.round()
    assert len(messages(broker)) == 6
    clock.now += module.MISSING_SECONDS
    feeder.round()
    assert len(messages(broker)) == 10


def test_what_was_missing_before_the_store_was_away_proves_nothing_after_it(
    store: Store, broker: redis.Redis, new_feeder: Callable[..., Feeder], monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    feeder = new_feeder(clock=clock, missing_seconds=module.MISSING_SECONDS)
    enqueue(store, 10)
    feeder.round()
    broker.rpop(QUEUE, 4)  # their worker waits for the store, too
    feeder.round()

    def away(*_arguments: object, **_options: object) -> None:
        raise ServiceUnavailable("store", "away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "run", away)
        with pytest.raises(ServiceUnavailable):
            feeder.round()
    clock.now += 60
    for _ in range(2):
        feeder.round()
    assert len(messages(broker)) == 6


def test_the_repair_of_one_round_is_bounded_and_goes_on_in_the_next(
    store: Store, broker: redis.Redis, feeder: Feeder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MOST_RESENT", 3)
    feeder.round()
    enqueue(store, 8)
    publish(store)
    feeder.round()
    counts = []
    for _ in range(8):
        feeder.round()
        counts.append(len(messages(broker)))

    assert counts[0] == 3
    assert counts[-1] == 8


def test_a_lost_countdown_is_found_after_its_grace(store: Store, broker: redis.Redis, feeder: Feeder):
    feeder.round()
    [job] = claimed(store)
    persist(store, release=Release(job_id=job.id, claim=job.claim, after_seconds=100.0, message_follows=True))
    for _ in range(3):
        feeder.round()
    assert messages(broker) == [], "its retry message counts down in a worker's memory"
    move_clock(store, "jobs", "not_before", 161)
    for _ in range(2):
        feeder.round()
    assert messages(broker) == [job.id]


def test_parked_jobs_stay_in_the_store(store: Store, broker: redis.Redis, feeder: Feeder):
    enqueue(store, 5)
    with store.transaction() as connection:
        park_account(connection, account="p", state=AccountState.AUTH_FAILED, message="no")
    feeder.round()
    assert messages(broker) == []


def test_one_feeder_is_active_and_another_follows_at_once_when_it_stops(
    store: Store, broker: redis.Redis, new_feeder: Callable[..., Feeder]
):
    enqueue(store, 5)
    first, second = new_feeder("f1", period_seconds=60.0), new_feeder("f2")
    assert first.round()
    assert not second.round()
    first.start()
    first.stop()
    assert second.round()
    assert len(messages(broker)) == 5


def test_another_feeder_follows_one_that_was_killed(store: Store, new_feeder: Callable[..., Feeder]):
    assert new_feeder("f1").round()
    move_clock(store, "leases", "expires_at", 11)
    assert new_feeder("f2").round()


def test_feeders_that_overlap_send_no_job_twice(store: Store, broker: redis.Redis, broker_url: str):
    enqueue(store, 60)
    others = [Publisher.connect(load_settings(redis_url=broker_url, window=60)) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda other: other.publish_due(store, FEED), others))
    for other in others:
        other.close()

    assert Counter(Counter(messages(broker)).values()) == {1: len(messages(broker))}


def test_many_feeds_each_have_a_window_of_their_own(store: Store, broker: redis.Redis, feeder: Feeder):
    for provider in ("p", "q", "r"):
        enqueue(store, 30, name=provider, provider=provider)
    feeder.round()

    for provider in ("p", "q", "r"):
        assert broker.llen(queue_key("bulk", provider)) == WINDOW


def test_a_round_with_nothing_to_do_changes_no_job(store: Store, feeder: Feeder):
    enqueue(store, 5)
    feeder.round()
    with store.snapshot() as connection:
        before = connection.execute(text("SELECT * FROM jobs ORDER BY id")).all()
    for _ in range(3):
        feeder.round()
    with store.snapshot() as connection:
        assert connection.execute(text("SELECT * FROM jobs ORDER BY id")).all() == before


@pytest.mark.parametrize("step", ["_free_dead_workers", "_check_epoch", "_resend_missing", "_take_up"])
def test_a_step_that_fails_in_the_store_does_not_stop_publishing(
    store: Store, broker: redis.Redis, feeder: Feeder, monkeypatch: pytest.MonkeyPatch, step: str
):
    errors = iter([ServiceUnavailable("store", "lock timeout"), ZeroDivisionError()])

    def fail(*_arguments: object) -> None:
        raise next(errors)

    enqueue(store, 3)
    monkeypatch.setattr(feeder, step, fail)
    monkeypatch.setattr(module, "TAKE_UP_SECONDS", 0.0)
    monkeypatch.setattr(feeder, "_take_up_at", 0.0)
    assert feeder.round()
    assert len(messages(broker)) == 3
    enqueue(store, 2, name="more")
    assert feeder.round()
    assert len(messages(broker)) == 5


def test_one_queue_that_cannot_be_published_does_not_stop_the_others(
    store: Store, broker: redis.Redis, feeder: Feeder, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
):
    enqueue(store, 3)
    enqueue(store, 3, name="other", provider="other")
    original = publisher.publish_due

    def fail_for_the_other(store: Store, feed: Any, **options: Any) -> int:
        if feed.provider == "other":
            raise ServiceUnavailable("store", "statement timeout")
        return original(store, feed, **options)

    monkeypatch.setattr(publisher, "publish_due", fail_for_the_other)
    assert feeder.round()
    assert len(messages(broker)) == 3
