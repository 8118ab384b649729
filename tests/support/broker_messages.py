"""What lies in the queue of the feed that tests use, and a worker that takes from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.store.steps import (
    claim,
)
from tests.support.store_id import queue_key

if TYPE_CHECKING:
    import redis

    from workers.store import Store

QUEUE = queue_key("bulk", "p")


def messages(broker: redis.Redis) -> list[str]:
    """The job ids of the messages that wait, the next one first."""
    raw: Any = broker.lrange(QUEUE, 0, -1)
    return [json.loads(message)["headers"]["id"].split(":")[0] for message in reversed(raw)]


def take(broker: redis.Redis, store: Store, count: int, worker: str = "w1") -> list[Any]:
    """A worker receives so many messages and claims their jobs."""
    ids = []
    for _ in range(count):
        message: Any = broker.rpop(QUEUE)
        ids.append(json.loads(message)["headers"]["id"].split(":")[0])
    return list(claim(store, ids, worker).values())


class Clock:
    """The feeder's own clock, moved by the test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
