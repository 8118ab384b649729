"""Celery's consumer and its broker connection, mended where they fail and where they cost most.

Nothing here changes what Celery does; only `workers.app` may import it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery.worker.consumer import Consumer
from kombu.connection import Connection
from kombu.transport import redis

if TYPE_CHECKING:
    from celery import Celery

EVENTS_SECONDS = 0.25
"""Task events are gathered for so long and sent as one message: as many messages as jobs cost a tenth of the CPU."""
MOST_EVENTS = 500
"""Per message; Celery's 24 would send several a turn of its loop."""


class LossProofConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Survives the loss of the broker with a free slot and an unacked message; sends task events in bunches.

    *Source*: Celery 5.7.0 reads a reply from a BRPOP connection that is gone and dies of it (measured; 5.6.3 does not).
    """

    _events_due_at = 0.0

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Forget the poll that was under way before Celery cleans up."""
        for channel in list(getattr(getattr(self.connection, "transport", None), "channels", None) or ()):
            channel._in_poll = None  # noqa: SLF001 - there is no public way
        super().on_connection_error_after_connected(exc)

    def on_ready(self) -> None:
        """Connected, for the first time or again."""
        if self.event_dispatcher is not None:
            self.event_dispatcher.buffer_limit = MOST_EVENTS
        super().on_ready()

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


class Channel(redis.Channel):
    """Keeps its client: kombu makes a new one for every ack, which is a fifth of the hub thread's work."""

    _kept_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's signature
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]  # kombu's
        if self._kept_client is None or self._kept_client.connection_pool is not self.pool:
            self._kept_client = super()._create_client()  # type: ignore[no-untyped-call]  # kombu's
        return self._kept_client


class Transport(redis.Transport):
    """kombu's Redis transport with our channel."""

    Channel = Channel


class WorkerConnection(Connection):
    """A connection whose channels keep their client, whatever the form of the Redis URL."""

    def get_transport_cls(self) -> Any:
        """Ours instead of kombu's; others stay what they are."""
        transport = super().get_transport_cls()  # type: ignore[no-untyped-call]  # kombu's
        return Transport if transport is redis.Transport else transport


def use_worker_connections(app: Celery) -> None:
    """Every connection that this application makes from now on."""
    app.amqp.Connection = WorkerConnection
