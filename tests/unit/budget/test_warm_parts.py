"""Cached parts known to all workers, over a Redis in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workers.budget.shared import connect
from workers.budget.warm_parts import PartState, SharedWarmParts

if TYPE_CHECKING:
    from fakeredis import FakeAsyncRedis


PART = ("m/1", "key")


@pytest.fixture
def workers(redis: FakeAsyncRedis) -> list[SharedWarmParts]:
    """Two of them."""
    return [SharedWarmParts(redis, key_prefix="gradequeue:", account="p", worker_id=name) for name in ("w1", "w2")]


async def test_one_worker_writes_a_part_and_the_others_read_it(workers: list[SharedWarmParts]):
    one, other = workers

    assert await one.ask(PART, within_seconds=30) is PartState.OURS
    assert await other.ask(PART, within_seconds=30) is PartState.BEING_WRITTEN
    assert await other.ask(("m/1", "another"), within_seconds=30) is PartState.OURS
    await one.answered(PART)
    assert await other.ask(PART, within_seconds=30) is PartState.WARM


async def test_a_call_that_failed_lets_another_worker_go_and_gives_up_nothing_that_is_not_its_own(
    workers: list[SharedWarmParts],
):
    one, other = workers
    await one.ask(PART, within_seconds=30)

    await other.give_up(PART)
    assert await other.ask(PART, within_seconds=30) is PartState.BEING_WRITTEN
    await one.give_up(PART)
    assert await other.ask(PART, within_seconds=30) is PartState.OURS


async def test_a_worker_that_dies_holds_a_part_for_a_bounded_time(
    workers: list[SharedWarmParts], redis: FakeAsyncRedis
):
    one, _other = workers
    await one.ask(PART, within_seconds=30)

    [key] = await redis.keys("*")
    assert 0 < await redis.pttl(key) <= 30_000


async def test_without_redis_every_worker_sends_a_first_call_of_its_own():
    away = SharedWarmParts(connect("redis://127.0.0.1:1"), key_prefix="gradequeue:", account="p", worker_id="w")

    assert await away.ask(PART, within_seconds=30) is PartState.OURS
    await away.answered(PART)
    await away.give_up(PART)
    await away.close()
