"""One message that no producer of ours wrote costs one line of log: never the worker, never another job."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scene import Scene, SharedScene
from tests.support.store_id import STORE_ID, queue_key
from tests.support.wait import wait_until
from workers.contract.wire import TASK_NAME, broker_queue
from workers.publisher import KEY_PREFIX, unacked_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

QUEUE = queue_key("bulk", "standin")
UNACKED = unacked_keys(STORE_ID)
SECRET = "text-of-a-student"
LINE = "broker.broken_message_dropped"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedScene]:
    shared = SharedScene(tmp_path_factory.mktemp("scene"), latency_ms="100-200")
    yield shared
    shared.close()


@pytest.fixture
def scene(shared: SharedScene) -> Iterator[Scene]:
    with shared.borrowed() as scene:
        yield scene


def message(args: object = ("01", 1), /, **changes: Any) -> dict[str, Any]:
    """A whole message as the publisher sends it, but for the changes; a key that is None is left out."""
    body = base64.b64encode(json.dumps([args, {}, {"callbacks": None}]).encode()).decode()
    made: dict[str, Any] = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TASK_NAME, "id": uuid.uuid4().hex, "retries": 0},
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": broker_queue("bulk", "standin", STORE_ID)},
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
            "priority": 0,
        },
    }
    made |= changes
    return {name: value for name, value in made.items() if value is not None}


def properties(**changes: Any) -> dict[str, Any]:
    made = message()["properties"] | changes
    return {"properties": {name: value for name, value in made.items() if value is not None}}


def headers(**changes: Any) -> dict[str, Any]:
    return {"headers": message()["headers"] | changes}


BROKEN: dict[str, bytes] = {
    "no JSON": SECRET.encode(),
    "no UTF-8": b"\xff\xfe\x00",
    "nothing": b"",
    "nested without end": b"[" * 200_000,
    "half a message": json.dumps(message()).encode()[:60],
} | {
    name: json.dumps(content).encode()
    for name, content in {
        "a list": [1, 2],
        "null": None,
        "a number": 7,
        "an empty object": {},
        "no properties": message(properties=None),
        "properties of another shape": message(properties=[SECRET]),
        "no delivery tag": message(**properties(delivery_tag=None)),
        "a delivery tag that is a list": message(**properties(delivery_tag=[1])),
        "no delivery info": message(**properties(delivery_info=None)),
        "an unknown encoding of the body": message(**properties(body_encoding="rot13")),
        "a body that is no base64": message(body="*"),
        "a body that is an object": message(body={"a": SECRET}),
        "a body that is no JSON": message(body=base64.b64encode(SECRET.encode()).decode()),
        "no body": message(body=None),
        "a body nested without end": message(body=base64.b64encode(b"[" * 200_000).decode()),
        "headers that are a list": message(headers=[1]),
        "no headers": message(headers=None),
        "an unknown task": message(**headers(task=SECRET)),
        "a task that is a list": message(**headers(task=[SECRET])),
        "no task": message(headers={"id": SECRET}),
        "an eta that is none": message(**headers(eta=SECRET)),
        "a pickle": message(**{"content-type": "application/x-python-serialize"}),
        "arguments that are none": message(SECRET),
        "no arguments": message([]),
        "too many arguments": message(["01", 1, SECRET]),
        "an id that is a list": message([["01"], 1]),
        "an id with a NUL": message(["0\x001", 1]),
        "an endless id": message(["0" * 100_000, 1]),
        "a version that is text": message(["01", SECRET]),
        "a version that is nothing": message(["01", None]),
        "a version below the first": message(["01", -1]),
    }.items()
}


def test_a_worker_lives_through_every_broken_message_and_grades_the_others(scene: Scene):
    [pid] = scene.workers.pids
    with scene.broker.client() as client:
        for content in BROKEN.values():
            client.rpush(QUEUE, content)
    scene.enqueue(12, "b")
    with scene.broker.client() as client:
        for content in BROKEN.values():
            client.rpush(QUEUE, content)
    progress = scene.wait_for("b", lambda progress: progress.is_finished, "all is done")

    def is_all_gone() -> bool:
        with scene.broker.client() as client:
            return not client.llen(QUEUE) and not client.hlen(KEY_PREFIX + UNACKED["unacked_key"])

    wait_until(is_all_gone, "no broken message is left")
    logs = scene.workers.logs().decode()
    assert progress.succeeded == 12
    assert progress.attempts == {"answered": 12}
    assert scene.workers.pids == [pid], "the process lived through it"
    assert logs.count(LINE) >= len(BROKEN) * 2 - 2, logs[-3000:]
    assert SECRET not in logs


def test_garbage_on_the_control_channel_and_among_the_unacknowledged_harms_nothing(scene: Scene):
    [pid] = scene.workers.pids
    with scene.broker.client() as client:
        for content in BROKEN.values():
            client.publish(f"{KEY_PREFIX}/0.celery.pidbox", content)
            tag = uuid.uuid4().hex
            client.hset(KEY_PREFIX + UNACKED["unacked_key"], tag, content)
            client.zadd(KEY_PREFIX + UNACKED["unacked_index_key"], {tag: 1.0})
    scene.enqueue(6, "c")
    scene.wait_for("c", lambda progress: progress.is_finished, "all is done")

    assert scene.workers.pids == [pid]
