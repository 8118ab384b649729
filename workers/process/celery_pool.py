"""A Celery pool whose deliveries are coroutines: one asyncio loop thread beside Celery's hub thread.

Celery's tracer runs unpatched, in a greenlet on the hub thread; the task's synchronous body hands its coroutine to the
loop with `run_on_loop`, and the greenlet waits until the coroutine has ended. What each thread may do:

    hub (main)    owns the broker connection; every callback of Celery runs here, in order, because acks do
    loop          runs every coroutine; never blocks

While the hub is blocked on a lost broker, paid calls go on. How a delivery ends, besides by itself:

    soft time limit    the coroutine is cancelled, and its HTTP request with it; the task sees SoftTimeLimitExceeded
    hard time limit    the slot is free at once, whatever the coroutine still does; no callback follows
    terminate          as `revoke(terminate=True)` wants: cancelled, the task sees Terminated
    given back         the worker stops: cancelled, no callback, so that the unacked message returns to the queue

Selected with `worker_pool="workers.process.celery_pool:TaskPool"`, no -P.
"""

from __future__ import annotations

import itertools
import queue
import signal
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo
from celery.concurrency.base import BasePool
from celery.utils.threads import LocalStack, _LocalStack
from vine import promise

from workers.log import get_logger, log_frames
from workers.process.celery_delivery import NO_LIMITS, Delivery, TimeLimits, Tracer
from workers.process.loop_thread import LoopThread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

logger = get_logger(__name__)

GIVE_BACK_SECONDS = 1.0
"""For cancelled deliveries to free their claims. A slower one is left to the sweeper; the others go back now."""

ACK_SECONDS = 0.02
"""Delay after a delivery ends, so that several acks share a round trip."""

TURN_SECONDS = 0.5
"""A retry takes seconds to publish while the broker is away: between two, Celery checks whether it has to stop."""


class TaskPool(BasePool):  # type: ignore[misc]  # Celery has no types
    """Celery's pool contract over coroutines. `limit` is the number of deliveries in flight."""

    signal_safe = False
    is_green = False
    uses_semaphore = False
    task_join_will_block = False
    body_can_be_buffer = True
    limit: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pids = itertools.count(1)
        self._deliveries: dict[int, Delivery] = {}
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
            raise RuntimeError("unset USE_FAST_LOCALS: with it, Celery cannot tell the deliveries of this pool apart")
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
    ) -> Delivery:
        """Start one delivery; never blocks. Called on the hub thread."""
        if self._loop_thread is None:
            raise RuntimeError("the pool does not run")
        limits, on_limit = NO_LIMITS, None
        if soft_timeout or timeout:
            limits = TimeLimits(soft_timeout, timeout)
            on_limit = self._limit_reporter(timeout_callback)
        delivery = Delivery(next(self._pids), self._loop_thread.loop, self._report_end, limits, on_limit)
        self._deliveries[delivery.pid] = delivery
        delivery.tracer = Tracer(
            delivery, partial(self._trace, delivery, partial(target, *(args or ()), **(kwargs or {})), callback)
        )
        # not now: Celery has yet to take what this returns
        self._on_hub(self._begin, delivery, accept_callback)
        return delivery

    def _begin(self, delivery: Delivery, accept_callback: Callable[..., Any] | None) -> None:
        if self._tracing >= self.limit:  # messages whose countdown ended come whether there is room or not
            self._waiting.append(partial(self._begin, delivery, accept_callback))
            return
        self._tracing += 1
        if accept_callback is not None:
            _call(accept_callback, (delivery.pid, time.monotonic()))
        if delivery.tracer is not None:
            delivery.tracer.switch()

    def _continue(self, delivery: Delivery) -> None:
        if delivery.tracer:  # it has begun, and not ended
            delivery.tracer.switch()

    def _report_end(self, delivery: Delivery) -> None:
        self._on_hub(self._continue, delivery)

    def _trace(
        self, delivery: Delivery, target: Callable[[], tuple[int, object, float]], callback: Callable[..., Any] | None
    ) -> None:
        try:
            result = target()
        except BaseException as error:  # noqa: BLE001 - whatever comes, the slot is given back
            logger.error("pool.tracer_failed", error=type(error).__name__)  # noqa: TRY400 - its text may quote a prompt
            result = (1, _lost(error), 0.0)
        delivery.tracer = None
        self._tracing -= 1
        self._on_hub(self._finish, delivery, callback, result)
        if self._waiting:
            self._on_hub(self._waiting.popleft())

    def _finish(
        self, delivery: Delivery, callback: Callable[..., Any] | None, result: tuple[int, object, float]
    ) -> None:
        if self._deliveries.pop(delivery.pid, None) is None:
            return  # past its hard limit: Celery has its end already
        failed, _value, _seconds = result
        if callback is not None and not (failed and delivery.was_given_back):
            callback(result)

    def _limit_reporter(self, timeout_callback: Callable[..., Any] | None) -> Callable[[Delivery, float, bool], None]:
        def report(delivery: Delivery, seconds: float, is_soft: bool) -> None:  # noqa: FBT001 - Celery's shape
            self._on_hub(self._pass_limit, delivery, timeout_callback, seconds, is_soft)

        return report

    def _pass_limit(
        self,
        delivery: Delivery,
        timeout_callback: Callable[..., Any] | None,
        seconds: float,
        is_soft: bool,  # noqa: FBT001 - Celery's shape
    ) -> None:
        if delivery.pid not in self._deliveries:
            return
        if not is_soft:
            del self._deliveries[delivery.pid]
            delivery.abandon()
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
        """Warm shutdown: every delivery in flight ends, is stored and acked; then services and loop close.

        Runs on the hub thread, whose loop no longer turns: what the other threads report is taken from the queue here.
        """
        self._drain(until_asked_back=1)
        self._close()

    def on_terminate(self) -> None:
        """Cold shutdown: wait for the soft limit, if there is one, then cancel each delivery, which frees its claim."""
        soft_seconds = float(self.app.conf.worker_soft_shutdown_timeout or 0.0)
        if soft_seconds > 0:
            self._drain(seconds=soft_seconds, until_asked_back=max(self._times_asked_back, 1) + 1)
        self._close()

    def _drain(self, *, seconds: float | None = None, until_asked_back: int | None = None) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._deliveries and (until_asked_back is None or self._times_asked_back < until_asked_back):
            try:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                _call(*self._calls.get(timeout=left))
            except queue.Empty:
                return

    def _close(self) -> None:
        if self._loop_thread is None:
            return
        for delivery in list(self._deliveries.values()):
            delivery.give_back()
        self._drain(seconds=GIVE_BACK_SECONDS)
        for delivery in self._deliveries.values():
            delivery.abandon()
        self._run_calls()
        self._loop_thread.stop()
        self._loop_thread = None

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """`revoke(terminate=True)`: cancel one job. Its claim is freed: to end a job for good, `gradequeue cancel`."""
        delivery = self._deliveries.get(pid)
        if delivery is not None:
            delivery.terminate(signal or TERMINATE)

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        loop = type(self._loop_thread.loop) if self._loop_thread is not None else None
        return info | {
            "in-flight": len(self._deliveries),
            "loop": f"{loop.__module__}.{loop.__name__}" if loop else None,
        }


TERMINATE = int(signal.SIGTERM)


def _call(call: Callable[..., object], args: tuple[object, ...]) -> None:
    try:
        call(*args)
    except Exception as error:  # noqa: BLE001 - the ones after it must run
        log_frames(logger, "pool.callback_failed", error)


def _nothing() -> None:
    return None


def _lost(error: BaseException) -> object:
    lost = RuntimeError(f"the delivery ended with {type(error).__name__}")
    return ExceptionInfo((RuntimeError, lost, error.__traceback__))
