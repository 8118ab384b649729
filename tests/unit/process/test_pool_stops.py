"""How the pool stops: warm, cold, in a hurry."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from celery.exceptions import Ignore

from tests.support.pool import Bench, in_another_thread, say_done
from workers.process.celery_pool import TaskPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def test_a_warm_stop_waits_for_every_job_without_the_hub_turning(bench: Bench):
    deliveries = [bench.deliver(bench.wait_at_gate) for _ in range(3)]
    bench.open_gate_when(lambda: bench.running == 3)

    bench.pool.stop()

    assert [each.results for each in deliveries] == [[(0, "through", 0.0)]] * 3
    assert all(len(each.accepted) == 1 for each in deliveries)


def test_a_warm_stop_in_a_hurry_gives_back_what_is_in_flight_and_calls_nobody_back(bench: Bench):
    done = bench.deliver(say_done)
    waiting = [bench.deliver(bench.wait_at_gate) for _ in range(3)]
    bench.hub.turn_until(lambda: done.results and bench.running == 3)

    bench.pool.give_back()
    bench.pool.stop()

    assert [each.results for each in waiting] == [[]] * 3
    assert all(isinstance(each.raised, Ignore) for each in waiting)


def test_being_asked_while_the_warm_stop_waits_ends_the_wait(bench: Bench):
    waiting = bench.deliver(bench.wait_at_gate)
    in_another_thread(lambda: bench.running == 1, bench.pool.give_back)

    bench.pool.stop()

    assert waiting.results == []
    assert isinstance(waiting.raised, Ignore)


def test_a_cold_stop_cancels_at_once_and_a_success_that_slips_in_is_still_acked(bench: Bench):
    async def succeed_when_cancelled() -> str:
        bench.running += 1
        try:
            await bench.gate.wait()
        except asyncio.CancelledError:
            return "stored"
        return "late"

    given_back, stored = bench.deliver(bench.wait_at_gate), bench.deliver(succeed_when_cancelled)
    bench.hub.turn_until(lambda: bench.running == 2)

    bench.pool.terminate()

    assert given_back.results == []
    assert stored.results == [(0, "stored", 0.0)]


def test_a_cold_stop_does_not_wait_for_a_coroutine_that_takes_its_time(bench: Bench):
    cancellations = 0

    async def end_when_let_go() -> None:
        nonlocal cancellations
        bench.running += 1
        while cancellations < 2:  # given back, then let go
            try:
                await bench.gate.wait()
            except asyncio.CancelledError:
                cancellations += 1
        raise asyncio.CancelledError

    stuck = bench.deliver(end_when_let_go)
    bench.hub.turn_until(lambda: bench.running == 1)

    bench.pool.terminate()

    assert cancellations == 2
    bench.hub.turn_until(stuck.tracer_is_free.is_set)
    assert stuck.results == []


def test_within_the_soft_limit_jobs_end_by_themselves_and_the_stop_does_not_wait_longer_than_they_do(
    start: Callable[..., Bench],
):
    bench = start(soft_shutdown_seconds=600.0)
    deliveries = [bench.deliver(bench.wait_at_gate) for _ in range(3)]
    bench.open_gate_when(lambda: bench.running == 3)

    bench.pool.give_back()  # the first SIGQUIT
    bench.pool.terminate()

    assert [each.results for each in deliveries] == [[(0, "through", 0.0)]] * 3


def test_after_the_soft_limit_the_rest_is_given_back(start: Callable[..., Bench]):
    bench = start(soft_shutdown_seconds=0.1)
    waiting = bench.deliver(bench.wait_at_gate)
    bench.hub.turn_until(lambda: bench.running == 1)

    bench.pool.give_back()
    bench.pool.terminate()

    assert waiting.results == []
    assert isinstance(waiting.raised, Ignore)


def test_asked_twice_the_soft_limit_is_over(start: Callable[..., Bench]):
    bench = start(soft_shutdown_seconds=600.0)
    waiting = bench.deliver(bench.wait_at_gate)
    bench.hub.turn_until(lambda: bench.running == 1)

    bench.pool.give_back()
    in_another_thread(bench.pool._calls.empty, bench.pool.give_back)  # when `terminate` waits
    bench.pool.terminate()

    assert waiting.results == []


def test_a_stop_after_a_stop_does_nothing(bench: Bench):
    bench.pool.stop()
    bench.pool.stop()
    bench.pool.terminate()

    assert bench.pool.info["loop"] is None


def test_services_open_before_the_first_job_and_close_after_the_last(start: Callable[..., Bench]):
    events: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        events.append("open")
        yield
        events.append("close")

    bench = start(lifespan=lifespan)

    async def work() -> None:
        await bench.wait_at_gate()
        events.append("job")

    bench.deliver(work)
    bench.open_gate_when(lambda: bench.running == 1)
    bench.pool.stop()

    assert events == ["open", "job", "close"]


def test_a_pool_whose_services_do_not_open_does_not_start(start: Callable[..., Bench]):
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        raise ConnectionError("no store")
        yield

    with pytest.raises(ConnectionError):
        start(lifespan=lifespan)


def test_a_stop_while_the_services_open_leaves_the_start_to_its_end():
    events: list[str] = []
    pool = TaskPool(1, app=SimpleNamespace(conf=SimpleNamespace(worker_soft_shutdown_timeout=0.0)))

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        pool.stop()  # as Celery's own handler of SIGQUIT does, which ours replaces after the start
        events.append("open")
        yield
        events.append("close")

    pool.app.lifespan = lifespan
    pool.start()
    assert events == ["open"]
    pool.terminate()

    assert events == ["open", "close"]
