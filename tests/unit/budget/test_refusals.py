"""Refusals counted for all workers, over a Redis in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.budget.asking import answered, ask
from workers.budget.refusals import NOT_SINGLED, SharedRefusals, Singled

if TYPE_CHECKING:
    from fakeredis import FakeAsyncRedis

    from workers.budget.records import BudgetKey
    from workers.budget.shared import SharedBudget


@pytest.fixture
def workers(redis: FakeAsyncRedis, key: BudgetKey) -> list[SharedRefusals]:
    """Two of them."""
    return [SharedRefusals(redis, key_prefix="gradequeue:", account=key.account) for _ in range(2)]


async def test_jobs_are_counted_once_whichever_worker_meets_the_refusal(workers: list[SharedRefusals]):
    one, other = workers

    assert [await one.refused("a"), await other.refused("a"), await other.refused("b")] == [1, 1, 2]


async def test_whoever_meets_the_last_refusal_of_an_alarm_knows_the_jobs_of_all(workers: list[SharedRefusals]):
    one, other = workers
    await one.refused("a")
    await other.refused("b")

    assert await one.refused_jobs() == {"a", "b"}
    await other.answered()
    assert await one.refused_jobs() == frozenset()


async def test_a_success_in_one_worker_ends_the_row_for_all(workers: list[SharedRefusals]):
    one, other = workers
    await one.refused("a")
    await one.suspected("a")

    assert await other.answered()
    assert not await other.answered()
    assert [await one.refused("b"), await one.suspected("b")] == [1, 1]


async def test_a_request_is_singled_out_by_answers_between_its_refusals(
    workers: list[SharedRefusals], shared: SharedBudget, key: BudgetKey
):
    one, other = workers
    seen = [await one.singled_out(key.model, "a", alone_counts=True) for _ in range(3)]
    for worker in (one, other):
        await answered(shared, (await ask(shared, key, 1)).grants[0])
        seen.append(await worker.singled_out(key.model, "a", alone_counts=False))

    assert [each.among_others for each in seen] == [0, 0, 0, 1, 2]
    assert not any(each.alone for each in seen), "of a model that never answered nothing is known"


async def test_the_last_job_is_singled_out_while_no_other_is_refused_though_others_ended_before_its_first_refusal(
    workers: list[SharedRefusals], shared: SharedBudget, key: BudgetKey
):
    one, other = workers

    async def seen(*, alone_counts: bool = True) -> Singled:
        await one.refused("last")
        return await one.singled_out(key.model, "last", alone_counts=alone_counts)

    await answered(shared, (await ask(shared, key, 1)).grants[0])
    found = [await seen(), await seen(), await seen(alone_counts=False), await seen()]
    await other.refused("another")
    found.append(await seen())

    assert [each.alone for each in found] == [1, 2, 2, 3, 3], "a limit refuses others too"
    assert [each.is_last for each in found] == [True, True, False, True, False]
    assert not any(each.among_others for each in found)


async def test_how_long_a_job_has_been_refused_is_told_by_redis(
    workers: list[SharedRefusals], redis: FakeAsyncRedis, monkeypatch: pytest.MonkeyPatch, key: BudgetKey
):
    now = 1_000

    async def time() -> tuple[int, int]:
        return now, 0

    monkeypatch.setattr(redis, "time", time)
    await workers[0].singled_out(key.model, "a", alone_counts=True)
    now += 63

    assert (await workers[1].singled_out(key.model, "a", alone_counts=True)).seconds == 63.0


async def test_how_long_every_call_was_refused_is_counted_for_all_workers_until_a_success(
    workers: list[SharedRefusals], redis: FakeAsyncRedis, monkeypatch: pytest.MonkeyPatch
):
    one, other = workers
    now = 1_000

    async def time() -> tuple[int, int]:
        return now, 0

    monkeypatch.setattr(redis, "time", time)
    assert await one.refused_seconds() == 0.0
    now += 600
    assert await other.refused_seconds() == 600.0

    await one.answered()

    assert await other.refused_seconds() == 0.0


async def test_without_redis_every_refusal_is_the_jobs_own(key: BudgetKey):
    from workers.budget.shared import connect

    away = SharedRefusals(connect("redis://127.0.0.1:1"), key_prefix="gradequeue:", account=key.account)

    assert (await away.refused("a"), await away.suspected("a")) == (0, 0)
    assert await away.refused_jobs() == frozenset()
    assert await away.refused_seconds() == 0.0
    assert await away.singled_out("m", "a", alone_counts=True) == NOT_SINGLED
    assert not await away.answered()
    await away.close()
