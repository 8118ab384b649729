"""Limits that a person set, beside the provider's: paced, over all workers, and changed while calls run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.budget.asking import answered, give_back, requests
from workers.budget.records import (
    NO_OWN_LIMITS,
    Limits,
    OwnLimits,
    PendingUpdates,
    QueueLength,
    QueuePolicy,
    RateSample,
)
from workers.budget.shared import SharedBudget

if TYPE_CHECKING:
    from fakeredis import FakeAsyncRedis

    from tests.unit.budget.conftest import Clock
    from workers.budget.records import BudgetKey, Grant, ReserveAnswer


async def ask(
    shared: SharedBudget, key: BudgetKey, count: int, own: OwnLimits, *, tokens: int = 100, in_flight: int = 0
) -> ReserveAnswer:
    costs = [tokens] * count
    return await shared.reserve(
        key,
        costs,
        waiting=QueueLength(waiters=count, tokens=sum(costs)),
        policy=QueuePolicy(),
        limits=Limits(),
        in_flight=in_flight,
        own=own,
    )


async def known(shared: SharedBudget, key: BudgetKey, limit: int = 60_000) -> None:
    """A model of which the provider takes a thousand calls a second."""
    [probe] = (await ask(shared, key, 1, NO_OWN_LIMITS)).grants
    await answered(shared, probe, requests=requests(limit, limit - 1, 0.001))


async def granted(
    shared: SharedBudget, key: BudgetKey, clock: Clock, own: OwnLimits, *, seconds: int, tokens: int = 100
) -> int:
    count = 0
    for _ in range(seconds * 10):
        count += len((await ask(shared, key, 50, own, tokens=tokens)).grants)
        clock.now += 0.1
    return count


@pytest.mark.parametrize(
    ("own", "most"), [(OwnLimits(requests=600), 600), (OwnLimits(tokens=30_000), 300), (OwnLimits(requests=60), 60)]
)
async def test_calls_are_spread_at_the_own_limit_whatever_the_provider_allows(
    shared: SharedBudget, key: BudgetKey, clock: Clock, own: OwnLimits, most: int
):
    await known(shared, key)
    assert await granted(shared, key, clock, own, seconds=60) == pytest.approx(most, rel=0.04)


async def test_a_limit_changes_while_calls_run_and_ends_when_it_is_taken_away(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    await known(shared, key)
    assert await granted(shared, key, clock, OwnLimits(requests=60), seconds=20) <= 22
    assert await granted(shared, key, clock, OwnLimits(requests=600), seconds=20) == pytest.approx(200, abs=12)
    assert len((await ask(shared, key, 50, NO_OWN_LIMITS)).grants) == 50


async def test_the_lower_of_both_limits_holds(shared: SharedBudget, key: BudgetKey, clock: Clock):
    await known(shared, key, limit=60)
    assert await granted(shared, key, clock, OwnLimits(requests=6000), seconds=60) <= 60 + 60 + 2


async def test_a_call_larger_than_a_seconds_tokens_is_granted_and_paid_for_by_a_wait(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    await known(shared, key)
    own = OwnLimits(tokens=6000)
    assert await granted(shared, key, clock, own, seconds=60, tokens=1000) == pytest.approx(6, abs=1)


async def test_a_grant_that_was_not_used_counts_for_nothing(shared: SharedBudget, key: BudgetKey):
    await known(shared, key)
    own = OwnLimits(requests=60)
    [grant] = (await ask(shared, key, 1, own)).grants
    assert (await ask(shared, key, 1, own)).grants == []
    await give_back(shared, grant)
    assert len((await ask(shared, key, 1, own)).grants) == 1


async def test_calls_in_flight_are_bounded_over_all_workers(
    shared: SharedBudget, redis: FakeAsyncRedis, key: BudgetKey
):
    await known(shared, key)
    own, other = OwnLimits(in_flight=8), SharedBudget(redis, key_prefix="gradequeue:", worker_id="another")
    first = await ask(shared, key, 5, own)
    second = await ask(other, key, 5, own)
    assert (len(first.grants), len(second.grants), second.is_full) == (5, 3, True)
    assert (await ask(other, key, 5, own, in_flight=3)).grants == []

    await ended(shared, list(first.grants[:2]))
    assert len((await ask(other, key, 5, own, in_flight=3)).grants) == 2


async def ended(shared: SharedBudget, grants: list[Grant]) -> None:
    updates = PendingUpdates()
    for grant in grants:
        updates.add(RateSample(grant=grant, answered=True, latency_seconds=1.0))
    await shared.settle(grants[0].key, updates, call_timeout_seconds=60.0)
