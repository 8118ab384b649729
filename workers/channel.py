"""The worker's connection to its broker: kombu's Redis transport with a round trip for many messages instead of each.

What kombu guarantees stands: a message is among the unacknowledged ones before anybody sees it, and leaves them after
its job has ended. Only `workers.app` may import this.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu.connection import Connection
from kombu.transport import redis
from kombu.transport.virtual import base as virtual
from kombu.utils.json import loads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery import Celery

MOST_TAKEN = 50
"""Messages taken at once beyond the first: bounds for how long the hub's loop stands at one delivery."""


class QoS(redis.QoS):
    """Tells the broker of all acks of one turn of the hub's loop together.

    A worker that dies before it told has its messages delivered again; their jobs are finished, so they are dropped.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._untold: list[str] = []
        self._noted: set[str] = set()

    def note(self, unacked: Mapping[str, str]) -> None:
        """Put messages among the unacknowledged ones, before they are delivered: delivery tag -> kombu's record."""
        now = time.time()
        with self.pipe_or_acquire() as pipe:
            pipe.zadd(self.unacked_index_key, dict.fromkeys(unacked, now))
            pipe.hset(self.unacked_key, mapping=dict(unacked))
            pipe.execute()
        self._noted.update(unacked)

    def append(self, message: Any, delivery_tag: str) -> None:
        """Hold a message that is delivered now."""
        if delivery_tag in self._noted:
            self._noted.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Let go of a message; the broker hears of it with the next `tell`."""
        self._untold.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def tell(self) -> None:
        """One round trip, if there is anything to tell."""
        if not self._untold:
            return
        with self.pipe_or_acquire() as pipe:
            pipe.zrem(self.unacked_index_key, *self._untold)
            pipe.hdel(self.unacked_key, *self._untold)
            pipe.execute()
        self._untold.clear()

    def put_back_undelivered(self) -> None:
        """Return what was noted and never delivered, because the delivery of one before it failed."""
        for delivery_tag in list(self._noted):
            self.restore_by_tag(delivery_tag)
            self._noted.discard(delivery_tag)


def _no_slots() -> int:
    return 0


class Channel(redis.Channel):
    """Takes as many messages as there are free slots when one arrives.

    It keeps its client: kombu makes a new one for every command, which was a fifth of the hub thread's work.
    """

    QoS = QoS
    free_slots: Callable[[], int] = staticmethod(_no_slots)
    """Set by the consumer; other channels take one message at a time."""
    _kept_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's signature
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._kept_client is None or self._kept_client.connection_pool is not self.pool:
            self._kept_client = super()._create_client()
        return self._kept_client

    def _brpop_read(self, **options: Any) -> Any:
        delivered = super()._brpop_read(**options)
        if not self._closing:
            self._take_more()
        return delivered

    def _take_more(self) -> None:
        for queue in list(self.active_queues):
            prefetch = self.qos.can_consume_max_estimate()  # None is no limit
            room = min(self.free_slots(), MOST_TAKEN if prefetch is None else min(prefetch, MOST_TAKEN))
            if room <= 0:
                return
            with self.conn_or_acquire() as client:
                texts = [text.decode() for text in client.rpop(queue, room) or ()]
            messages = [loads(text) for text in texts]
            if messages:
                self.qos.note(dict(map(_record, messages, texts)))
            for message in messages:
                self.connection._deliver(message, queue)  # noqa: SLF001 - as kombu's own read does

    def close(self) -> None:
        """Tell what is untold: the last jobs ended after the hub's loop stood still."""
        if not self.closed:
            with suppress(*self.connection_errors):  # delivered again one day, and dropped
                self.qos.tell()
                self.qos.put_back_undelivered()
        super().close()


def _record(message: Mapping[str, Any], text: str) -> tuple[str, str]:
    """The delivery tag, and what kombu keeps of an unacknowledged message: itself, its exchange, its routing key."""
    properties = message["properties"]
    delivery = properties["delivery_info"]
    record = f"[{text}, {json.dumps(delivery['exchange'])}, {json.dumps(delivery['routing_key'])}]"
    return properties["delivery_tag"], record


class Transport(redis.Transport):
    """kombu's Redis transport with our channel."""

    Channel = Channel
    _loop: Any = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Acks are told at the end of each turn."""
        super().register_with_event_loop(connection, loop)
        self._loop = loop
        loop.on_tick.add(self._tell)

    def close_connection(self, connection: Any) -> None:
        """The hub forgets a connection that is gone."""
        super().close_connection(connection)
        if self._loop is not None:
            self._loop.on_tick.discard(self._tell)

    def _tell(self) -> None:
        for channel in self.channels or ():
            channel.qos.tell()


class WorkerConnection(Connection):
    """A connection with our transport, whatever the form of the Redis URL."""

    def get_transport_cls(self) -> Any:
        """Ours instead of kombu's; others stay what they are."""
        transport = super().get_transport_cls()
        return Transport if transport is redis.Transport else transport


def use_worker_connections(app: Celery) -> None:
    """Every connection that this application makes from now on."""
    app.amqp.Connection = WorkerConnection
