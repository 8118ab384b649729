"""The wait queue of one process: order, cancellation, deadlines, and an outage of Redis; the script is a fake."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as RedisAway

from workers.budget.records import BudgetKey, Grant, NotGranted, QueueLength, ReserveAnswer
from workers.budget.wait_queue import WaitQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = BudgetKey("provider", "model")


def grant(tokens: int) -> Grant:
    return Grant(key=KEY, tokens=tokens, delay_seconds=0.0, starts_at=0.0, requests_base=None, tokens_base=None)


@dataclass
class Script:
    """Grants as many as the test says, and remembers what it was asked."""

    grants: deque[int | Exception] = field(default_factory=deque)
    asked: list[list[int]] = field(default_factory=list)
    returned: list[Grant] = field(default_factory=list)
    evicts: bool = False
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, costs: Sequence[int], _length: QueueLength) -> ReserveAnswer:
        self.asked.append(list(costs))
        await self.opened.wait()
        count = self.grants.popleft() if self.grants else 0
        if isinstance(count, Exception):
            raise count
        return ReserveAnswer(
            grants=[grant(tokens) for tokens in costs[:count]],
            wait_seconds=0.01,
            is_probing=False,
            evicts=self.evicts,
            seconds_per_request=20.0,
            seconds_per_token=0.0,
        )


@pytest.fixture
def script() -> Script:
    script = Script()
    script.opened.set()
    return script


@pytest.fixture
def wait_queue(script: Script) -> WaitQueue:
    return WaitQueue(
        model="model",
        ask=script.ask,
        give_back=script.returned.append,
        pause_seconds=lambda: 0.0,
        ahead_seconds=0.02,
    )


async def joined(wait_queue: WaitQueue, *tokens: int) -> list[asyncio.Task[Grant | NotGranted]]:
    """Waiters with these costs, in this order."""
    tasks = [asyncio.create_task(wait_queue.join(cost, within_seconds=None)) for cost in tokens]
    await asyncio.sleep(0)
    return tasks


async def test_first_come_first_served_in_one_question(wait_queue: WaitQueue, script: Script):
    script.grants.extend([2, 1])

    tasks = await joined(wait_queue, 1, 2, 3)
    granted = [await task for task in tasks]

    assert granted == [grant(1), grant(2), grant(3)]
    assert script.asked == [[1, 2, 3], [3]]


async def test_who_is_cancelled_leaves_the_queue(wait_queue: WaitQueue, script: Script):
    tasks = await joined(wait_queue, 1, 2)
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    script.grants.append(1)

    assert await tasks[1] == grant(2)
    assert script.returned == []


async def test_a_grant_for_somebody_who_left_goes_back(wait_queue: WaitQueue, script: Script):
    script.opened.clear()
    script.grants.extend([1, 1])
    first, second = await joined(wait_queue, 1, 2)
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    script.opened.set()

    assert await second == grant(2)
    assert script.returned == [grant(1)]


async def test_a_waiter_whose_time_is_over_leaves(wait_queue: WaitQueue):
    assert await wait_queue.join(1, within_seconds=0.05) is NotGranted.DEADLINE
    assert wait_queue.length == QueueLength(waiters=0, tokens=0)


async def test_while_redis_is_away_the_line_stands_still_and_asks_again(
    wait_queue: WaitQueue, script: Script, caplog: pytest.LogCaptureFixture
):
    script.grants.extend([RedisAway("gone"), RedisAway("gone"), 3])

    tasks = await joined(wait_queue, 1, 2, 3)

    assert [await task for task in tasks] == [grant(1), grant(2), grant(3)]
    assert len([record for record in caplog.records if "budget.away" in record.message]) == 1


async def test_a_crowd_gives_its_slots_to_other_models_but_for_those_who_start_soon(
    wait_queue: WaitQueue, script: Script
):
    script.evicts = True

    tasks = await joined(wait_queue, 1, 2, 3, 4)
    evicted = [await task for task in tasks[1:]]
    script.grants.append(1)

    assert evicted == [NotGranted.EVICTED] * 3
    assert await tasks[0] == grant(1)


async def test_a_fault_of_ours_strands_nobody(wait_queue: WaitQueue, script: Script):
    script.grants.append(ValueError("a bug"))

    tasks = await joined(wait_queue, 1, 2)

    assert [type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [ValueError] * 2


async def test_a_drain_empties_the_line_but_for_those_who_must_stay(wait_queue: WaitQueue, script: Script):
    script.opened.clear()
    script.grants.extend([2, 1])
    leaving = await joined(wait_queue, 1, 2)
    staying = asyncio.create_task(wait_queue.join(3, within_seconds=None, stays=True))
    await asyncio.sleep(0)

    wait_queue.stop_waiting()

    assert [await task for task in leaving] == [NotGranted.EVICTED] * 2
    assert await wait_queue.join(4, within_seconds=None) is NotGranted.EVICTED
    script.opened.set()
    assert await staying == grant(3)
    assert script.returned == [grant(1), grant(2)], "what was asked for those who left goes back"


async def test_those_of_a_paused_batch_leave_and_the_others_wait_on(wait_queue: WaitQueue, script: Script):
    script.grants.extend([0] * 1000)
    waiting = {
        (group, stays): asyncio.create_task(wait_queue.join(10, within_seconds=None, stays=stays, group=group))
        for group, stays in ((1, False), (1, True), (2, False), (None, False))
    }
    await asyncio.sleep(0)
    wait_queue.evict(lambda group: group == 1)

    assert await waiting.pop((1, False)) is NotGranted.EVICTED
    assert not any(task.done() for task in waiting.values())
    script.grants.clear()
    script.grants.append(3)
    assert all(isinstance(answer, Grant) for answer in await asyncio.gather(*waiting.values()))


async def test_who_stays_through_a_drain_leaves_when_everyone_has_to(wait_queue: WaitQueue, script: Script):
    script.opened.clear()
    repair = asyncio.create_task(wait_queue.join(1, within_seconds=None, stays=True))
    await asyncio.sleep(0)

    wait_queue.stop_waiting()
    await asyncio.sleep(0)
    assert not repair.done()
    wait_queue.stop_waiting(everyone=True)

    assert await repair is NotGranted.EVICTED
    assert await wait_queue.join(1, within_seconds=None, stays=True) is NotGranted.EVICTED
    script.opened.set()
    await wait_queue.stop()
