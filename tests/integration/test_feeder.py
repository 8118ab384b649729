"""The feeder against a real broker: a short window, nothing lost, nothing flooded, one feeder at a time."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
from sqlalchemy import text

from tests.unit.store.steps import (
    FEED,
    claim,
    claimed,
    endings,
    enqueue,
    job_row,
    move_clock,
    publish,
    register,
    send,
    settle,
    states,
)
from workers import feeder as module
from workers.contract.errors import ServiceUnavailable
from workers.contract.outcome import AccountState
from workers.contract.wire import broker_queue
from workers.feeder import Feeder
from workers.publisher import KEY_PREFIX, Publisher
from workers.settings import load_settings
from workers.store.claims import Release
from workers.store.parks import park_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workers.store import Store

pytestmark = pytest.mark.integration

WINDOW = 20
QUEUE = KEY_PREFIX + broker_queue("bulk", "p")


@pytest.fixture
def broker(broker_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(broker_url)
    yield client
    client.close()


@pytest.fixture
def publisher(broker_url: str) -> Iterator[Publisher]:
    publisher = Publisher.connect(load_settings(redis_url=broker_url, window=WINDOW))
    yield publisher
    publisher.close()


@pytest.fixture
def new_feeder(store: Store, publisher: Publisher) -> Callable[..., Feeder]:
    def make(holder: str = "f1", **changes: Any) -> Feeder:
        options = {"period_seconds": 1.0, "dead_after_seconds": 30.0, "countdown_grace_seconds": 60.0}
        return Feeder(store, publisher, holder=holder, **(options | changes))

    return make


@pytest.fixture
def feeder(new_feeder: Callable[..., Feeder]) -> Feeder:
    return new_feeder()


def messages(broker: redis.Redis) -> list[str]:
    """The job ids of the messages that wait, the next one first."""
    raw: Any = broker.lrange(QUEUE, 0, -1)
    return [json.loads(message)["headers"]["id"].split(":")[0] for message in reversed(raw)]


def take(broker: redis.Redis, store: Store, count: int, worker: str = "w1") -> list[Any]:
    """A worker receives so many messages and claims their jobs."""
    ids = []
    for _ in range(count):
        message: Any = broker.rpop(QUEUE)
        ids.append(json.loads(message)["headers"]["id"].split(":")[0])
    return list(claim(store, ids, worker).values())


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

    def die() -> str:
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
    settle(store, release=Release(job_id=job.id, claim=job.claim, after_seconds=100.0, message_follows=True))
    for _ in range(3):
        feeder.round()
    assert messages(broker) == [], "its retry message counts down in a worker's memory"
    move_clock(store, "jobs", "not_before", 161)
    for _ in range(2):
        feeder.round()
    assert messages(broker) == [job.id]


class Clock:
    """The feeder's own clock, moved by the test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_is_dead_when_its_heartbeat_stood_still_for_long(
    store: Store, broker: redis.Redis, new_feeder: Callable[..., Feeder]
):
    clock = Clock()
    feeder = new_feeder(clock=clock)
    register(store, "w1", silent_seconds=31)
    [job] = claimed(store)
    send(store, job)

    feeder.round()
    clock.now += 29
    feeder.round()
    assert states(store) == {"running": 1}
    clock.now += 2
    feeder.round()
    assert states(store) == {"ready": 1}
    assert endings(store) == {"unknown": 1}
    assert messages(broker) == [job.id]


def test_a_heartbeat_that_moves_saves_the_claims_however_late_it_is(store: Store, new_feeder: Callable[..., Feeder]):
    clock = Clock()
    feeder = new_feeder(clock=clock)
    register(store, "w1", silent_seconds=100)
    claimed(store)
    for _ in range(6):
        feeder.round()
        clock.now += 29
        move_clock(store, "workers", "heartbeat_at", -1)
    assert states(store) == {"running": 1}


def test_a_heartbeat_that_is_young_by_the_databases_clock_saves_the_claims(
    store: Store, new_feeder: Callable[..., Feeder]
):
    clock = Clock()
    feeder = new_feeder(clock=clock)
    register(store, "w1")
    claimed(store)
    feeder.round()
    clock.now += 1000  # the feeder's machine slept
    feeder.round()
    assert states(store) == {"running": 1}


def test_after_the_store_was_away_every_worker_has_time_to_beat_again(
    store: Store, new_feeder: Callable[..., Feeder], monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    feeder = new_feeder(clock=clock)
    register(store, "w1", silent_seconds=600)
    claimed(store)
    feeder.round()

    def away() -> None:
        raise ServiceUnavailable("store", "away")

    clock.now += 600
    with monkeypatch.context() as patch:
        patch.setattr(store, "transaction", away)
        with pytest.raises(ServiceUnavailable):
            feeder.round()
    for _ in range(3):
        feeder.round()
        clock.now += 10

    assert states(store) == {"running": 1}, "its heartbeat is old because nobody could write one"
    clock.now += 1
    feeder.round()
    assert states(store) == {"ready": 1}


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


def test_without_a_broker_dead_workers_are_freed_all_the_same(
    store: Store, publisher: Publisher, new_feeder: Callable[..., Feeder], monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    feeder = new_feeder(clock=clock)
    register(store, "w1", silent_seconds=31)
    claimed(store)

    def away() -> str:
        raise ServiceUnavailable("broker", "away")

    monkeypatch.setattr(publisher, "epoch", away)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            feeder.round()
        clock.now += 31
    with pytest.raises(ServiceUnavailable):
        feeder.round()
    assert states(store) == {"ready": 1}


def test_many_feeds_each_have_a_window_of_their_own(store: Store, broker: redis.Redis, feeder: Feeder):
    for provider in ("p", "q", "r"):
        enqueue(store, 30, name=provider, provider=provider)
    feeder.round()

    for provider in ("p", "q", "r"):
        assert broker.llen(KEY_PREFIX + broker_queue("bulk", provider)) == WINDOW


def test_a_round_with_nothing_to_do_changes_no_job(store: Store, feeder: Feeder):
    enqueue(store, 5)
    feeder.round()
    with store.snapshot() as connection:
        before = connection.execute(text("SELECT * FROM jobs ORDER BY id")).all()
    for _ in range(3):
        feeder.round()
    with store.snapshot() as connection:
        assert connection.execute(text("SELECT * FROM jobs ORDER BY id")).all() == before
