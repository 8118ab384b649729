"""Rows -> messages, pipelined, within the window. Producers and the feeder publish through this file alone.

A message is a claim check: job id and wire version. Publishing goes mark -> send -> (unmark what could not be sent), so
that two publishers never send the same row, and a row whose send failed is found again.
"""

from __future__ import annotations

import uuid
from base64 import b64decode, b64encode
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis
from celery import Celery
from celery.utils.nodenames import anon_nodename
from kombu.connection import Connection
from kombu.utils.json import dumps
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

from workers.broker.address import BrokerAddress, reason_of
from workers.broker.needs import refusals, why_waiting
from workers.broker.pools import connection_pool
from workers.contract.errors import ServiceUnavailable
from workers.contract.wire import TASK_NAME, JobMessage, broker_queue, celery_id
from workers.log import get_logger
from workers.store.feed import Feed, due_jobs, mark_published, unmark_published
from workers.store.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workers.settings import Settings
    from workers.store import Store
    from workers.store.feed import Publication

logger = get_logger(__name__)

KEY_PREFIX = "gradequeue:"
"""Before every key of ours, so that the server may be shared."""
PUBLISH_CHUNK = 500
"""Rows per mark-and-send round: bounds what one crash leaves marked but unsent."""
SOCKET_SECONDS = 15.0
"""A broker that does not answer for so long is away."""
PERSISTENT = 2
"""AMQP's delivery mode, as Celery sends it."""
VISIBILITY_SECONDS = 3600
"""How long a message may be unacknowledged: well above the longest job, its countdown included."""
_BROKER_ERRORS = (RedisError, OSError)


def celery_url(url: str) -> str:
    """`unix:///run/broker.sock?db=0` as kombu wants it: `redis+socket:///run/broker.sock?virtual_host=0`."""
    return BrokerAddress.parse(url).celery_url


def epoch_key(store_id: str) -> str:
    """Lives as long as the broker's memory: where it is missing, this store's messages are missing too."""
    return f"{KEY_PREFIX}epoch.{store_id}"


def unacked_keys(store_id: str) -> dict[str, str]:
    """Kombu's transport options for where the workers of one store keep what they have taken."""
    return {f"{name}_key": f"{name}.{store_id}" for name in ("unacked", "unacked_index", "unacked_mutex")}


def new_celery(broker_url: str, *, socket_seconds: float = SOCKET_SECONDS) -> Celery:
    """A Celery application that speaks to the broker as every process of ours does."""
    address = BrokerAddress.parse(broker_url)
    app = Celery("gradequeue", broker=address.celery_url, set_as_current=False)
    app.conf.update(
        broker_use_ssl=dict(address.tls) if address.tls else False,
        broker_transport_options={
            "global_keyprefix": KEY_PREFIX,
            "visibility_timeout": VISIBILITY_SECONDS,
            "socket_timeout": socket_seconds,
            "socket_connect_timeout": socket_seconds,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "queue_order_strategy": "priority",
            # the store finds lost messages sooner than kombu's sweep; this one only returns what a dead worker held
            "unacked_restore_interval": 30,
            **address.transport_options,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,  # the store is the truth
        task_send_sent_event=False,
        task_publish_retry=False,  # what cannot be sent is unmarked, and the feeder tries again
        enable_utc=True,
        timezone="UTC",
    )
    return app


def new_redis(broker_url: str, *, socket_seconds: float = SOCKET_SECONDS) -> redis.Redis:
    """A redis-py client with a bounded, blocking pool and deadlines."""
    pool = connection_pool(
        broker_url,
        max_connections=10,
        timeout=socket_seconds,
        socket_timeout=socket_seconds,
        socket_connect_timeout=min(5.0, socket_seconds),
        health_check_interval=25,
    )
    return redis.Redis(connection_pool=pool)


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """The message that `send_task` would send to one queue, but for what differs from job to job.

    Celery and kombu make the first; for each of the others they would take ten times as long.
    """

    text: str
    body: str

    @classmethod
    def of(cls, celery: Celery, queue: str) -> MessageTemplate:
        """As Celery and kombu write it, with marks where a job's own stands."""
        args = JobMessage(_JOB).as_args()
        task = celery.amqp.create_task_message(
            _CELERY_ID, TASK_NAME, args, argsrepr=repr(args), kwargsrepr="{}", origin=anon_nodename()
        )
        new_connection: Any = Connection  # kombu gives these no types
        write: Any = dumps
        with new_connection(
            "memory://"
        ) as connection:  # every broker without exchanges of its own gets the same message
            channel = connection.default_channel
            connection.Producer(channel).publish(
                task.body,
                exchange="",
                routing_key=queue,
                serializer="json",
                delivery_mode=PERSISTENT,
                headers=task.headers,
                retry=False,
                **task.properties,
            )
            message = channel._get(queue)  # noqa: SLF001 - raw: every other way takes it apart
        body = b64decode(message["body"]).decode()
        message["body"], message["properties"]["delivery_tag"] = _BODY, _TAG
        return cls(text=write(message), body=body)

    def message(self, publication: Publication) -> str:
        """The message of one job, its id being one that JSON need not escape."""
        job_id = publication.job_id
        body = b64encode(self.body.replace(_JOB, job_id).encode()).decode()
        text = self.text.replace(_CELERY_ID, celery_id(job_id, publication.publish_number)).replace(_JOB, job_id)
        return text.replace(_TAG, str(uuid.uuid4())).replace(_BODY, body)


_JOB, _CELERY_ID, _TAG, _BODY = "<job>", "<task>", "<tag>", "<body>"
"""No queue's name and nothing of Celery's holds one of these."""


class Publisher:
    """Sends what is due, as far as the window has room. Every method raises `ServiceUnavailable("broker", ...)`."""

    def __init__(self, celery: Celery, client: redis.Redis, *, window: int, address: BrokerAddress) -> None:
        self._address = address
        self._celery = celery
        self._client = client
        self._window = window
        self._templates: dict[str, MessageTemplate] = {}
        self._turns: dict[Feed, Turns] = {}

    @classmethod
    def connect(cls, settings: Settings) -> Publisher:
        """A publisher for the broker of these settings; connects on first use."""
        if settings.redis_url is None:
            raise ServiceUnavailable("broker", "REDIS_URL is not set")
        url, socket_seconds = settings.redis_url, settings.broker_timeout_seconds
        return cls(
            new_celery(url, socket_seconds=socket_seconds),
            new_redis(url, socket_seconds=socket_seconds),
            window=settings.window,
            address=BrokerAddress.parse(url),
        )

    def publish_due(self, store: Store, feed: Feed, *, startable: Mapping[str, int] | None = None) -> int:
        """Fill the queue's window with due rows, fairly over batches; returns how many messages were sent.

        `startable`: calls that models with a limit can start soon; they get no more messages than that.
        """
        sent = 0
        room = self._window - self.queue_length(store, feed)
        while room > 0:
            turns = self._turns.setdefault(feed, Turns())
            publications = _mark_due(store, feed, at_most=min(room, PUBLISH_CHUNK), startable=startable, turns=turns)
            if not publications:
                break
            self._send_marked(store, feed, publications)
            sent += len(publications)
            room -= len(publications)
        return sent

    def _send_marked(self, store: Store, feed: Feed, publications: Sequence[Publication]) -> None:
        try:
            self._send(broker_queue(feed.queue, feed.provider, store.id), publications)
        except _BROKER_ERRORS as error:
            store.run(lambda connection: unmark_published(connection, publications))
            raise _away(error) from None

    def _send(self, queue: str, publications: Sequence[Publication]) -> None:
        if queue not in self._templates:
            self._templates[queue] = MessageTemplate.of(self._celery, queue)
        template = self._templates[queue]
        # one command: all of them are sent, or none
        self._client.lpush(KEY_PREFIX + queue, *[template.message(each) for each in publications])

    def queue_length(self, store: Store, feed: Feed) -> int:
        """Messages that wait in the broker queue, those in workers' hands excluded."""
        queue = broker_queue(feed.queue, feed.provider, store.id)
        with _broker_calls():
            return _integer(self._client.llen(KEY_PREFIX + queue))

    def epoch(self, store: Store) -> str | None:
        """The broker's epoch for this store, None when its memory is new."""
        with _broker_calls():
            value: Any = self._client.get(epoch_key(store.id))
        return value.decode() if isinstance(value, bytes) else value

    def begin_epoch(self, store: Store) -> str:
        """Mark the broker's memory, unless somebody else just did; returns the epoch that holds."""
        with _broker_calls():
            self._client.set(epoch_key(store.id), uuid.uuid4().hex, nx=True)
        epoch = self.epoch(store)
        if epoch is None:
            raise ServiceUnavailable("broker", "the broker drops what it is sent; is maxmemory too small?")
        return epoch

    def ping(self) -> None:
        """Raises when the broker cannot be reached or lets nobody in; another error is an answer."""
        with _broker_calls(), suppress(BusyLoadingError, ResponseError):
            self._client.ping()

    def why_waiting(self) -> str | None:
        """Why no worker can work with this broker now, None when it can: everything that workers do is tried."""
        address = self._address
        return why_waiting(self._client, prefix=KEY_PREFIX, database=address.database, user=address.user)

    def refusals(self) -> list[str]:
        """One sentence for each thing that workers do and this broker refuses."""
        address = self._address
        found = refusals(self._client, prefix=KEY_PREFIX, database=address.database)
        return [refusal.sentence(address.user) for refusal in found]

    def close(self) -> None:
        """Release every connection."""
        self._celery.close()
        self._client.close()
        self._client.connection_pool.disconnect()  # a pool that was passed in is not the client's to close


def _mark_due(
    store: Store, feed: Feed, *, at_most: int, startable: Mapping[str, int] | None, turns: Turns
) -> list[Publication]:
    with store.snapshot() as connection:  # choosing takes longer than marking, and must not hold up other writers
        chosen = due_jobs(connection, feed, at_most=at_most, startable=startable, turns=turns)
    return store.run(lambda connection: mark_published(connection, chosen)) if chosen else []


@contextmanager
def _broker_calls() -> Iterator[None]:
    try:
        yield
    except _BROKER_ERRORS as error:
        raise _away(error) from None


def _away(error: BaseException) -> ServiceUnavailable:
    return ServiceUnavailable("broker", f"the broker cannot be used now: {reason_of(error)}")


def _integer(value: Any) -> int:
    return int(value)
