"""How many calls a server without named limits gets at once: the scripts against simulated servers, in no time."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.unit.budget.asking import requests
from workers.budget.records import Grant, Limits, PendingUpdates, QueueLength, QueuePolicy, RateSample

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.budget.conftest import Clock
    from workers.budget.records import BudgetKey
    from workers.budget.shared import SharedBudget

STEP_SECONDS = 0.25
DEADLINE_SECONDS = 60.0


@dataclass
class Server:
    """Works on so many calls at once, each for as long; the others wait, also when their clients have left."""

    slots: int
    service_seconds: float
    waiting: deque[tuple[Grant, float]] = field(default_factory=deque)
    working: list[tuple[float, int, Grant, float]] = field(default_factory=list)
    calls: int = 0

    def step(self, now: float) -> list[tuple[Grant, float]]:
        """Calls that end now, and when each was sent."""
        ended = []
        while self.working and self.working[0][0] <= now:
            _ends_at, _number, grant, sent_at = heapq.heappop(self.working)
            ended.append((grant, sent_at))
        while self.waiting and len(self.working) < self.slots:
            grant, sent_at = self.waiting.popleft()
            self.calls += 1
            heapq.heappush(self.working, (now + self.service_seconds, self.calls, grant, sent_at))
        return ended


@dataclass
class Run:
    """Jobs of one process against a server."""

    shared: SharedBudget
    key: BudgetKey
    clock: Clock
    server: Server
    jobs: int = 300
    in_flight: int = 0
    most_in_flight: int = 0
    answered: int = 0
    timed_out: int = 0
    left: int = 0
    sent: dict[int, tuple[Grant, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = self.jobs

    async def until_done(self, *, most_seconds: float = 3600.0) -> float:
        began, sent = self.clock.now, self.sent
        while self.answered < self.jobs and self.clock.now < began + most_seconds:
            now = self.clock.now
            told = PendingUpdates()
            for grant, sent_at in self.server.step(now):
                if sent.pop(id(grant), None) is not None:
                    told.add(RateSample(grant=grant, answered=True, latency_seconds=now - sent_at))
                    self.answered += 1
            for number, (grant, sent_at) in list(sent.items()):
                if now - sent_at >= DEADLINE_SECONDS:
                    del sent[number]
                    told.add(RateSample(grant=grant, answered=False, timed_out=True))
                    self.timed_out += 1
                    self.left += 1
            self.in_flight -= told.ended
            if told.ended:
                await self.shared.settle(self.key, told, call_timeout_seconds=DEADLINE_SECONDS)
            has_news = told.ended or not self.in_flight
            while has_news and (grants := await self._ask(min(self.left, 100))):
                self.left -= len(grants)
                self.server.waiting.extend((grant, now) for grant in grants)
                sent.update((id(grant), (grant, now)) for grant in grants)
            self.clock.now = round(now + STEP_SECONDS, 6)
        return self.clock.now - began

    async def _ask(self, count: int) -> list[Grant]:
        if not count:
            return []
        waiting = QueueLength(waiters=count, tokens=count)
        answer = await self.shared.reserve(
            self.key, [1] * count, waiting=waiting, policy=QueuePolicy(), limits=Limits(), in_flight=self.in_flight
        )
        self.in_flight += len(answer.grants)
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return list(answer.grants)


@pytest.fixture
def run(shared: SharedBudget, key: BudgetKey, clock: Clock) -> Callable[..., Run]:
    """Jobs against a server of these slots."""

    def make(slots: int, service_seconds: float, **options: int) -> Run:
        return Run(shared, key, clock, Server(slots, service_seconds), **options)

    return make


@pytest.mark.parametrize(("slots", "service_seconds"), [(4, 1.0), (4, 6.0), (1, 3.0), (16, 10.0)])
async def test_a_server_of_few_slots_is_kept_busy_and_no_call_is_lost(
    run: Callable[..., Run], slots: int, service_seconds: float
):
    playing = run(slots, service_seconds, jobs=80)

    seconds = await playing.until_done()

    assert playing.answered == 80
    assert playing.timed_out == 0
    assert seconds <= 1.2 * 80 * service_seconds / slots + 2 * service_seconds


async def test_a_server_without_bounds_soon_gets_everything(run: Callable[..., Run]):
    playing = run(10_000, 3.0, jobs=500)

    seconds = await playing.until_done()

    assert playing.most_in_flight >= 200
    assert seconds <= 8 * 3.0


async def test_a_server_that_loses_slots_gets_less_and_loses_few_calls(run: Callable[..., Run]):
    playing = run(32, 4.0, jobs=150)
    await playing.until_done(most_seconds=20.0)
    playing.server.slots = 2

    await playing.until_done()

    assert playing.answered == 150
    assert playing.timed_out <= 0.3 * 150, "most of what was in flight could not end in time"


async def test_never_below_what_the_server_showed_it_can_do(run: Callable[..., Run]):
    playing = run(16, 2.0, jobs=200)
    await playing.until_done()
    probe = (await playing._ask(1))[0]

    hung = PendingUpdates()
    for _ in range(16):
        hung.add(RateSample(grant=probe, answered=False, timed_out=True))
    await playing.shared.settle(playing.key, hung, call_timeout_seconds=DEADLINE_SECONDS)
    playing.in_flight = 0

    assert len(await playing._ask(100)) >= 14


async def test_a_call_that_hangs_while_others_come_early_is_no_sign_of_a_queue(run: Callable[..., Run]):
    playing = run(10_000, 1.0, jobs=300)
    await playing.until_done()
    before = playing.most_in_flight
    grants = await playing._ask(100)
    hung = PendingUpdates()
    hung.add(RateSample(grant=grants[0], answered=False, timed_out=True))
    await playing.shared.settle(playing.key, hung, call_timeout_seconds=DEADLINE_SECONDS)
    playing.in_flight = 0

    granted = [grant for _ in range(4) for grant in await playing._ask(100)]

    assert len(granted) >= before


async def test_a_provider_that_names_its_limits_is_not_held_back(run: Callable[..., Run], shared: SharedBudget):
    playing = run(1, 1.0)
    probe = (await playing._ask(1))[0]
    named = PendingUpdates()
    sample = RateSample(grant=probe, answered=True, latency_seconds=20.0, requests=requests(6000, 5000, 10.0))
    named.add(sample)
    await shared.settle(playing.key, named, call_timeout_seconds=DEADLINE_SECONDS)

    granted = [grant for _ in range(4) for grant in await playing._ask(100)]

    assert len(granted) == 400


async def test_calls_of_another_process_count_until_it_is_silent_for_long(
    run: Callable[..., Run], redis: object, clock: Clock
):
    from workers.budget.shared import SharedBudget

    playing = run(4, 6.0)
    await playing.until_done(most_seconds=30.0)
    other = Run(SharedBudget(redis, key_prefix="gradequeue:", worker_id="other"), playing.key, clock, Server(4, 6.0))  # type: ignore[arg-type]
    await playing._ask(100)

    assert await other._ask(100) == []
    clock.now += 31
    assert len(await other._ask(100)) >= 4
