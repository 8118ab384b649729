"""A Redis that runs the scripts in this process, on a clock that the test moves."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from fakeredis.commands_mixins import server_mixin

from ops.standin.config import Config
from tests.unit.budget.draining import Drain
from tests.unit.budget.scripted_redis import ScriptedRedis
from workers.budget.records import BudgetKey
from workers.budget.shared import SharedBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakeredis import FakeAsyncRedis


class Clock:
    """The server's clock; it stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the server reads as TIME."""
    clock = Clock()
    monkeypatch.setattr(server_mixin, "time", clock)
    return clock


@pytest.fixture
def redis(clock: Clock) -> FakeAsyncRedis:
    """An empty server."""
    return ScriptedRedis(clock)


@pytest.fixture
def shared(redis: FakeAsyncRedis) -> SharedBudget:
    """One worker's conversation with it."""
    return SharedBudget(redis, key_prefix="gradequeue:", worker_id=uuid.uuid4().hex)


@pytest.fixture
def key() -> BudgetKey:
    """A budget of its own."""
    return BudgetKey("provider", f"model-{uuid.uuid4().hex}")


@pytest.fixture
def drain(shared: SharedBudget, key: BudgetKey, clock: Clock) -> Callable[..., Drain]:
    """A drain with these settings."""

    def make(latency_seconds: float, config: dict[str, object], *, model: str = "", **options: object) -> Drain:
        own = BudgetKey(key.account, model) if model else key
        return Drain(shared, own, clock, Config().changed(config), latency_seconds, **options)  # type: ignore[arg-type]

    return make
