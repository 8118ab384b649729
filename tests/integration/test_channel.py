"""The worker's broker connection takes and acknowledges many messages at once, and keeps kombu's promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis
from kombu import Consumer, Queue

from workers.process.celery_channel import Transport, WorkerConnection
from workers.publisher import KEY_PREFIX, celery_url, new_celery

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

QUEUE = "bulk.test"


class Worker:
    """A consumer as Celery's: it takes what arrives, and keeps it until it is acked."""

    def __init__(self, broker_url: str, *, slots: int) -> None:
        self.server = redis.Redis.from_url(broker_url)
        app = new_celery(broker_url)
        options = app.conf.broker_transport_options
        self.connection = WorkerConnection(celery_url(broker_url), transport_options=options)
        self.taken: list[Any] = []
        self.unacked_at_delivery: list[int] = []
        self.breaks_at: int | None = None
        self._slots = slots
        channel = self.connection.default_channel
        channel.free_slots = lambda: self._slots - len(self.taken)
        self._consumer = Consumer(channel, [Queue(QUEUE)], on_message=self._take, auto_declare=False)
        self._consumer.consume()

    def _take(self, message: Any) -> None:
        if message.payload["number"] == self.breaks_at:
            raise LookupError("a delivery that fails")
        self.taken.append(message)
        self.unacked_at_delivery.append(self.server.hexists(f"{KEY_PREFIX}unacked", message.delivery_tag))

    def publish(self, count: int) -> None:
        producer = self.connection.Producer()
        for number in range(count):
            producer.publish({"number": number}, routing_key=QUEUE, exchange="", serializer="json")

    def read(self) -> None:
        self.connection.drain_events(timeout=5)

    @property
    def transport(self) -> Transport:
        transport = self.connection.transport
        assert isinstance(transport, Transport)
        return transport

    @property
    def waiting(self) -> int:
        return self.server.llen(f"{KEY_PREFIX}{QUEUE}")

    @property
    def unacked(self) -> int:
        indexed, kept = self.server.zcard(f"{KEY_PREFIX}unacked_index"), self.server.hlen(f"{KEY_PREFIX}unacked")
        assert indexed == kept
        return kept

    def commands(self) -> int:
        calls = self.server.info("commandstats")
        return sum(each["calls"] for name, each in calls.items() if name in {"cmdstat_exec", "cmdstat_zrem"})


@pytest.fixture
def worker(broker_url: str) -> Iterator[Worker]:
    worker = Worker(broker_url, slots=4)
    yield worker
    worker.connection.close()
    worker.server.close()


def test_one_arrival_fills_the_free_slots_and_no_more(worker: Worker):
    worker.publish(6)
    worker.read()

    assert [message.payload["number"] for message in worker.taken] == [0, 1, 2, 3]
    assert worker.waiting == 2


def test_every_message_stands_among_the_unacknowledged_before_it_is_delivered(worker: Worker):
    worker.publish(4)
    worker.read()

    assert worker.unacked_at_delivery == [True] * 4


def test_acks_of_one_turn_are_told_in_one_transaction(worker: Worker):
    worker.publish(4)
    worker.read()
    before = worker.commands()
    for message in worker.taken:
        message.ack()
    assert worker.unacked == 4, "nothing is told before the turn ends"
    worker.transport._flush()

    assert worker.unacked == 0
    assert worker.commands() - before == 2, "one EXEC with one ZREM"


def test_what_was_taken_together_is_put_back_when_the_channel_closes_and_what_was_acked_is_not(worker: Worker):
    worker.publish(4)
    worker.read()
    worker.taken[0].ack()
    worker.connection.close()

    assert worker.unacked == 0
    assert worker.waiting == 3


def test_what_a_dead_worker_took_together_is_restored_like_any_other(worker: Worker):
    worker.publish(3)
    worker.read()
    channel = worker.connection.default_channel
    for message in worker.taken:
        channel.qos.restore_by_tag(message.delivery_tag)

    assert worker.unacked == 0
    worker.taken.clear()
    worker.read()
    assert sorted(message.payload["number"] for message in worker.taken) == [0, 1, 2]


def test_a_rejected_message_goes_back_at_once(worker: Worker):
    worker.publish(2)
    worker.read()
    worker.taken[1].reject(requeue=True)

    assert (worker.waiting, worker.unacked) == (1, 1)


def test_a_delivery_that_fails_leaves_nothing_behind_when_the_channel_closes(worker: Worker):
    worker.publish(4)
    worker.breaks_at = 1
    with pytest.raises(LookupError):
        worker.read()
    worker.connection.close()

    assert (worker.waiting, worker.unacked) == (4, 0)


def test_acks_that_could_not_be_told_are_told_when_the_channel_closes(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    worker.publish(2)
    worker.read()
    for message in worker.taken:
        message.ack()
    with monkeypatch.context() as broken:
        broken.setattr(redis.client.Pipeline, "execute", _lose_connection)
        with pytest.raises(ConnectionError):
            worker.transport._flush()
    worker.connection.close()

    assert (worker.waiting, worker.unacked) == (0, 0)


def _lose_connection(_pipeline: object) -> None:
    raise ConnectionError


def test_no_more_is_taken_than_may_be_unacknowledged(worker: Worker):
    worker.connection.default_channel.basic_qos(0, 1, False)  # noqa: FBT003 - kombu's signature
    worker.publish(3)
    worker.read()

    assert (len(worker.taken), worker.waiting) == (1, 2)
