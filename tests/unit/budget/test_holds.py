"""What holds a model, for how long, and what ends it: the scripts, run by a Redis in this process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.unit.budget.asking import answered, ask, refused, requests
from workers.budget.records import PendingUpdates, RateSample
from workers.budget.view import HeldFor, _model_budget, _numbers

if TYPE_CHECKING:
    from fakeredis import FakeAsyncRedis

    from tests.unit.budget.conftest import Clock
    from workers.budget.records import BudgetKey, Grant
    from workers.budget.shared import SharedBudget
    from workers.budget.view import ModelBudget

CAUSE = "The connection to the provider failed"


async def away(shared: SharedBudget, grant: Grant, *, wait_seconds: float | None = None) -> float:
    updates = PendingUpdates()
    updates.add(RateSample(grant=grant, answered=False, away=True, away_wait_seconds=wait_seconds, cause=CAUSE))
    return await shared.settle(grant.key, updates)


async def shown(redis: FakeAsyncRedis, key: BudgetKey, clock: Clock) -> ModelBudget:
    from workers.budget.shared import state_key

    state = await redis.hgetall(state_key("gradequeue:", key))
    return _model_budget(key, _numbers(state), 0, clock.now, state.get(b"cause", b"").decode())


async def running_free(shared: SharedBudget, key: BudgetKey) -> list[Grant]:
    probe = await ask(shared, key, 1)
    await answered(shared, probe.grants[0])
    return list((await ask(shared, key, 20)).grants)


async def test_a_provider_that_is_away_is_probed_with_one_job_at_a_time_ever_less(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    calls = await running_free(shared, key)
    for call in calls:
        await away(shared, call)
    waits = []
    for _ in range(8):
        assert not (await ask(shared, key, 20)).grants
        waits.append((await ask(shared, key, 20)).wait_seconds)
        clock.now += waits[-1] + 0.01
        probe = await ask(shared, key, 20)
        assert len(probe.grants) == 1
        assert not (await ask(shared, key, 20)).grants
        await away(shared, probe.grants[0])

    assert waits == sorted(waits)
    assert waits[0] <= 1
    assert waits[-1] == pytest.approx(15)


def sent_earlier(grant: Grant, seconds: float) -> Grant:
    return replace(grant, starts_at=grant.starts_at - seconds)


async def test_an_answer_to_a_later_call_ends_it_at_once(
    shared: SharedBudget, key: BudgetKey, clock: Clock, redis: FakeAsyncRedis
):
    calls, died_at = await running_free(shared, key), clock.now
    await away(shared, calls[0])
    held = await shown(redis, key, clock)
    clock.now += 0.6
    [probe] = (await ask(shared, key, 20)).grants
    await answered(shared, probe)

    assert (held.held_for, held.held_since, held.held_cause) == (HeldFor.AWAY, died_at, CAUSE)
    assert held.startable(30.0) == 1
    assert (await shown(redis, key, clock)).held_for is None
    assert len((await ask(shared, key, 20)).grants) == 20


async def test_an_answer_that_was_on_its_way_when_the_provider_died_does_not_end_it(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    calls = [sent_earlier(call, 1.0) for call in await running_free(shared, key)]
    await away(shared, calls[0])
    clock.now += 0.4
    await answered(shared, calls[1])
    still_held = await ask(shared, key, 20)
    clock.now += 0.7
    await answered(shared, calls[2])

    assert not still_held.grants
    assert len((await ask(shared, key, 20)).grants) == 20, "so late, the provider must have sent it"


async def test_an_answer_in_the_same_update_as_a_failure_does_not_hide_it(shared: SharedBudget, key: BudgetKey):
    calls = await running_free(shared, key)
    updates = PendingUpdates()
    for call, is_away in zip(calls, (False, True, False), strict=False):
        updates.add(RateSample(grant=call, answered=not is_away, away=is_away, cause=CAUSE))
    await shared.settle(key, updates)

    assert not (await ask(shared, key, 20)).grants


async def test_silence_of_a_probe_does_not_end_it(shared: SharedBudget, key: BudgetKey, clock: Clock):
    calls = await running_free(shared, key)
    await away(shared, calls[0])
    clock.now += 1
    await ask(shared, key, 20)
    clock.now += 5

    assert not (await ask(shared, key, 20)).grants


async def test_a_probe_that_ends_without_news_is_followed_by_another_one(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    calls = await running_free(shared, key)
    await away(shared, calls[0])
    clock.now += 1
    probe = (await ask(shared, key, 20)).grants[0]
    timed_out = PendingUpdates()
    timed_out.add(RateSample(grant=probe, answered=False, timed_out=True))
    await shared.settle(key, timed_out)

    assert len((await ask(shared, key, 20)).grants) == 1


async def test_a_wait_that_the_provider_names_is_kept_within_bounds(shared: SharedBudget, key: BudgetKey, clock: Clock):
    calls = await running_free(shared, key)
    await away(shared, calls[0], wait_seconds=86_400.0)
    clock.now += 59
    assert not (await ask(shared, key, 20)).grants
    clock.now += 1.1

    assert len((await ask(shared, key, 20)).grants) == 1


async def test_no_one_jobs_wait_holds_the_model_for_a_day(shared: SharedBudget, key: BudgetKey, clock: Clock):
    calls = await running_free(shared, key)
    await refused(shared, calls[0], wait_seconds=86_400.0)
    clock.now += 60.1

    probe = await ask(shared, key, 20)
    assert len(probe.grants) == 1
    await answered(shared, probe.grants[0])
    assert (await ask(shared, key, 20)).grants


async def test_a_day_that_is_meant_is_asked_about_ever_less(shared: SharedBudget, key: BudgetKey, clock: Clock):
    probe, asked = (await running_free(shared, key))[0], 0
    began = clock.now
    while clock.now < began + 6 * 3600:
        await refused(shared, probe, wait_seconds=86_400.0)
        asked += 1
        clock.now += (await ask(shared, key, 1)).wait_seconds + 0.1
        probe = (await ask(shared, key, 1)).grants[0]

    assert asked <= 30


async def test_a_refusal_says_since_when_and_why(
    shared: SharedBudget, key: BudgetKey, clock: Clock, redis: FakeAsyncRedis
):
    calls, began = await running_free(shared, key), clock.now
    for call in calls[:2]:
        updates = PendingUpdates()
        updates.add(RateSample(grant=call, answered=False, refused=True, cause="Rate limit exceeded"))
        await shared.settle(key, updates)
        clock.now += 0.2
    held = await shown(redis, key, clock)

    assert (held.held_for, held.held_since, held.held_cause) == (HeldFor.REFUSED, began, "Rate limit exceeded")


async def test_a_single_probe_that_is_refused_costs_the_wait_that_the_server_named(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    probe = await ask(shared, key, 1)
    await refused(shared, probe.grants[0], wait_seconds=2.0)
    clock.now += 2.01

    again = await ask(shared, key, 1)
    assert [grant.delay_seconds for grant in again.grants] == [0.0]
    await answered(shared, again.grants[0])
    assert len((await ask(shared, key, 50)).grants) == 50, "one call is no pace"


async def test_a_reset_of_minutes_beside_a_retry_after_of_a_second_costs_a_second(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    probe = await ask(shared, key, 1)
    await refused(shared, probe.grants[0], wait_seconds=1.0, requests=requests(60, 0, 360.0))
    clock.now += 1.01

    assert [grant.delay_seconds for grant in (await ask(shared, key, 1)).grants] == [0.0]
