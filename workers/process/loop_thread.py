"""The one asyncio loop of a worker process, on a thread of its own, with the services that live on it.

Whatever blocks the loop holds up every paid call in flight, so a watchdog logs its stack when it has not turned
for a second. Knows no Celery.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from workers.log import get_logger, log_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

logger = get_logger(__name__)

T = TypeVar("T")
START_SECONDS = 120.0
"""A worker whose store or provider client cannot be opened by then should say so and exit."""
LEFTOVER_SECONDS = 1.0
"""For coroutines that were given up and still clean up after themselves when the loop closes."""
BLOCKED_SECONDS = 1.0
"""A loop that is blocked for so long delays every answer that has arrived meanwhile."""
LOOK_SECONDS = 0.5
"""Between two looks of the watchdog: each wakes the loop once."""


class LoopThread:
    """An asyncio loop on its own thread. `lifespan` opens with it and closes after its last job."""

    def __init__(
        self,
        lifespan: Callable[[], AbstractAsyncContextManager[object]] | None = None,
        *,
        blocked_seconds: float = BLOCKED_SECONDS,
    ) -> None:
        self._lifespan = lifespan
        self._services = AsyncExitStack()
        self.loop = _new_loop()
        self._thread = threading.Thread(target=self._run, name="jobs-loop", daemon=True)
        self._watchdog = _Watchdog(self.loop, self._thread, blocked_seconds=blocked_seconds)

    def start(self) -> None:
        """Run the loop and open the services; raises what they raise."""
        self._thread.start()
        self._watchdog.start()
        if self._lifespan is not None:
            self.call(self._services.enter_async_context(self._lifespan()), timeout_seconds=START_SECONDS)

    def stop(self) -> None:
        """Close the services, then the loop. A service that cannot be closed is logged and left."""
        try:
            self.call(self._services.aclose())
        except Exception as error:  # noqa: BLE001 - whatever a service says
            log_frames(logger, "loop.services_not_closed", error)
        self.call(_end_leftovers())
        self._watchdog.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T], *, timeout_seconds: float | None = None) -> T:
        """Run one coroutine to its end from another thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_seconds)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _end_leftovers() -> None:
    leftovers = asyncio.all_tasks() - {asyncio.current_task()}
    for task in leftovers:
        task.cancel()
    if leftovers:
        await asyncio.wait(leftovers, timeout=LEFTOVER_SECONDS)


class _Watchdog:
    """Asks the loop for a sign of life; logs the stack of one that gives none, once per standstill."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, loop_thread: threading.Thread, *, blocked_seconds: float
    ) -> None:
        self._loop = loop
        self._loop_thread = loop_thread
        self._blocked_seconds = blocked_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            asked_at, turned = time.monotonic(), threading.Event()
            self._loop.call_soon_threadsafe(turned.set)
            if turned.wait(self._blocked_seconds):
                continue
            logger.warning("loop.blocked", seconds=round(time.monotonic() - asked_at, 1), where=self._stack())
            while not turned.wait(LOOK_SECONDS):
                if self._stopping.is_set():
                    return
            logger.warning("loop.turns_again", blocked_seconds=round(time.monotonic() - asked_at, 1))

    def _stack(self) -> str:
        """Lines of code, never values: those may quote a prompt."""
        frame = sys._current_frames().get(self._loop_thread.ident or 0)  # noqa: SLF001 - the documented way
        return "".join(traceback.format_stack(frame)) if frame is not None else "(no frame)"
