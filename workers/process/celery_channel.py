"""The worker's connection to its broker: kombu's Redis transport with a round trip for many messages instead of each.

What kombu guarantees holds: a message is among the unacknowledged ones before anybody sees it, and leaves them after
its job has ended. A broker that answers with an error (a read-only replica, no memory) counts as one that is away, and
a message that cannot be read is dropped with a line of log. Only `workers.process.app` may import this.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from queue import Empty
from typing import TYPE_CHECKING, Any

from kombu.connection import Connection
from kombu.transport import redis
from kombu.transport.virtual import base as virtual
from kombu.utils.json import loads
from redis.exceptions import RedisError

from workers.broker.address import reason_of
from workers.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery import Celery

logger = get_logger(__name__)

MOST_TAKEN = 50
"""Messages taken at once beyond the first: bounds how long one delivery holds the hub's loop."""


class BrokenMessageError(Exception):
    """A message that no producer of ours wrote: it is no JSON, or lacks what every message has."""


class Message(virtual.Message):
    """kombu's message; one of another shape raises `BrokenMessageError`, whatever is wrong with it."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            _record(payload, "")
            super().__init__(payload, channel=channel, **options)
        except Exception as error:  # noqa: BLE001 - every fault of one message is that message's
            raise BrokenMessageError(type(error).__name__) from None
        if not isinstance(self.headers, dict) or not isinstance(self.body, bytes | str):
            raise BrokenMessageError("no headers or no body")


class QoS(redis.QoS):
    """Sends the broker all acks of one turn of the hub's loop together.

    A worker that dies before a flush has its messages delivered again; their jobs are finished, so they are dropped.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unreported: list[str] = []
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
        """Ack locally; sent to the broker with the next `flush`."""
        self._unreported.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def flush(self) -> None:
        """One round trip, if anything is pending."""
        if not self._unreported:
            return
        with self.pipe_or_acquire() as pipe:
            pipe.zrem(self.unacked_index_key, *self._unreported)
            pipe.hdel(self.unacked_key, *self._unreported)
            pipe.execute()
        self._unreported.clear()

    def forget(self, delivery_tag: str) -> None:
        """Ack a message that was noted and is not delivered, because it cannot be read."""
        if delivery_tag in self._noted:
            self._noted.discard(delivery_tag)
            self._unreported.append(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """kombu's; an entry that is no message is removed, so that the sweep gets past it."""
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except self.channel.connection_errors:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one entry
            logger.error("broker.unreadable_entry_dropped", error=type(error).__name__)  # noqa: TRY400 - may quote it
            with self.pipe_or_acquire() as pipe:
                self._remove_from_indices(tag, pipe).execute()

    def restore_unacked(self, client: Any = None) -> None:
        """kombu's; while the broker refuses, they stay among the unacknowledged, and the store finds them missing."""
        try:
            super().restore_unacked(client)
        except self.channel.connection_errors as error:
            logger.warning("broker.messages_not_put_back", messages=len(self._delivered), reason=reason_of(error))
            self._delivered.clear()

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
    Message = Message
    free_slots: Callable[[], int] = staticmethod(_no_slots)
    """Set by the consumer; other channels take one message at a time."""
    _kept_client: Any = None
    _first_taken = 0
    """Which of the queues, one for each account, is looked at first: each in turn."""

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's signature
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._kept_client is None or self._kept_client.connection_pool is not self.pool:
            self._kept_client = super()._create_client()
        return self._kept_client

    def _brpop_read(self, **options: Any) -> Any:
        try:
            delivered = super()._brpop_read(**options)
        except self.connection_errors:
            if self._closing:
                raise Empty from None  # kombu waits for the pop that is under way; its error concerns nobody now
            raise
        except (ValueError, RecursionError) as error:  # popped and gone: what cannot be read is nobody's job
            _log_broken(type(error).__name__)
            return False
        if not self._closing:
            self._take_more()
        return delivered

    def _receive_one(self, client: Any) -> Any:
        """kombu's, past what somebody sent to the control channel and is no message."""
        try:
            return super()._receive_one(client)
        except (Empty, MemoryError, *self.connection_errors):
            raise
        except Exception as error:  # noqa: BLE001 - every fault of one message is that message's
            _log_broken(type(error).__name__)
            raise Empty from None

    def _take_more(self) -> None:
        queues = list(self.active_queues)
        self._first_taken = (self._first_taken + 1) % max(1, len(queues))
        queues = [*queues[self._first_taken :], *queues[: self._first_taken]]
        for place, queue in enumerate(queues):
            prefetch = self.qos.can_consume_max_estimate()  # None is no limit
            room = min(self.free_slots(), MOST_TAKEN if prefetch is None else min(prefetch, MOST_TAKEN))
            if room <= 0:
                return
            share = -(-room // (len(queues) - place))  # what one queue does not need is another's
            with self.conn_or_acquire() as client:
                taken = [each for each in map(_read, client.rpop(queue, share) or ()) if each is not None]
            if taken:
                self.qos.note(dict(map(_record, *zip(*taken, strict=True))))
            for message, _text in taken:
                self.connection._deliver(message, queue)  # noqa: SLF001 - as kombu's own read does

    def close(self) -> None:
        """Report what was not yet acknowledged: the last jobs ended after the hub's loop stood still."""
        if not self.closed:
            with suppress(*self.connection_errors):  # delivered again one day, and dropped
                self.qos.flush()
                self.qos.put_back_undelivered()
        super().close()


def _read(raw: bytes) -> tuple[Mapping[str, Any], str] | None:
    """A message of the right shape and its text, or None, with a line of log."""
    try:
        text = raw.decode()
        message: Any = loads(text)
        _record(message, text)
    except Exception as error:  # noqa: BLE001 - every fault of one message is that message's
        _log_broken(type(error).__name__)
        return None
    return message, text


def _log_broken(what: str) -> None:
    logger.error("broker.broken_message_dropped", error=what)


def _record(message: Mapping[str, Any], text: str) -> tuple[str, str]:
    """The delivery tag, and what kombu keeps of an unacknowledged message: itself, its exchange, its routing key."""
    properties = message["properties"]
    delivery = properties["delivery_info"]
    if not isinstance(properties["delivery_tag"], str):
        raise TypeError("delivery_tag")
    record = f"[{text}, {json.dumps(delivery['exchange'])}, {json.dumps(delivery['routing_key'])}]"
    return properties["delivery_tag"], record


def _tag_of(message: Any) -> str:
    try:
        return str(message["properties"]["delivery_tag"])
    except (TypeError, KeyError, IndexError):
        return ""


class Transport(redis.Transport):
    """kombu's Redis transport with our channel."""

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, RedisError)
    """An answer that is an error too: whatever it says, the connection cannot be worked with now."""
    _loop: Any = None

    def _deliver(self, message: Any, queue: str) -> None:
        """kombu's, past a message that cannot be read."""
        try:
            super()._deliver(message, queue)
        except BrokenMessageError as error:
            _log_broken(str(error))
            for channel in self.channels or ():
                channel.qos.forget(_tag_of(message))

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Acks are flushed at the end of each turn."""
        super().register_with_event_loop(connection, loop)
        self._loop = loop
        loop.on_tick.add(self._flush)

    def close_connection(self, connection: Any) -> None:
        """The hub forgets a connection that is gone."""
        super().close_connection(connection)
        if self._loop is not None:
            self._loop.on_tick.discard(self._flush)

    def _flush(self) -> None:
        for channel in self.channels or ():
            channel.qos.flush()


class SentinelChannel(Channel, redis.SentinelChannel):
    """The same, whose server Sentinel knows."""


class SentinelTransport(Transport, redis.SentinelTransport):
    """kombu's transport through Sentinel with our channel."""

    Channel = SentinelChannel


_OURS = {redis.Transport: Transport, redis.SentinelTransport: SentinelTransport}


class WorkerConnection(Connection):
    """A connection with our transport, whatever the form of the Redis URL."""

    def get_transport_cls(self) -> Any:
        """Ours instead of kombu's; others stay what they are."""
        transport = super().get_transport_cls()
        return _OURS.get(transport, transport)


def use_worker_connections(app: Celery) -> None:
    """Every connection that this application makes from now on."""
    app.amqp.Connection = WorkerConnection
