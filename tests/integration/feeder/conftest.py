"""A feeder with a short window at a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from workers.process.feeder import Feeder
from workers.publisher import Publisher
from workers.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workers.store import Store


WINDOW = 20


@pytest.fixture
def broker(broker_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(broker_url)
    yield client
    client.close()


@pytest.fixture
def publisher(broker_url: str) -> Iterator[Publisher]:
    publisher = Publisher.connect(load_settings(redis_url=broker_url, window=WINDOW))
    yield publisher
    publisher.close()


@pytest.fixture
def new_feeder(store: Store, publisher: Publisher) -> Callable[..., Feeder]:
    def make(holder: str = "f1", **changes: Any) -> Feeder:
        options = {
            "period_seconds": 1.0,
            "dead_after_seconds": 30.0,
            "countdown_grace_seconds": 60.0,
            "missing_seconds": 0.0,
        }
        return Feeder(store, publisher, holder=holder, **(options | changes))

    return make


@pytest.fixture
def feeder(new_feeder: Callable[..., Feeder]) -> Feeder:
    return new_feeder()
