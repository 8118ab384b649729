"""The pool's contract with Celery, with this thread in the place of Celery's hub."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import Ignore, SoftTimeLimitExceeded, Terminated

from workers.loop_thread import LoopThread
from workers.pool import TaskPool, run_on_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

DEADLINE_SECONDS = 20.0


def in_another_thread(condition: Callable[[], object], action: Callable[[], object]) -> None:
    """Act as soon as the condition holds, while this thread is busy in the pool."""

    def wait() -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        action()

    threading.Thread(target=wait).start()


class Hub:
    """Celery's hub as far as the pool knows it; it turns when a test says so.

    As with kombu's, only a call from another thread wakes it up; what its own thread adds waits for the next turn.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._ready: set[Callable[[], object]] = set()
        self._called = threading.Condition()
        self._is_awake = False
        self._timers: list[tuple[float, Callable[[], object]]] = []
        self.on_tick: set[Callable[[], object]] = set()
        self.callers: set[int] = set()

    def call_soon(self, callback: Callable[[], object]) -> None:
        with self._called:
            self._ready.add(callback)
            self.callers.add(threading.get_ident())
            if threading.get_ident() != self._thread:
                self._is_awake = True
                self._called.notify()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        self._timers.append((time.monotonic() + seconds, callback))

    def _due(self) -> list[Callable[[], object]]:
        return [callback for at, callback in self._timers if at <= time.monotonic()]

    def turn_until(self, condition: Callable[[], object]) -> None:
        """Turn once, as after a message has come, and then whenever somebody wakes it up."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        self._is_awake = True
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            with self._called:
                if not self._called.wait_for(lambda: self._is_awake, timeout=0.05) and not self._due():
                    continue
                self._is_awake = False
                ready, self._ready = self._ready, set()
            for callback in ready:
                callback()
            due = self._due()
            self._timers = [timer for timer in self._timers if timer[1] not in due]
            for callback in [*due, *self.on_tick]:
                callback()


class Delivery:
    """One message in the worker's hands: everything that the pool tells about it, and from which thread."""

    def __init__(self, bench: Bench, body: Callable[[], object], **limits: float) -> None:
        self.accepted: list[int] = []
        self.results: list[tuple[int, Any, float]] = []
        self.timeouts: list[tuple[bool, float]] = []
        self.raised: BaseException | None = None
        self.threads: set[int] = set()
        self.tracer_is_free = threading.Event()
        self.on_finish: Callable[[], object] = lambda: None
        self._body = body
        self.job = bench.pool.on_apply(
            self._target, callback=self._finish, accept_callback=self._accept, timeout_callback=self._time_out, **limits
        )

    def _target(self) -> tuple[int, object, float]:
        """What Celery's tracer does, as far as the pool sees it."""
        try:
            return (0, self._body(), 0.0)
        except Exception as error:  # noqa: BLE001 - the tracer turns every error into a result
            self.raised = error
            return (1, error, 0.0)
        finally:
            self.tracer_is_free.set()

    def _accept(self, pid: int, _at: float) -> None:
        self.accepted.append(pid)
        self.threads.add(threading.get_ident())

    def _finish(self, result: tuple[int, Any, float]) -> None:
        self.results.append(result)
        self.on_finish()
        self.threads.add(threading.get_ident())

    def _time_out(self, is_soft: bool, seconds: float) -> None:  # noqa: FBT001 - Celery's shape
        self.timeouts.append((is_soft, seconds))
        self.threads.add(threading.get_ident())


class Bench:
    """A started pool, its hub, and gates that jobs wait at."""

    def __init__(self, *, limit: int = 10, soft_shutdown_seconds: float = 0.0, lifespan: Any = None) -> None:
        conf = SimpleNamespace(worker_soft_shutdown_timeout=soft_shutdown_seconds)
        self.pool = TaskPool(limit, app=SimpleNamespace(conf=conf, lifespan=lifespan))
        self.hub = Hub()
        self.pool.start()
        self.pool.register_with_event_loop(self.hub)
        self.running = 0
        self.gate = self.loop_thread.call(self._new_gate())

    @property
    def loop_thread(self) -> LoopThread:
        assert self.pool._loop_thread is not None
        return self.pool._loop_thread

    @staticmethod
    async def _new_gate() -> asyncio.Event:
        return asyncio.Event()

    def deliver(self, coroutine: Callable[[], Coroutine[Any, Any, object]], **limits: float) -> Delivery:
        return Delivery(self, lambda: run_on_loop(coroutine()), **limits)

    async def wait_at_gate(self) -> str:
        self.running += 1
        await self.gate.wait()
        return "through"

    async def ignore_cancellation(self) -> str:
        self.running += 1
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    def open_gate(self) -> None:
        self.loop_thread.loop.call_soon_threadsafe(self.gate.set)

    def open_gate_when(self, condition: Callable[[], object]) -> None:
        """From another thread, because this one will be busy in the pool."""
        in_another_thread(condition, self.open_gate)

    def close(self) -> None:
        if self.pool._loop_thread is not None:
            self.open_gate()
            self.pool.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def start(**options: Any) -> Bench:
        benches.append(Bench(**options))
        return benches[-1]

    yield start
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(start: Callable[..., Bench]) -> Bench:
    return start()


async def thread_of_the_loop() -> int:
    return threading.get_ident()


async def say_done() -> str:
    return "done"


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
    monkeypatch.setattr("workers.pool.TURN_SECONDS", 0.0)
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


def test_a_soft_limit_cancels_the_coroutine_and_the_body_hears_of_it(bench: Bench):
    delivery = bench.deliver(bench.wait_at_gate, soft_timeout=0.05)

    bench.hub.turn_until(lambda: delivery.results)

    assert isinstance(delivery.raised, SoftTimeLimitExceeded)
    assert delivery.timeouts == [(True, 0.05)]
    assert len(delivery.results) == 1


def test_a_hard_limit_frees_the_slot_of_a_coroutine_that_will_not_end_and_no_callback_follows(
    start: Callable[..., Bench],
):
    bench = start(limit=1)
    stuck = bench.deliver(bench.ignore_cancellation, soft_timeout=0.02, timeout=0.05)
    bench.hub.turn_until(lambda: len(stuck.timeouts) == 2)

    assert stuck.timeouts == [(True, 0.02), (False, 0.05)]
    assert bench.pool.info["in-flight"] == 0
    after = bench.deliver(say_done)
    bench.hub.turn_until(lambda: after.results)
    bench.open_gate()
    bench.pool.stop()
    assert stuck.results == []


def test_a_job_that_ends_in_time_hears_nothing_of_its_limits(bench: Bench):
    delivery = bench.deliver(say_done, soft_timeout=0.05, timeout=0.1)
    later = bench.deliver(bench.wait_at_gate, soft_timeout=0.2)

    bench.hub.turn_until(lambda: later.results)

    assert delivery.timeouts == []
    assert len(delivery.results) == 1


def test_terminate_cancels_the_coroutine_and_the_body_sees_why(bench: Bench):
    delivery = bench.deliver(bench.wait_at_gate)
    bench.hub.turn_until(lambda: bench.running == 1 and delivery.accepted)

    bench.pool.terminate_job(delivery.accepted[0], 15)
    delivery.job.terminate(15)  # Celery does both
    bench.hub.turn_until(lambda: delivery.results)

    assert isinstance(delivery.raised, Terminated)
    assert len(delivery.results) == 1
    bench.pool.terminate_job(delivery.accepted[0], 15)  # too late: nothing happens


def test_a_job_terminated_before_its_coroutine_began_never_begins(start: Callable[..., Bench]):
    bench = start(limit=1)
    first = bench.deliver(bench.wait_at_gate)
    second = bench.deliver(bench.wait_at_gate)
    bench.hub.turn_until(lambda: bench.running == 1)

    second.job.terminate(15)
    bench.open_gate()
    bench.hub.turn_until(lambda: first.results and second.results)

    assert bench.running == 1
    assert isinstance(second.raised, Terminated)


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
    def fail(_result: object) -> None:
        raise OSError("the broker is away")

    bench.pool.on_apply(lambda: (0, None, 0.0), callback=fail)
    after = bench.deliver(say_done)
    bench.hub.turn_until(lambda: after.results)

    assert "pool.callback_failed" in caplog.text


def test_run_on_loop_is_for_tasks_of_the_pool_alone():
    coroutine = say_done()

    with pytest.raises(RuntimeError, match="no job"):
        run_on_loop(coroutine)

    with pytest.raises(RuntimeError, match="cannot reuse already awaited"):
        coroutine.send(None)  # it was closed: no warning that nobody awaited it


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

    logger = logging.getLogger("workers.loop_thread")
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
