"""A Celery pool whose jobs are coroutines: one asyncio loop thread beside Celery's hub thread.

Celery's tracer runs unpatched, in a greenlet on the hub thread; the task's synchronous body hands its coroutine to the
loop with `run_on_loop`, and the greenlet stands aside until the coroutine has ended. What each thread may do:

    hub (main)    owns the broker connection; every callback of Celery runs here, in order, because acks do
    loop          runs every coroutine; never blocks

While the hub is blocked on a lost broker, paid calls go on. How a delivery ends, besides by itself:

    soft time limit    the coroutine is cancelled, and its HTTP request with it; the task sees SoftTimeLimitExceeded
    hard time limit    the slot is free at once, whatever the coroutine still does; no callback follows
    terminate          as `revoke(terminate=True)` wants: cancelled, the task sees Terminated
    given back         the worker stops: cancelled, no callback, so that the unacked message returns to the queue

Selected with `worker_pool="workers.pool:TaskPool"`, no -P.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from billiard.einfo import ExceptionInfo
from celery.concurrency.base import BasePool
from celery.exceptions import Ignore, SoftTimeLimitExceeded, Terminated
from celery.utils.threads import LocalStack, _LocalStack
from greenlet import getcurrent, greenlet
from vine import promise

from workers.loop_thread import LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from contextvars import Context

logger = logging.getLogger(__name__)

T = TypeVar("T")
GIVE_BACK_SECONDS = 1.0
"""For cancelled jobs to free their claims. One that takes longer is left to the sweeper, the others go back now."""

ACK_SECONDS = 0.02
"""After the end of a job, for others to end too: their acks are told in one round trip."""
TURN_SECONDS = 0.5
"""A retry takes seconds to publish when the broker is away: between two, Celery looks whether it has to stop."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds from the coroutine's first step; None is no limit."""

    soft_seconds: float | None = None
    hard_seconds: float | None = None


NO_LIMITS = TimeLimits()


class Job:
    """One delivery in flight: what Celery holds a weak reference to, and how it is cancelled."""

    __slots__ = (
        "__weakref__", "_has_ended", "_limits", "_lock", "_loop", "_on_end", "_on_limit", "_reason", "_task", "_timers",
        "pid", "tracer",
    )  # fmt: skip

    def __init__(
        self,
        pid: int,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[Job], None],
        limits: TimeLimits = NO_LIMITS,
        on_limit: Callable[[Job, float, bool], None] | None = None,
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

    def let_go(self) -> None:
        """Free the tracer now, whatever the coroutine still does; it stays cancelled."""
        self._cancel(Ignore("given up"))
        self._end()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine on the loop, from the tracer; returns when it has really ended, or was given up.

        Meanwhile the hub goes on. `on_end` is called once, from any thread, and has to switch to the tracer.
        """
        self._loop.call_soon_threadsafe(self._begin, coroutine, copy_context())
        hub = getcurrent().parent
        assert hub is not None  # noqa: S101 - a tracer was started by the hub
        while not self._has_ended:
            hub.switch()
        task = cast("asyncio.Task[T] | None", self._task)
        if task is None or not task.done():
            raise self._reason or RuntimeError("the job ended before it began")
        if task.cancelled():
            # asyncio's CancelledError is a BaseException: Celery would leave the slot occupied
            raise self._reason or RuntimeError("the job's coroutine was cancelled by nobody")
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
                task.exception()  # looked at, so that asyncio does not log the text of one that was given up
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
        raise RuntimeError(f"the job's coroutine raised {type(error).__name__}") from None


class _Tracer(greenlet):  # type: ignore[misc]  # greenlet has no types
    """Runs one delivery through Celery's tracer."""

    def __init__(self, job: Job, run: Callable[[], None]) -> None:
        super().__init__(run)
        self.job = job


def run_on_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a task's coroutine on the pool's loop and wait; only from inside a task of this pool.

    Context variables of the caller are the coroutine's too. Raises what the coroutine raises; when it was cancelled,
    the reason (see the module).
    """
    tracer = getcurrent()
    if not isinstance(tracer, _Tracer):
        coroutine.close()
        raise RuntimeError("no job of workers.pool runs here")  # noqa: TRY004 - it is the place that is wrong
    return tracer.job.run(coroutine)


class TaskPool(BasePool):  # type: ignore[misc]  # Celery has no types
    """Celery's pool contract over coroutines. `limit` is the number of jobs in flight."""

    signal_safe = False
    is_green = False
    uses_semaphore = False
    task_join_will_block = False
    body_can_be_buffer = True
    limit: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pids = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self._tracing = 0
        self._waiting: deque[partial[None]] = deque()
        self._calls: queue.SimpleQueue[tuple[Callable[..., object], tuple[object, ...]]] = queue.SimpleQueue()
        self._calls_wait = promise(self._run_calls)  # one for all of them: the hub keeps a set
        self._hub: Any = None
        self._loop_thread: LoopThread | None = None
        self._times_asked_back = 0
        self._turn_follows_at = 0.0

    def on_start(self) -> None:
        """Open loop and services; a worker that cannot have them does not start."""
        if LocalStack is not _LocalStack:
            raise RuntimeError("unset USE_FAST_LOCALS: with it, Celery cannot tell the jobs of this pool apart")
        loop_thread = LoopThread(getattr(self.app, "lifespan", None))
        loop_thread.start()
        self._loop_thread = loop_thread  # only now: a stop that a signal asks for meanwhile finds nothing to close

    def register_with_event_loop(self, hub: Any) -> None:
        """Celery's hub wakes up for our callbacks from here on."""
        self._hub = hub
        hub.on_tick.add(self._run_calls)  # what its timers added, too: countdowns that have ended

    def on_apply(  # noqa: PLR0917 - Celery's signature
        self,
        target: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        timeout_callback: Callable[..., Any] | None = None,
        soft_timeout: float | None = None,
        timeout: float | None = None,
        **_options: Any,
    ) -> Job:
        """Start one delivery; never blocks. Called on the hub thread."""
        if self._loop_thread is None:
            raise RuntimeError("the pool does not run")
        limits, on_limit = NO_LIMITS, None
        if soft_timeout or timeout:
            limits = TimeLimits(soft_timeout, timeout)
            on_limit = self._limit_reporter(timeout_callback)
        job = Job(next(self._pids), self._loop_thread.loop, self._report_end, limits, on_limit)
        self._jobs[job.pid] = job
        job.tracer = _Tracer(job, partial(self._trace, job, partial(target, *(args or ()), **(kwargs or {})), callback))
        # not now: Celery has yet to take what this returns
        self._on_hub(self._begin, job, accept_callback)
        return job

    def _begin(self, job: Job, accept_callback: Callable[..., Any] | None) -> None:
        if self._tracing >= self.limit:  # messages whose countdown ended come whether there is room or not
            self._waiting.append(partial(self._begin, job, accept_callback))
            return
        self._tracing += 1
        if accept_callback is not None:
            _call(accept_callback, (job.pid, time.monotonic()))
        if job.tracer is not None:
            job.tracer.switch()

    def _continue(self, job: Job) -> None:
        if job.tracer:  # it has begun, and not ended
            job.tracer.switch()

    def _report_end(self, job: Job) -> None:
        self._on_hub(self._continue, job)

    def _trace(
        self, job: Job, target: Callable[[], tuple[int, object, float]], callback: Callable[..., Any] | None
    ) -> None:
        try:
            result = target()
        except BaseException as error:  # noqa: BLE001 - whatever comes, the slot is given back
            logger.error("pool.tracer_failed error=%s", type(error).__name__)  # noqa: TRY400 - its text may quote a prompt
            result = (1, _lost(error), 0.0)
        job.tracer = None
        self._tracing -= 1
        self._on_hub(self._finish, job, callback, result)
        if self._waiting:
            self._on_hub(self._waiting.popleft())

    def _finish(self, job: Job, callback: Callable[..., Any] | None, result: tuple[int, object, float]) -> None:
        if self._jobs.pop(job.pid, None) is None:
            return  # past its hard limit: Celery has heard of its end
        failed, _value, _seconds = result
        if callback is not None and not (failed and job.was_given_back):
            callback(result)

    def _limit_reporter(self, timeout_callback: Callable[..., Any] | None) -> Callable[[Job, float, bool], None]:
        def report(job: Job, seconds: float, is_soft: bool) -> None:  # noqa: FBT001 - Celery's shape
            self._on_hub(self._pass_limit, job, timeout_callback, seconds, is_soft)

        return report

    def _pass_limit(
        self,
        job: Job,
        timeout_callback: Callable[..., Any] | None,
        seconds: float,
        is_soft: bool,  # noqa: FBT001 - Celery's shape
    ) -> None:
        if job.pid not in self._jobs:
            return
        if not is_soft:
            del self._jobs[job.pid]
            job.let_go()
        if timeout_callback is not None:
            timeout_callback(is_soft, seconds)

    def _on_hub(self, call: Callable[..., object], *args: object) -> None:
        self._calls.put((call, args))
        if self._hub is not None:
            self._hub.call_soon(self._calls_wait)

    def _run_calls(self) -> None:
        """On the hub thread: what was reported, in its order."""
        has_called, until = False, time.monotonic() + TURN_SECONDS
        while True:
            try:
                call, args = self._calls.get_nowait()
            except queue.Empty:
                break
            has_called = has_called or call is not _nothing
            _call(call, args)
            if time.monotonic() >= until:
                break
        if has_called:
            self._have_a_turn_follow()

    def _have_a_turn_follow(self) -> None:
        """Acks are for the hub's next turn, and kombu's hub does not wake up for what its own thread adds."""
        now = time.monotonic()
        if self._hub is not None and self._turn_follows_at < now + ACK_SECONDS / 2:  # else it may come in this turn
            self._turn_follows_at = now + ACK_SECONDS
            self._hub.call_later(ACK_SECONDS, _nothing)

    def give_back(self) -> None:
        """Do not wait for what is in flight: give it back. Once more: do not wait for the soft limit either.

        Safe in a signal handler. It speeds up a stop that is under way or comes; alone it stops nothing.
        """
        self._times_asked_back += 1
        self._calls.put((_nothing, ()))

    def wake_hub(self) -> None:
        """Have Celery look at its shutdown flags now instead of after its next timer. Safe in a signal handler."""
        if self._loop_thread is not None:
            with suppress(RuntimeError):  # the loop is closed: the stop is under way
                # by way of the loop thread, because the hub's own lock may be held by what the signal interrupted
                self._loop_thread.loop.call_soon_threadsafe(self._on_hub, _nothing)

    def on_stop(self) -> None:
        """Warm shutdown: every job in flight ends, is stored and acked; then services and loop close.

        Runs on the hub thread, whose loop no longer turns: what the other threads report is taken from the queue here.
        """
        self._drain(until_asked_back=1)
        self._close()

    def on_terminate(self) -> None:
        """Cold shutdown: wait for the soft limit, if there is one, then cancel every job, which frees its claim."""
        soft_seconds = float(self.app.conf.worker_soft_shutdown_timeout or 0.0)
        if soft_seconds > 0:
            self._drain(seconds=soft_seconds, until_asked_back=max(self._times_asked_back, 1) + 1)
        self._close()

    def _drain(self, *, seconds: float | None = None, until_asked_back: int | None = None) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._jobs and (until_asked_back is None or self._times_asked_back < until_asked_back):
            try:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                _call(*self._calls.get(timeout=left))
            except queue.Empty:
                return

    def _close(self) -> None:
        if self._loop_thread is None:
            return
        for job in list(self._jobs.values()):
            job.give_back()
        self._drain(seconds=GIVE_BACK_SECONDS)
        for job in self._jobs.values():
            job.let_go()
        self._run_calls()
        self._loop_thread.stop()
        self._loop_thread = None

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """`revoke(terminate=True)`: cancel one job. Its claim is freed: to end a job for good, `gradequeue cancel`."""
        job = self._jobs.get(pid)
        if job is not None:
            job.terminate(signal or TERMINATE)

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        loop = type(self._loop_thread.loop) if self._loop_thread is not None else None
        return info | {"in-flight": len(self._jobs), "loop": f"{loop.__module__}.{loop.__name__}" if loop else None}


TERMINATE = int(signal.SIGTERM)


def _call(call: Callable[..., object], args: tuple[object, ...]) -> None:
    try:
        call(*args)
    except Exception:
        logger.exception("pool.callback_failed")


def _nothing() -> None:
    return None


def _lost(error: BaseException) -> object:
    lost = RuntimeError(f"the job ended with {type(error).__name__}")
    return ExceptionInfo((RuntimeError, lost, error.__traceback__))
