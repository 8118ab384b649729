"""The pool with this thread in the place of Celery's hub."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from workers.process.celery_delivery import run_on_loop
from workers.process.celery_pool import TaskPool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from workers.process.loop_thread import LoopThread


DEADLINE_SECONDS = 60.0


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


async def say_done() -> str:
    return "done"
