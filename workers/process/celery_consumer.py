"""Celery's consumer, made safe where it fails and cheap where it costs most.

A broker that is away, or answers with errors, is waited for, and the log says why. One message never ends the worker:
what it cannot read it drops with a line of log. Only `workers.process.app` may import this.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery.worker import state
from celery.worker.consumer import Consumer

from workers.broker.address import reason_of
from workers.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

logger = get_logger(__name__)

EVENTS_SECONDS = 0.25
"""Task events are gathered for so long and sent as one message: as many messages as jobs cost a tenth of the CPU."""
MOST_EVENTS = 500
"""Per message; Celery's 24 would send several a turn of its loop."""


FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0
"""Between two looks at a broker that is away."""
REMINDER_SECONDS = 60.0
"""The log says again why the worker waits."""


class LossProofConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Survives the loss of the broker with a free slot and an unacked message; sends task events in bunches.

    *Source*: Celery 5.7.0 reads a reply from a BRPOP connection that is gone and dies of it (measured; 5.6.3 does not).
    """

    _events_due_at = 0.0

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Forget the poll that was under way before Celery cleans up."""
        for channel in list(getattr(getattr(self.connection, "transport", None), "channels", None) or ()):
            channel._in_poll = None  # noqa: SLF001 - there is no public way
        logger.warning("worker.broker_lost", reason=reason_of(exc))
        super().on_connection_error_after_connected(exc)

    def connect(self) -> Any:
        """Wait until the broker does everything that a worker needs, then connect."""
        self._wait_for_broker()
        return super().connect()

    def _wait_for_broker(self) -> None:
        why_waiting: Callable[[], str | None] | None = getattr(self.app, "why_waiting", None)
        said, said_at, began_at, wait_seconds = "", 0.0, time.monotonic(), FIRST_WAIT_SECONDS
        while why_waiting is not None and (reason := why_waiting()) is not None:
            if reason != said or time.monotonic() - said_at > REMINDER_SECONDS:
                said, said_at = reason, time.monotonic()
                logger.warning("worker.waiting_for_broker", reason=reason)
            self._pause(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)
        if said:
            logger.warning("worker.broker_is_back", waited_seconds=round(time.monotonic() - began_at))

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            state.maybe_shutdown()
            time.sleep(min(left, 0.2))
        state.maybe_shutdown()

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], object]:
        """Celery's, past a message that it cannot take: its exceptions would end the worker."""
        handle: Callable[[Any], object] = super().create_task_handler(*arguments, **options)

        def handle_carefully(message: Any) -> object:
            try:
                return handle(message)
            except (*self.connection_errors, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - every fault of one message is that message's
                self._drop(message, type(error).__name__)
                return None

        return handle_carefully

    def on_unknown_message(self, body: object, message: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Celery logs the whole body."""
        self._drop(message, "not a task")

    def on_unknown_task(self, body: object, message: Any, exc: BaseException) -> None:  # noqa: ARG002 - as above
        """As above."""
        self._drop(message, "unknown task")

    def on_invalid_task(self, body: object, message: Any, exc: BaseException) -> None:  # noqa: ARG002 - as above
        """As above."""
        self._drop(message, type(exc).__name__)

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """As above."""
        self._drop(message, type(exc).__name__)

    def _drop(self, message: Any, why: str) -> None:
        logger.error("broker.broken_message_dropped", error=why)
        message.ack_log_error(logger, self.connection_errors)

    def on_ready(self) -> None:
        """Connected, for the first time or again."""
        if self.event_dispatcher is not None:
            self.event_dispatcher.buffer_limit = MOST_EVENTS
        self.task_consumer.channel.free_slots = self._free_slots
        super().on_ready()

    def _free_slots(self) -> int:
        slots: int = self.pool.num_processes
        return slots - len(state.reserved_requests)

    def on_send_event_buffered(self) -> None:
        """Flush in a moment; a timer that was lost with its connection is set anew by the first event after it."""
        now = time.monotonic()
        if now >= self._events_due_at:
            self._events_due_at = now + EVENTS_SECONDS
            self.hub.call_later(EVENTS_SECONDS, self._flush_events)

    def shutdown(self) -> None:
        """The last jobs ended after the hub stood still: their events are still here."""
        self._flush_events()
        super().shutdown()
