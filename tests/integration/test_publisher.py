"""Rows -> messages: an enqueue that is interrupted anywhere leaves each job once, and each job runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from producer.client import JobClient
from producer.local.embedded import EmbeddedBroker
from tests.store.steps import FEED, claim, enqueue, new_job, publish, states
from tests.support.store_id import STORE_ID, queue_key
from tests.support.wait import wait_until
from workers.contract.errors import ServiceUnavailable
from workers.contract.job import JobSpec
from workers.contract.wire import broker_queue
from workers.process.feeder import Feeder
from workers.publisher import Publisher, celery_url, epoch_key
from workers.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workers.store import Store
    from workers.store.feed import Publication

pytestmark = pytest.mark.integration

QUEUE = queue_key("bulk", "p")
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def broker(broker_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(broker_url)
    yield client
    client.close()


@pytest.fixture
def publisher(broker_url: str) -> Iterator[Publisher]:
    publisher = Publisher.connect(load_settings(redis_url=broker_url, window=1000))
    yield publisher
    publisher.close()


def bodies(broker: redis.Redis, queue: str = QUEUE) -> list[dict[str, Any]]:
    raw: Any = broker.lrange(queue, 0, -1)
    return [json.loads(message) for message in reversed(raw)]


def job_ids(broker: redis.Redis, queue: str = QUEUE) -> list[str]:
    return [body["headers"]["id"].split(":")[0] for body in bodies(broker, queue)]


def sweep(store: Store, publisher: Publisher, rounds: int = 3) -> None:
    feeder = Feeder(
        store,
        publisher,
        holder="f",
        period_seconds=1.0,
        dead_after_seconds=30.0,
        countdown_grace_seconds=60.0,
        missing_seconds=0.0,
    )
    for _ in range(rounds):
        feeder.round()


def test_a_message_holds_an_id_and_nothing_of_the_students(store: Store, broker: redis.Redis, publisher: Publisher):
    enqueue(store, [new_job("a", prompt="XMARKERX")])
    publisher.publish_due(store, FEED)

    [body] = bodies(broker)
    assert body["headers"]["task"] == "gradequeue.grade"
    assert body["headers"]["id"].endswith(":1")
    everything = json.dumps(body) + "".join(str(broker.dump(key)) for key in broker.scan_iter())
    assert "XMARKERX" not in everything


def test_a_publish_that_breaks_half_way_leaves_each_job_to_run_once(
    store: Store, broker: redis.Redis, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
):
    sweep(store, publisher, rounds=1)  # the broker has an epoch
    enqueue(store, 40)
    send = publisher._send

    def breaks(queue: str, publications: Sequence[Publication]) -> None:
        send(queue, publications[:24])
        raise ConnectionError("the broker is gone")

    with monkeypatch.context() as patch:
        patch.setattr(publisher, "_send", breaks)
        with pytest.raises(ServiceUnavailable, match="broker"):
            publisher.publish_due(store, FEED)
    assert len(job_ids(broker)) == 24, "some messages went out although their rows count as unpublished"
    sweep(store, publisher, rounds=1)

    ids = job_ids(broker)
    assert len(set(ids)) == 40
    claimed = [job for job_id in ids for job in claim(store, [job_id])]
    assert Counter(claimed) == Counter(set(ids)), "the second message of a job finds it claimed"


def test_the_messages_are_those_that_celery_itself_would_send(store: Store, broker: redis.Redis, publisher: Publisher):
    enqueue(store, 3)
    publisher.publish_due(store, FEED)
    ours, ids = bodies(broker), job_ids(broker)
    broker.flushall()
    for job_id in ids:
        publisher._celery.send_task(
            "gradequeue.grade",
            args=(job_id, 1),
            task_id=f"{job_id}:1",
            queue=broker_queue("bulk", "p", STORE_ID),
            retry=False,
        )
    celerys = bodies(broker)

    assert len({message["properties"].pop("delivery_tag") for message in (*ours, *celerys)}) == 6
    for message in (*ours, *celerys):
        message["properties"].pop("reply_to")  # where results would go: there are none
        message["headers"].pop("ignore_result")
    assert list(map(json.dumps, ours)) == list(map(json.dumps, celerys)), "to the byte, in the same order"


def test_publishing_goes_on_after_the_broker_came_back(
    store: Store, tmp_path: Path, publisher: Publisher, broker: redis.Redis
):
    enqueue(store, 3)
    publisher.publish_due(store, FEED)
    os.kill(int((tmp_path / "broker.pid").read_text()), signal.SIGKILL)
    enqueue(store, 3, name="while-away")
    with pytest.raises(ServiceUnavailable):
        publisher.publish_due(store, FEED)
    again = EmbeddedBroker.join(tmp_path)
    sweep(store, publisher)

    assert len(set(job_ids(broker))) == 6
    again.leave()


def test_an_enqueue_without_a_broker_is_committed_and_published_later(
    store: Store, publisher: Publisher, broker: redis.Redis
):
    away = Publisher.connect(load_settings(redis_url="redis://127.0.0.1:1/0"))
    client = JobClient(store=store, publisher=away, registry=_registry(), provider="p")
    report = client.enqueue([JobSpec(id="a", prompt="x", schema="feedback", model="m")], name="b")
    assert report.new == 1
    assert states(store) == {"ready": 1}
    sweep(store, publisher)
    assert len(job_ids(broker)) == 1
    away.close()


def test_a_click_is_published_at_once(store: Store, publisher: Publisher, broker: redis.Redis):
    sweep(store, publisher, rounds=1)  # the broker has an epoch
    client = JobClient(store=store, publisher=publisher, registry=_registry(), provider="p")
    client.enqueue([JobSpec(id="a", prompt="x", schema="feedback", model="m")], name="b", queue="interactive")
    assert len(job_ids(broker, queue_key("interactive", "p"))) == 1


def _registry() -> Any:
    from workers.contract.registry import builtin_registry

    return builtin_registry()


PRODUCER = textwrap.dedent(
    """
    import sys
    from producer.client import JobClient
    from workers import publisher
    from workers.contract.job import JobSpec
    from workers.settings import load_settings
    from workers.store import enqueue as batches
    import time

    where = sys.argv[1]

    def stop_here(*args, **options):
        print("here", flush=True)
        time.sleep(60)

    if where == "before publishing":
        publisher.Publisher.publish_due = stop_here
    elif where == "between mark and send":
        publisher.Publisher._send = stop_here
    elif where == "between chunks":
        batches.CHUNK = 10

    def specs():
        for number in range(50):
            if where == "between chunks" and number == 35:
                stop_here()
            yield JobSpec(id=f"i{number}", prompt=f"x {number}", schema="feedback", model="m")

    JobClient.connect(load_settings()).enqueue(specs(), name="b", starts_carefully=False)
    """
)


@pytest.mark.parametrize("where", ["between chunks", "before publishing", "between mark and send"])
def test_a_producer_killed_anywhere_leaves_each_job_once_and_every_job_runs(
    store: Store, broker_url: str, publisher: Publisher, broker: redis.Redis, where: str
):
    sweep(store, publisher, rounds=1)
    environment = os.environ | {
        "REDIS_URL": broker_url,
        "DATABASE_URL": store.engine.url.render_as_string(),
        "GRADEQUEUE_OFFLINE": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    producer = [sys.executable, "-c", PRODUCER]
    process = subprocess.Popen([*producer, where], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    process.kill()
    process.communicate()
    if where == "between chunks":
        sweep(store, publisher)
        queue = queue_key("bulk", "standin")
        assert job_ids(broker, queue) == [], "a batch that was never complete does not begin to run"
        from tests.store.steps import move_clock

        move_clock(store, "leases", "expires_at", 61)
    subprocess.run([*producer, "to the end"], env=environment, check=True, timeout=60)
    sweep(store, publisher)

    assert states(store) == {"ready": 50}
    ids = job_ids(broker, queue_key("bulk", "standin"))
    assert len(set(ids)) == 50
    assert len(claim(store, sorted(set(ids)))) == 50


def test_the_epoch_is_set_once_whoever_begins_it(store: Store, publisher: Publisher, broker: redis.Redis):
    assert publisher.epoch(store) is None
    first = publisher.begin_epoch(store)
    assert publisher.begin_epoch(store) == first == publisher.epoch(store)
    broker.delete(epoch_key(STORE_ID))
    assert publisher.epoch(store) is None


def test_a_broker_that_is_not_there_is_a_missing_service(store: Store):
    publisher = Publisher.connect(load_settings(redis_url="redis://127.0.0.1:1/0"))
    for ask in (lambda: publisher.epoch(store), publisher.ping, lambda: publisher.queue_length(store, FEED)):
        with pytest.raises(ServiceUnavailable) as caught:
            ask()
        assert caught.value.service == "broker"
    publisher.close()
    with pytest.raises(ServiceUnavailable, match="REDIS_URL"):
        Publisher.connect(load_settings())
    with pytest.raises(ServiceUnavailable, match="Redis URL"):
        Publisher.connect(load_settings(redis_url="nonsense"))


def test_a_socket_url_is_put_as_kombu_wants_it():
    assert celery_url("unix:///run/b.sock?db=2") == "redis+socket:///run/b.sock?virtual_host=2"
    assert celery_url("redis://h:1/0") == "redis://h:1/0"


def test_a_row_is_sent_once_by_one_publisher(store: Store, publisher: Publisher, broker: redis.Redis):
    enqueue(store, 10)
    publish(store)
    assert publisher.publish_due(store, FEED) == 0
    assert wait_until(lambda: broker.llen(QUEUE) == 0, "nothing was sent", 1)


def test_every_way_a_send_breaks_is_a_missing_broker_and_leaves_the_rows_to_be_sent(
    store: Store, broker: redis.Redis, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
):
    sweep(store, publisher, rounds=1)  # the broker has an epoch
    enqueue(store, 5)
    publisher.ping()

    def lost(*_arguments: Any, **_options: Any) -> None:
        raise redis.ConnectionError("Connection closed by server.")

    with monkeypatch.context() as patch:
        patch.setattr(publisher._client, "lpush", lost)
        with pytest.raises(ServiceUnavailable) as caught:
            publisher.publish_due(store, FEED)
    assert caught.value.service == "broker"
    sweep(store, publisher, rounds=1)
    assert len(set(job_ids(broker))) == 5
