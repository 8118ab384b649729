"""The pool's contract with Celery, with this thread in the place of Celery's hub."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.pool import DEADLINE_SECONDS, Bench, Delivery, say_done
from workers.process.celery_delivery import run_on_loop
from workers.process.loop_thread import LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable


async def thread_of_the_loop() -> int:
    return threading.get_ident()


def test_a_job_is_accepted_once_and_finished_once_both_on_the_hub_thread(bench: Bench):
    deliveries = [bench.deliver(say_done) for _ in range(5)]

    bench.hub.turn_until(lambda: all(each.results for each in deliveries))

    assert [each.results for each in deliveries] == [[(0, "done", 0.0)]] * 5
    assert len({each.accepted[0] for each in deliveries}) == 5
    assert all(len(each.accepted) == 1 for each in deliveries)
    assert {thread for each in deliveries for thread in each.threads} == {threading.get_ident()}
    assert bench.pool.info["in-flight"] == 0


def test_a_quiet_hub_hears_of_each_end_at_once(start: Callable[..., Bench]):
    """Nothing else happens that would wake it up: a slot may not wait for that."""
    bench = start(limit=1)

    async def answer() -> str:
        return "answered"

    deliveries = [bench.deliver(answer) for _ in range(3)]
    acked: list[Delivery] = []
    for each in deliveries:
        each.on_finish = lambda each=each: bench.hub.call_soon(lambda: acked.append(each))
    bench.hub.turn_until(lambda: len(acked) == 3)

    assert [each.results for each in deliveries] == [[(0, "answered", 0.0)]] * 3


def test_celery_may_look_whether_it_has_to_stop_between_two_slow_callbacks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    """A wave of retries, each of which waits for a broker that is away, must not be one long turn."""
    monkeypatch.setattr("workers.process.celery_pool.TURN_SECONDS", 0.0)
    called: list[int] = []
    for number in range(3):
        bench.pool._on_hub(called.append, number)
    bench.pool._run_calls()
    assert called == [0]

    bench.hub.turn_until(lambda: len(called) == 3)
    assert called == [0, 1, 2]


def test_a_full_pool_does_not_block_the_hub(start: Callable[..., Bench]):
    bench = start(limit=2)
    deliveries = [bench.deliver(bench.wait_at_gate) for _ in range(4)]
    bench.hub.turn_until(lambda: bench.running == 2 and sum(len(each.accepted) for each in deliveries) >= 2)

    assert [len(each.accepted) for each in deliveries] == [1, 1, 0, 0]
    assert bench.pool.info["in-flight"] == 4
    bench.open_gate()
    bench.hub.turn_until(lambda: all(each.results for each in deliveries))


def test_what_the_coroutine_raises_reaches_the_body_of_the_task(bench: Bench):
    async def fail() -> None:
        raise ValueError("no such thing")

    delivery = bench.deliver(fail)
    bench.hub.turn_until(lambda: delivery.results)

    assert isinstance(delivery.raised, ValueError)


variable: ContextVar[str] = ContextVar("variable", default="nothing")


def test_context_variables_of_the_body_are_the_coroutines_and_nobody_elses(start: Callable[..., Bench]):
    bench = start(limit=1)  # one tracer thread, used again

    async def look() -> str:
        return variable.get()

    def set_and_look() -> str:
        variable.set("mine")
        return run_on_loop(look())

    first = Delivery(bench, set_and_look)
    second = bench.deliver(look)
    bench.hub.turn_until(lambda: first.results and second.results)

    assert (first.results[0][1], second.results[0][1]) == ("mine", "nothing")


def test_a_cancellation_by_nobody_is_an_ordinary_error_and_frees_the_slot(bench: Bench):
    async def cancelled() -> None:
        raise asyncio.CancelledError

    delivery = bench.deliver(cancelled)
    bench.hub.turn_until(lambda: delivery.results)

    assert isinstance(delivery.raised, RuntimeError)
    assert bench.pool.info["in-flight"] == 0


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_base_exception_in_one_coroutine_neither_ends_the_loop_nor_wedges_the_slot(
    bench: Bench, kind: type[BaseException]
):
    async def leave() -> None:
        raise kind

    delivery = bench.deliver(leave)
    bench.hub.turn_until(lambda: delivery.results)

    assert isinstance(delivery.raised, RuntimeError)
    after = bench.deliver(say_done)
    bench.hub.turn_until(lambda: after.results)


def test_a_tracer_that_breaks_gives_a_failure_and_its_slot_back(bench: Bench, caplog: pytest.LogCaptureFixture):
    results: list[Any] = []
    secret = "prompt"

    def broken() -> None:
        raise SystemExit(secret)

    bench.pool.on_apply(broken, callback=results.append)
    bench.hub.turn_until(lambda: results)

    failed, info, _seconds = results[0]
    assert failed
    assert isinstance(info.exception.exc, RuntimeError)
    assert "prompt" not in caplog.text + info.traceback
    assert bench.pool.info["in-flight"] == 0


def test_a_callback_that_fails_does_not_stop_the_ones_after_it(bench: Bench, caplog: pytest.LogCaptureFixture):
    secret = "prompt"

    def fail(_result: object) -> None:
        raise OSError(secret)

    bench.pool.on_apply(lambda: (0, None, 0.0), callback=fail)
    after = bench.deliver(say_done)
    bench.hub.turn_until(lambda: after.results)

    assert "pool.callback_failed error=OSError" in caplog.text
    assert "in fail" in caplog.text
    assert "prompt" not in caplog.text


def test_run_on_loop_is_for_tasks_of_the_pool_alone():
    coroutine = say_done()

    with pytest.raises(RuntimeError, match="no delivery"):
        run_on_loop(coroutine)

    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        coroutine.send(None)  # it was closed: no warning that nobody awaited it


def test_what_a_given_up_coroutine_raises_later_is_not_logged(
    start: Callable[..., Bench], caplog: pytest.LogCaptureFixture
):
    bench = start()

    async def fail_late() -> None:
        await bench.ignore_cancellation()
        raise ValueError("text of a prompt")

    stuck = bench.deliver(fail_late, timeout=0.05)
    bench.hub.turn_until(lambda: stuck.timeouts and stuck.tracer_is_free.is_set())
    bench.open_gate()
    bench.pool.stop()
    del stuck.job, stuck.raised
    gc.collect()  # asyncio tells when the task goes

    assert "prompt" not in caplog.text


def test_the_hub_is_woken_by_way_of_the_loop_thread(bench: Bench):
    bench.pool.wake_hub()
    bench.hub.turn_until(lambda: bench.hub.callers)

    assert bench.hub.callers == {bench.loop_thread.call(thread_of_the_loop())}


def test_a_loop_that_stands_still_is_logged_with_the_line_where_it_stands(caplog: pytest.LogCaptureFixture):
    told = threading.Event()

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "loop.blocked" in record.msg:
                told.set()

    logger = logging.getLogger("workers.process.loop_thread")
    handler = Tell()
    logger.addHandler(handler)
    loop_thread = LoopThread(blocked_seconds=0.05)
    loop_thread.start()

    async def block_the_loop() -> bool:
        return told.wait(DEADLINE_SECONDS)

    try:
        assert loop_thread.call(block_the_loop()), "nothing was said"
    finally:
        loop_thread.stop()
        logger.removeHandler(handler)
    assert "in block_the_loop" in caplog.text
