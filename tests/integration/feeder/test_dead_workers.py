"""The feeder frees the claims of dead workers, and of no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.steps import (
    claimed,
    endings,
    move_clock,
    register,
    send,
    states,
)
from tests.support.broker_messages import Clock, messages
from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from workers.process.feeder import Feeder
    from workers.publisher import Publisher
    from workers.store import Store


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


def test_without_a_broker_dead_workers_are_freed_all_the_same(
    store: Store, publisher: Publisher, new_feeder: Callable[..., Feeder], monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    feeder = new_feeder(clock=clock)
    register(store, "w1", silent_seconds=31)
    claimed(store)

    def away(_store: Store) -> str:
        raise ServiceUnavailable("broker", "away")

    monkeypatch.setattr(publisher, "epoch", away)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            feeder.round()
        clock.now += 31
    with pytest.raises(ServiceUnavailable):
        feeder.round()
    assert states(store) == {"ready": 1}


def test_what_a_dead_worker_spooled_is_taken_up_by_those_that_run_even_without_the_lease(
    new_feeder: Callable[..., Feeder],
):
    now, taken = [0.0], []
    first = new_feeder("f1")
    second = new_feeder("f2", clock=lambda: now[0], take_up=lambda: taken.append(now[0]))
    first.round()
    for now[0] in (1.0, 11.0, 12.0, 22.0):
        assert not second.round()
    assert taken == [11.0, 22.0]
