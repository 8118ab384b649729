"""Several processes' budgets over one real server, which is emptied, killed and started again under them."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ops.bench.chaos.services import Broker
from ops.deploy.budget_metrics import BudgetMetrics
from ops.standin.config import Config
from ops.standin.errors import ApiError
from ops.standin.limits import Limiter
from workers.budget.budget import Budget
from workers.budget.records import BucketReading, Grant, RateSample
from workers.budget.shared import SharedBudget, connect
from workers.budget.view import BudgetView
from workers.completion.errors.server_wait import duration_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.integration

PREFIX = "gradequeue:"
RPM = 1200
SLICE_SECONDS = 2.0
LATENCY_SECONDS = 0.1


@dataclass
class Provider:
    """The stand-in's limiter without its HTTP, and jobs that insist."""

    limiter: Limiter = field(
        default_factory=lambda: Limiter(Config().changed({"rpm": RPM, "slice_seconds": SLICE_SECONDS}))
    )
    admitted: list[float] = field(default_factory=list)
    refused: int = 0

    async def job(self, budget: Budget, model: str) -> None:
        while True:
            grant = await budget.reserve(model, 100)
            assert isinstance(grant, Grant)
            now = time.monotonic()
            try:
                self.limiter.check("a", model=model, cost_tokens=100, now=now)
            except ApiError as refusal:
                self.refused += 1
                wait = float(refusal.headers["Retry-After"])
                headers = self.limiter.headers("a", model=model, now=now)
                sample = RateSample(
                    grant=grant, answered=False, refused=True, refused_wait_seconds=wait, requests=_reading(headers)
                )
                budget.settle(sample)
                continue
            self.limiter.charge("a", model=model, cost_tokens=100, now=now)
            self.admitted.append(now)
            await asyncio.sleep(LATENCY_SECONDS)
            headers = self.limiter.headers("a", model=model, now=time.monotonic())
            budget.settle(RateSample(grant=grant, answered=True, requests=_reading(headers)))
            return


def _reading(headers: dict[str, str]) -> BucketReading:
    return BucketReading(
        limit=int(headers["x-ratelimit-limit-requests"]),
        remaining=int(headers["x-ratelimit-remaining-requests"]),
        reset_seconds=duration_seconds(headers["x-ratelimit-reset-requests"]),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Broker]:
    """A server of this file's own, so that it may be emptied and killed."""
    broker = Broker()
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
async def budgets(server: Broker) -> AsyncIterator[list[Budget]]:
    """Those of three worker processes."""
    found = [
        Budget(SharedBudget(connect(server.url), key_prefix=PREFIX, worker_id=f"worker-{number}"), account="provider")
        for number in range(3)
    ]
    yield found
    for budget in found:
        await budget.close()


@pytest.fixture
def model() -> str:
    return f"model-{uuid.uuid4().hex}"


async def drain(provider: Provider, budgets: list[Budget], model: str, jobs: int) -> float:
    """Seconds from the first to the last admitted call."""
    async with asyncio.timeout(60):
        await asyncio.gather(*(provider.job(budgets[number % len(budgets)], model) for number in range(jobs)))
    return provider.admitted[-1] - provider.admitted[0]


async def test_three_processes_use_one_quota_up_without_a_refusal(budgets: list[Budget], model: str):
    provider = Provider()

    seconds = await drain(provider, budgets, model, 160)

    ideal_seconds = (160 - RPM * SLICE_SECONDS / 60) / (RPM / 60)
    assert provider.refused <= 1
    assert seconds <= ideal_seconds + 3


async def test_an_emptied_server_neither_strands_a_waiter_nor_overruns_a_slice(
    budgets: list[Budget], model: str, server: Broker
):
    provider = Provider()
    draining = asyncio.create_task(drain(provider, budgets, model, 160))
    await _until(lambda: len(provider.admitted) >= 60)

    with server.client() as client:
        client.flushdb()

    await draining
    assert len(provider.admitted) == 160
    assert provider.refused <= RPM * SLICE_SECONDS / 60


async def test_a_server_that_dies_and_comes_back_strands_nobody(budgets: list[Budget], model: str, server: Broker):
    provider = Provider()
    draining = asyncio.create_task(drain(provider, budgets, model, 160))
    await _until(lambda: len(provider.admitted) >= 60)

    await asyncio.to_thread(server.kill)
    before = len(provider.admitted)
    await asyncio.sleep(1)
    granted_without_it = len(provider.admitted) - before
    await asyncio.to_thread(server.start)

    await draining
    assert granted_without_it <= RPM * SLICE_SECONDS / 60, "only what had been granted before"
    assert len(provider.admitted) == 160
    assert provider.refused <= RPM * SLICE_SECONDS / 60


async def test_a_refusal_met_by_one_process_holds_all_of_them(budgets: list[Budget], model: str):
    provider = Provider()
    await provider.job(budgets[0], model)
    grant = await budgets[0].reserve(model, 100)
    assert isinstance(grant, Grant)

    budgets[0].settle(RateSample(grant=grant, answered=False, refused=True, refused_wait_seconds=2.0))
    refused_at = time.monotonic()
    settling = budgets[0]._quotas[model].flushing
    assert settling is not None
    await settling
    answers = await asyncio.gather(*(budget.reserve(model, 100, within_seconds=10) for budget in budgets[:1]))
    other = await budgets[1].reserve(model, 100, within_seconds=10)

    assert isinstance(answers[0], Grant)
    assert isinstance(other, Grant)
    assert time.monotonic() - refused_at >= 2.0


async def test_the_view_shows_limit_use_and_waiters(budgets: list[Budget], model: str, server: Broker):
    provider = Provider()
    draining = asyncio.create_task(drain(provider, budgets, model, 120))
    await _until(lambda: len(provider.admitted) >= 50)
    view = BudgetView.connect(server.url, key_prefix=PREFIX)

    seen = next(each for each in await asyncio.to_thread(view.read, "provider") if each.model == model)
    startable = await asyncio.to_thread(view.startable, "provider", within_seconds=30.0)

    assert seen.requests_limit == RPM
    assert 40 <= seen.requests_used <= 120
    assert 0 < seen.waiting <= 70
    assert seen.startable(30.0) == pytest.approx(600, rel=0.15)
    assert startable[model] == pytest.approx(600 - seen.waiting, rel=0.2)
    page = await asyncio.to_thread(generate_latest, _registry_with(view))
    labels = f'{{account="provider",model="{model}"}}'
    assert f"gradequeue_budget_requests_limit{labels} {float(RPM)}" in page.decode()
    assert f"gradequeue_budget_waiting{labels}" in page.decode()
    assert "gradequeue_budget_tokens_limit{" not in page.decode(), "an unknown limit is no limit of 0"
    view.close()
    await draining


def test_metrics_say_that_redis_is_away():
    away = BudgetView.connect("redis://127.0.0.1:1", key_prefix=PREFIX)

    assert b"gradequeue_budget_up 0.0" in generate_latest(_registry_with(away))


def _registry_with(view: BudgetView) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(BudgetMetrics(view))
    return registry


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the provider played here signals nobody
            await asyncio.sleep(0.01)
