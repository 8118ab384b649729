"""How a worker process stops. Signal handlers set flags and wake the hub; everything else happens on the hub thread.

    SIGTERM, first SIGINT      warm: take nothing new, finish and ack what is in flight
    SIGQUIT, second SIGINT     cold: wait for the soft limit (`worker_soft_shutdown_timeout`), then give everything back
    once more                  the soft limit is over now

A cold one also ends a warm one that is under way. Celery's own handlers do their work inside the handler, where the
interrupted code may hold any lock and be half-way through any callback.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.apps.worker import safe_say
from celery.platforms import EX_FAILURE, EX_OK
from celery.signals import worker_shutting_down
from celery.worker import state

if TYPE_CHECKING:
    from types import FrameType


class OrderlyStop(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """A worker bootstep that replaces Celery's handlers: `app.steps["worker"].add(OrderlyStop)`."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._worker: Any = None
        self._interrupts = 0

    def start(self, parent: Any) -> None:
        """Celery has installed its handlers by now."""
        self._worker = parent
        term = self._on_cold if os.environ.get("REMAP_SIGTERM") == "SIGQUIT" else self._on_warm
        signal.signal(signal.SIGTERM, term)
        signal.signal(signal.SIGQUIT, self._on_cold)
        signal.signal(signal.SIGINT, self._on_interrupt)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        (self._on_warm if self._interrupts == 1 else self._on_cold)(number, frame)

    def _on_warm(self, number: int, _frame: FrameType | None) -> None:
        self._stop(number, "Warm")
        if state.should_stop is None:
            state.should_stop = EX_OK
        self._worker.pool.wake_hub()

    def _on_cold(self, number: int, _frame: FrameType | None) -> None:
        self._stop(number, "Cold")
        state.should_terminate = EX_FAILURE
        self._worker.pool.give_back()
        self._worker.pool.wake_hub()

    def _stop(self, number: int, how: str) -> None:
        safe_say(f"worker: {how} shutdown (MainProcess)")
        worker_shutting_down.send(
            sender=self._worker.hostname,
            sig=signal.Signals(number).name,
            how=how,
            exitcode=EX_OK if how == "Warm" else EX_FAILURE,
        )
