"""One message in the hands of the pool: its coroutine on the loop, its tracer on the hub, and how it is cancelled.

Only `workers.process.celery_pool` starts one; a task's body calls `run_on_loop`.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from celery.exceptions import Ignore, SoftTimeLimitExceeded, Terminated
from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds from the coroutine's first step; None is no limit."""

    soft_seconds: float | None = None
    hard_seconds: float | None = None


NO_LIMITS = TimeLimits()


class Delivery:
    """A message in flight: what Celery holds a weak reference to, and how it is cancelled."""

    __slots__ = (
        "__weakref__", "_has_ended", "_limits", "_lock", "_loop", "_on_end", "_on_limit", "_reason", "_task", "_timers",
        "pid", "tracer",
    )  # fmt: skip

    def __init__(
        self,
        pid: int,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[Delivery], None],
        limits: TimeLimits = NO_LIMITS,
        on_limit: Callable[[Delivery, float, bool], None] | None = None,
    ) -> None:
        self.pid = pid
        self.tracer: greenlet | None = None
        self._loop = loop
        self._on_end = on_end
        self._limits = limits
        self._on_limit = on_limit
        self._task: asyncio.Task[Any] | None = None
        self._reason: Exception | None = None
        self._timers: tuple[asyncio.TimerHandle, ...] = ()
        self._lock = threading.Lock()
        self._has_ended = False

    @property
    def was_given_back(self) -> bool:
        """True when the worker's stop was the first to cancel it."""
        return isinstance(self._reason, Ignore)

    def terminate(self, signal_number: int) -> None:
        """Cancel the coroutine, and with it its HTTP request. Safe from any thread, at any time, twice."""
        self._cancel(Terminated(signal_number))

    def give_back(self) -> None:
        """Cancel it because the worker stops."""
        self._cancel(Ignore("given back"))

    def abandon(self) -> None:
        """Free the tracer now, whatever the coroutine still does; it stays cancelled."""
        self._cancel(Ignore("abandoned"))
        self._end()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine on the loop, from the tracer; returns when it has really ended, or was abandoned.

        Meanwhile the hub goes on. `on_end` is called once, from any thread, and has to switch to the tracer.
        """
        self._loop.call_soon_threadsafe(self._begin, coroutine, copy_context())
        hub = getcurrent().parent
        assert hub is not None  # noqa: S101 - a tracer was started by the hub
        while not self._has_ended:
            hub.switch()
        task = cast("asyncio.Task[T] | None", self._task)
        if task is None or not task.done():
            raise self._reason or RuntimeError("the delivery ended before it began")
        if task.cancelled():
            # asyncio's CancelledError is a BaseException: Celery would leave the slot occupied
            raise self._reason or RuntimeError("the delivery's coroutine was cancelled without a reason")
        return task.result()

    def _cancel(self, reason: Exception) -> None:
        with self._lock:
            self._reason = self._reason or reason
            task = self._task
        if task is not None:
            with suppress(RuntimeError):  # the loop is closed, and every coroutine with it
                self._loop.call_soon_threadsafe(task.cancel)

    def _begin(self, coroutine: Coroutine[Any, Any, T], context: Context) -> None:
        with self._lock:
            if self._reason is None:
                self._task = self._loop.create_task(_contained(coroutine), context=context)
        if self._task is None:
            coroutine.close()
            self._end()
            return
        self._task.add_done_callback(self._end)
        if self._limits is not NO_LIMITS:
            self._watch_limits()

    def _watch_limits(self) -> None:
        soft, hard = self._limits.soft_seconds, self._limits.hard_seconds
        timers = [self._loop.call_later(soft, self._pass_soft_limit, soft)] if soft else []
        if hard and self._on_limit is not None:
            timers.append(self._loop.call_later(hard, self._on_limit, self, hard, False))  # noqa: FBT003 - Celery's shape
        self._timers = tuple(timers)

    def _pass_soft_limit(self, seconds: float) -> None:
        self._cancel(SoftTimeLimitExceeded(seconds))
        if self._on_limit is not None:
            self._on_limit(self, seconds, True)  # noqa: FBT003 - Celery's shape

    def _end(self, task: asyncio.Task[Any] | None = None) -> None:
        if task is not None:
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio does not log the text of an abandoned one
            for timer in self._timers:
                timer.cancel()
        with self._lock:
            has_ended, self._has_ended = self._has_ended, True
        if not has_ended:
            self._on_end(self)


async def _contained(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        return await coroutine
    except (asyncio.CancelledError, Exception):
        raise
    except BaseException as error:  # noqa: BLE001 - named by what it is not
        # asyncio lets SystemExit and its kin end the loop, and every job in flight with it
        raise RuntimeError(f"the delivery's coroutine raised {type(error).__name__}") from None


class Tracer(greenlet):  # type: ignore[misc]  # greenlet has no types
    """Runs one delivery through Celery's tracer."""

    def __init__(self, delivery: Delivery, run: Callable[[], None]) -> None:
        super().__init__(run)
        self.delivery = delivery


def run_on_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a task's coroutine on the pool's loop and wait; only from inside a task of this pool.

    Context variables of the caller are the coroutine's too. Raises what the coroutine raises; when it was cancelled,
    the reason (see the module).
    """
    tracer = getcurrent()
    if not isinstance(tracer, Tracer):
        coroutine.close()
        raise RuntimeError("no delivery of workers.process.celery_pool runs here")  # noqa: TRY004 - it is the place that is wrong
    return tracer.delivery.run(coroutine)
