"""The scripts that spend and learn, run by a Redis in this process."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.unit.budget.asking import answered, ask, give_back, refused, requests
from workers.budget.records import BudgetKey, Limits, QueuePolicy
from workers.budget.shared import SharedBudget, state_key

if TYPE_CHECKING:
    from fakeredis import FakeAsyncRedis

    from tests.unit.budget.conftest import Clock
    from workers.budget.records import ReserveAnswer

RPM_60 = Limits(requests=60)


async def learned(shared: SharedBudget, key: BudgetKey, *, limit: int, remaining: int, reset: float) -> ReserveAnswer:
    """Let the probe come back with these headers."""
    probe = await ask(shared, key, 1)
    await answered(shared, probe.grants[0], requests=requests(limit, remaining, reset))
    return probe


async def test_of_an_unknown_budget_one_probe_is_granted_and_nobody_else(shared: SharedBudget, key: BudgetKey):
    first = await ask(shared, key, 5)
    second = await ask(shared, key, 5)

    assert (len(first.grants), len(second.grants)) == (1, 0)
    assert first.is_probing
    assert second.is_probing


async def test_a_probe_whose_answer_does_not_come_is_followed_by_another(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    answer = await ask(shared, key, 5)
    clock.now += answer.wait_seconds + 0.1

    assert len((await ask(shared, key, 5)).grants) == 1


async def test_a_failed_probe_lets_another_one_try_at_once(shared: SharedBudget, key: BudgetKey):
    from workers.budget.records import PendingUpdates, RateSample

    probe = await ask(shared, key, 5)
    failed = PendingUpdates()
    failed.add(RateSample(grant=probe.grants[0], answered=False))
    await shared.settle(key, failed)

    assert len((await ask(shared, key, 5)).grants) == 1


async def test_the_first_answers_headers_open_the_bucket(shared: SharedBudget, key: BudgetKey):
    await learned(shared, key, limit=600, remaining=599, reset=0.1)

    answer = await ask(shared, key, 700)

    now = [grant for grant in answer.grants if grant.delay_seconds == 0]
    assert 550 < len(now) < 600, "all but a margin for calls on their way"
    assert answer.seconds_per_request == pytest.approx(0.1)


async def test_a_server_without_headers_is_not_limited(shared: SharedBudget, key: BudgetKey):
    probe = await ask(shared, key, 1)
    await answered(shared, probe.grants[0])

    answer = await ask(shared, key, 200)

    assert len(answer.grants) == 200
    assert not answer.is_probing


async def test_known_limits_start_from_an_empty_bucket(shared: SharedBudget, key: BudgetKey, clock: Clock):
    assert not (await ask(shared, key, 5, limits=RPM_60)).grants

    clock.now += 1.5

    assert len((await ask(shared, key, 5, limits=RPM_60)).grants) == 1


async def test_grants_reach_no_further_ahead_than_asked(shared: SharedBudget, key: BudgetKey):
    await learned(shared, key, limit=600, remaining=0, reset=60.0)

    answer = await ask(shared, key, 100, ahead_seconds=2.0)

    delays = [grant.delay_seconds for grant in answer.grants]
    assert 0 < len(delays) <= 20
    assert delays == sorted(delays)
    assert delays[-1] <= 2.0
    assert answer.wait_seconds > 0


async def test_grants_are_as_far_apart_as_the_limit_says(shared: SharedBudget, key: BudgetKey):
    await learned(shared, key, limit=600, remaining=0, reset=60.0)

    delays = [grant.delay_seconds for grant in (await ask(shared, key, 100, ahead_seconds=2.0)).grants]

    gaps = [later - earlier for earlier, later in itertools.pairwise(delays)]
    assert gaps == pytest.approx([0.1] * len(gaps))


async def test_tokens_bind_where_they_are_the_scarcer(shared: SharedBudget, key: BudgetKey):
    probe = await ask(shared, key, [1000])
    await answered(shared, probe.grants[0], requests=requests(6000, 5999, 0.01), tokens=requests(60_000, 40_000, 20.0))

    answer = await ask(shared, key, [10_000] * 10)

    assert [grant.delay_seconds for grant in answer.grants].count(0.0) == 3
    assert len(answer.grants) == 4
    assert answer.seconds_per_token == pytest.approx(0.001)


async def test_what_was_never_sent_goes_back(shared: SharedBudget, key: BudgetKey):
    await learned(shared, key, limit=60, remaining=40, reset=20.0)
    everything = await ask(shared, key, 100)
    assert not (await ask(shared, key, 1)).grants

    await give_back(shared, everything.grants[-1])

    assert len((await ask(shared, key, 5)).grants) == 1


async def test_after_a_refusal_nobody_calls_before_the_servers_wait_is_over(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    await learned(shared, key, limit=600, remaining=599, reset=0.1)
    grant = (await ask(shared, key, 1)).grants[0]

    assert await refused(shared, grant, wait_seconds=7) == pytest.approx(7)

    clock.now += 6.9
    blocked = await ask(shared, key, 5)
    assert not blocked.grants
    assert blocked.wait_seconds == pytest.approx(0.1, abs=0.01)


async def test_after_the_wait_one_call_probes_before_the_pace_resumes(
    shared: SharedBudget, key: BudgetKey, clock: Clock
):
    await learned(shared, key, limit=600, remaining=599, reset=0.1)
    await refused(shared, (await ask(shared, key, 1)).grants[0], wait_seconds=2)
    clock.now += 2.1

    probe, others = await ask(shared, key, 50), await ask(shared, key, 50)
    assert (len(probe.grants), len(others.grants)) == (1, 0)
    await answered(shared, probe.grants[0], requests=requests(600, 400, 20.0))

    assert len((await ask(shared, key, 50)).grants) == 50


async def test_refusals_without_a_wait_back_off_further_each_time(shared: SharedBudget, key: BudgetKey, clock: Clock):
    probe = await ask(shared, key, 1)
    waits = []
    for _ in range(4):
        waits.append(await refused(shared, probe.grants[0]))
        clock.now += waits[-1] + 30
        probe = await ask(shared, key, 1)

    assert waits == sorted(waits)
    assert waits[-1] > 2 * waits[0]
    assert waits[-1] <= 60


async def test_without_headers_refusals_teach_a_pace(shared: SharedBudget, key: BudgetKey, clock: Clock):
    probe = await ask(shared, key, 1)
    await answered(shared, probe.grants[0])
    burst = await ask(shared, key, 200)
    await refused(shared, burst.grants[0], wait_seconds=1)
    clock.now += 1.1
    probe = await ask(shared, key, 200)
    await answered(shared, probe.grants[0])

    answer = await ask(shared, key, 200)

    assert len(probe.grants) == 1
    assert len(answer.grants) < 50


async def test_a_halved_limit_halves_the_pace_at_once(shared: SharedBudget, key: BudgetKey):
    probe = await learned(shared, key, limit=600, remaining=0, reset=60.0)

    await answered(shared, probe.grants[0], requests=requests(300, 0, 60.0))

    assert (await ask(shared, key, 10)).seconds_per_request == pytest.approx(0.2)


async def test_a_limit_per_day_is_told_from_one_per_minute(shared: SharedBudget, key: BudgetKey):
    await learned(shared, key, limit=200, remaining=190, reset=4320.0)

    assert (await ask(shared, key, 1)).seconds_per_request == pytest.approx(432)


async def test_a_bucket_smaller_than_a_minute_is_told_by_its_reset(shared: SharedBudget, key: BudgetKey):
    await learned(shared, key, limit=600, remaining=9, reset=0.1)

    now = [grant for grant in (await ask(shared, key, 100)).grants if grant.delay_seconds == 0]

    assert 1 <= len(now) <= 9


async def test_budget_to_spare_counts_only_when_it_lasts(shared: SharedBudget, key: BudgetKey, clock: Clock):
    await learned(shared, key, limit=600, remaining=0, reset=60.0)
    spare = requests(600, 300, 30.0)
    grant = (await ask(shared, key, 20, ahead_seconds=2.0)).grants[-1]

    await answered(shared, grant, requests=spare)
    at_once = len((await ask(shared, key, 200)).grants)
    clock.now += 1.5
    await answered(shared, grant, requests=spare)
    later = len((await ask(shared, key, 200)).grants)

    assert at_once == 0, "calls on their way look like budget to spare"
    assert later == 200


async def test_a_call_larger_than_the_bucket_starts_from_a_full_one(shared: SharedBudget, key: BudgetKey, clock: Clock):
    probe = await ask(shared, key, [100])
    await answered(shared, probe.grants[0], tokens=requests(60_000, 900, 0.1))  # a second's slice
    first = await ask(shared, key, [5000, 5000])
    clock.now += first.grants[0].delay_seconds + 4.6
    second = await ask(shared, key, [5000])

    assert [grant.delay_seconds > 0 for grant in first.grants] == [True]
    assert 4.6 + second.grants[0].delay_seconds >= 5.0, "the bucket is full again after 5,000 tokens' time"


async def test_a_call_larger_than_the_whole_limit_is_left_to_the_provider(shared: SharedBudget, key: BudgetKey):
    probe = await ask(shared, key, [100])
    await answered(shared, probe.grants[0], tokens=requests(10_000, 0, 60.0))

    answer = await ask(shared, key, [50_000])

    assert [grant.delay_seconds for grant in answer.grants] == [0.0]


async def test_held_back_budget_stays_for_other_queues(shared: SharedBudget, key: BudgetKey):
    from workers.budget.records import QueueLength

    await learned(shared, key, limit=60, remaining=40, reset=20.0)
    waiting, costs = QueueLength(waiters=50, tokens=50), [1] * 50
    bulk = await shared.reserve(key, costs, waiting=waiting, policy=QueuePolicy(held_back_share=0.5), limits=Limits())
    rest = await shared.reserve(key, costs, waiting=waiting, policy=QueuePolicy(), limits=Limits())

    assert len(bulk.grants) < 15
    assert len(rest.grants) >= 25


async def test_the_last_waiters_of_all_processes_take_what_is_held_back(
    shared: SharedBudget, redis: FakeAsyncRedis, key: BudgetKey
):
    from workers.budget.records import QueueLength

    await learned(shared, key, limit=60, remaining=10, reset=50.0)
    bulk = QueuePolicy(held_back_share=0.2)
    other = SharedBudget(redis, key_prefix="gradequeue:", worker_id="another")
    many, few = QueueLength(waiters=20, tokens=20), QueueLength(waiters=6, tokens=6)

    first = await other.reserve(key, [1] * 20, waiting=many, policy=bulk, limits=Limits())
    beside_many = await shared.reserve(key, [1] * 6, waiting=few, policy=bulk, limits=Limits())
    await other.reserve(key, [], waiting=QueueLength(waiters=0, tokens=0), policy=bulk, limits=Limits())
    as_the_last = await shared.reserve(key, [1] * 6, waiting=few, policy=bulk, limits=Limits())

    assert not first.grants, "the stock is for others"
    assert not beside_many.grants
    assert len(as_the_last.grants) == 6


async def test_an_emptied_server_knows_an_empty_bucket_and_no_more(
    shared: SharedBudget, key: BudgetKey, redis: FakeAsyncRedis
):
    await learned(shared, key, limit=600, remaining=599, reset=0.1)
    await redis.delete(state_key("gradequeue:", key))

    assert not (await ask(shared, key, 50, limits=Limits(requests=60))).grants


async def test_keys_of_one_budget_stay_together_in_a_cluster(shared: SharedBudget, redis: FakeAsyncRedis):
    key = BudgetKey("host:8080", "vendor/{model}")
    await learned(shared, key, limit=60, remaining=0, reset=60.0)
    await ask(shared, key, 5, ahead_seconds=2.0)

    names = [name.decode() for name in await redis.keys("gradequeue:budget:*")]

    assert len(names) == 3
    assert {name[name.index("{") : name.index("}") + 1] for name in names} == {"{host%3A8080/vendor%2F%7Bmodel%7D}"}
