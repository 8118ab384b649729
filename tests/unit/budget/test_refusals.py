"""Refusals counted for all workers, over a Redis in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.budget.asking import answered, ask
from workers.budget.refusals import SharedRefusals

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


async def test_a_request_is_singled_out_by_answers_between_its_refusals_alone(
    workers: list[SharedRefusals], shared: SharedBudget, key: BudgetKey
):
    one, other = workers
    counts = [await one.singled_out(key.model, "a", alone_counts=True) for _ in range(3)]
    for worker in (one, other):
        await answered(shared, (await ask(shared, key, 1)).grants[0])
        counts.append(await worker.singled_out(key.model, "a", alone_counts=False))
    counts.append(await other.singled_out(key.model, "b", alone_counts=True))

    assert counts == [0, 0, 0, 1, 2, 0]


async def test_the_last_job_that_was_singled_out_is_so_while_no_other_is_refused(
    workers: list[SharedRefusals], shared: SharedBudget, key: BudgetKey
):
    one, other = workers

    async def counted(*, alone_counts: bool = True) -> int:
        await one.refused("last")
        return await one.singled_out(key.model, "last", alone_counts=alone_counts)

    counts = [await counted()]
    await answered(shared, (await ask(shared, key, 1)).grants[0])
    counts += [await counted(), await counted(), await counted(alone_counts=False), await counted()]
    await other.refused("another")
    counts.append(await counted())

    assert counts == [0, 1, 2, 2, 3, 3], "a limit refuses others too"


async def test_without_redis_every_refusal_is_the_jobs_own(key: BudgetKey):
    from workers.budget.shared import connect

    away = SharedRefusals(connect("redis://127.0.0.1:1"), key_prefix="gradequeue:", account=key.account)

    assert (await away.refused("a"), await away.suspected("a")) == (0, 0)
    assert await away.refused_jobs() == frozenset()
    assert await away.singled_out("m", "a", alone_counts=True) == 0
    assert not await away.answered()
    await away.close()
