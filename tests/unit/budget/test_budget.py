"""Reserve, confirm, settle and give back, over the real scripts in this process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unit.budget.asking import requests
from workers.budget.budget import AWAY_SECONDS, Budget
from workers.budget.records import Grant, Limits, NotGranted, RateSample
from workers.budget.shared import state_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fakeredis import FakeAsyncRedis

    from workers.budget.records import BudgetKey
    from workers.budget.shared import SharedBudget


@pytest.fixture
async def budget(shared: SharedBudget, key: BudgetKey) -> AsyncIterator[Budget]:
    budget = Budget(shared, account=key.account)
    yield budget
    await budget.close()


async def granted(budget: Budget, model: str, *, within_seconds: float = 5.0) -> Grant:
    answer = await budget.reserve(model, 100, within_seconds=within_seconds)
    assert isinstance(answer, Grant), answer
    return answer


async def state(redis: FakeAsyncRedis, key: BudgetKey) -> dict[str, float]:
    fields = await redis.hgetall(state_key("gradequeue:", key))
    return {name.decode(): float(value) for name, value in fields.items()}


async def settled(budget: Budget) -> None:
    """What was told without waiting has arrived."""
    await asyncio.gather(*(quota.flushing for quota in budget._quotas.values() if quota.flushing))


async def test_waiters_go_on_when_the_probe_is_answered(budget: Budget, key: BudgetKey):
    probe = await granted(budget, key.model)
    waiting = asyncio.create_task(granted(budget, key.model))
    await asyncio.sleep(0.02)
    assert not waiting.done()

    budget.settle(RateSample(grant=probe, answered=True, requests=requests(600, 599, 0.1)))

    assert (await waiting).requests_base is not None


async def test_a_deadline_in_line_spends_nothing(budget: Budget, key: BudgetKey, redis: FakeAsyncRedis):
    await granted(budget, key.model)

    assert await budget.reserve(key.model, 100, within_seconds=0.05) is NotGranted.DEADLINE
    assert (await state(redis, key))["minute_count"] == 1


async def test_a_refusal_stops_this_process_even_where_redis_forgets_it(
    budget: Budget, key: BudgetKey, redis: FakeAsyncRedis
):
    probe = await granted(budget, key.model)
    budget.settle(RateSample(grant=probe, answered=False, refused=True, refused_wait_seconds=30))
    await settled(budget)
    await redis.flushall()

    assert await budget.reserve(key.model, 100, within_seconds=0.1) is NotGranted.DEADLINE


async def test_what_is_given_back_is_there_for_others(budget: Budget, key: BudgetKey, redis: FakeAsyncRedis):
    probe = await granted(budget, key.model)
    budget.settle(RateSample(grant=probe, answered=True, requests=requests(600, 100, 50.0)))
    await settled(budget)
    grant = await granted(budget, key.model)
    before = (await state(redis, key))["r_level"]

    budget.give_back(grant)
    await settled(budget)

    assert (await state(redis, key))["r_level"] == pytest.approx(before + 1)


async def test_a_grant_whose_moment_has_passed_is_exchanged(budget: Budget, key: BudgetKey, redis: FakeAsyncRedis):
    probe = await granted(budget, key.model)
    budget.settle(RateSample(grant=probe, answered=True, requests=requests(600, 100, 50.0)))
    await settled(budget)
    grant = await granted(budget, key.model)
    before = (await state(redis, key))["r_level"]
    assert await budget.confirm(grant) is grant

    another = await budget.confirm(replace(grant, starts_at=grant.starts_at - 1))
    await settled(budget)

    assert isinstance(another, Grant)
    assert another is not grant
    assert (await state(redis, key))["r_level"] == pytest.approx(before), "one was given back, one was taken"


async def test_a_server_without_limits_is_not_told_a_thousand_times(budget: Budget, key: BudgetKey):
    probe = await granted(budget, key.model)
    budget.settle(RateSample(grant=probe, answered=True))
    await settled(budget)
    grants = [await granted(budget, key.model) for _ in range(3)]

    for grant in grants:
        budget.settle(RateSample(grant=grant, answered=True))

    assert all(quota.pending.answered == 0 for quota in budget._quotas.values())


async def test_limits_seen_before_save_the_probe(shared: SharedBudget, key: BudgetKey, redis: FakeAsyncRedis):
    budget = Budget(shared, account=key.account, known={key.model: Limits(requests=600)})
    reserving = asyncio.create_task(budget.reserve(key.model, 100, within_seconds=0.1))
    await reserving
    await budget.close()

    assert (await state(redis, key))["r_limit"] == 600


@pytest.mark.parametrize("stall_seconds", [0.0, AWAY_SECONDS + 0.05], ids=["at once", "after a stall"])
async def test_what_was_granted_before_the_provider_went_away_is_not_sent(
    budget: Budget, key: BudgetKey, stall_seconds: float
):
    probe = await granted(budget, key.model)
    budget.settle(RateSample(grant=probe, answered=True))
    await settled(budget)
    first, second = await granted(budget, key.model), await granted(budget, key.model)

    budget.settle(RateSample(grant=first, answered=False, away=True))
    await settled(budget)
    await asyncio.sleep(stall_seconds)

    assert await budget.confirm(second, within_seconds=0.1) is NotGranted.DEADLINE


async def test_headers_of_a_call_in_flight_let_the_waiters_go(budget: Budget, key: BudgetKey):
    first = await granted(budget, key.model)
    waiting = asyncio.create_task(granted(budget, key.model))

    budget.hear(RateSample(grant=first, answered=False, requests=requests(600, 599, 0.1)))

    assert (await waiting).requests_base is not None
    assert budget._quotas[key.model].in_flight == 2, "the first one has not ended"


async def test_headers_that_name_no_limit_let_nobody_go(budget: Budget, key: BudgetKey):
    first = await granted(budget, key.model)

    budget.hear(RateSample(grant=first, answered=False))

    assert await budget.reserve(key.model, 100, within_seconds=0.1) is NotGranted.DEADLINE


async def test_that_an_account_streams_in_vain_is_known_to_all_workers(shared: SharedBudget, key: BudgetKey):
    first = Budget(shared, account=key.account)
    careful = await granted(first, key.model)
    assert first.wants_stream(careful)

    first.learn_streaming(is_in_vain=True)
    await first.close()
    second = Budget(shared, account=key.account)
    other = await granted(second, f"{key.model}-2")

    assert other.is_careful
    assert not second.wants_stream(other)
    await second.close()


async def test_a_doubt_about_streams_stays_in_the_process(shared: SharedBudget, key: BudgetKey):
    budget = Budget(shared, account=key.account)
    careful = await granted(budget, key.model)

    budget.learn_streaming(is_in_vain=True, is_sure=False)
    assert not budget.wants_stream(careful)
    budget.learn_streaming(is_in_vain=False)

    assert budget.wants_stream(careful)
    assert not await shared.streams_in_vain(key.account)
    await budget.close()
