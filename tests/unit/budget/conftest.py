"""A Redis that runs the scripts in this process, on a clock that the test moves."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from fakeredis import FakeAsyncRedis
from fakeredis.commands_mixins import server_mixin
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin

from ops.standin.config import Config
from tests.unit.budget.draining import Drain
from workers.budget.records import BudgetKey
from workers.budget.shared import SharedBudget

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The server's clock; it stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the scripts read as TIME."""
    clock = Clock()
    monkeypatch.setattr(server_mixin, "time", clock)
    return clock


class QuickLua:
    """A server's Lua that compiles a script once, as a real server does, and collects its garbage by itself."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._compiled: dict[bytes | str, Callable[[], object]] = {"collectgarbage()": lambda: None}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def execute(self, script: bytes | str) -> object:
        if script not in self._compiled:
            self._compiled[script] = self._runtime.compile(script)
        return self._compiled[script]()


@pytest.fixture
def redis(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FakeAsyncRedis:  # noqa: ARG001 - the clock must be in place first
    """An empty server."""
    quick: dict[int, QuickLua] = {}
    runtime_of = ScriptingCommandsMixin._get_server_runtime

    def quick_runtime_of(self: ScriptingCommandsMixin, server: Any) -> QuickLua:
        runtime = runtime_of(self, server)
        return quick.setdefault(id(runtime), QuickLua(runtime))

    monkeypatch.setattr(ScriptingCommandsMixin, "_get_server_runtime", quick_runtime_of)
    return FakeAsyncRedis()


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
