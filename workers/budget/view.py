"""Limit, used, waiting and refusals per model, from Redis: for people, and for the feeder.

Synchronous, read-only except for `evict`; used by the feeder's and the heartbeat's threads.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from redis import Redis

from workers.broker.pools import connection_pool
from workers.budget.records import BudgetKey, Limits
from workers.budget.shared import models_key, state_key
from workers.budget.wait_queue import AWAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SOCKET_SECONDS = 2.0
"""A view must not block the heartbeat and the feeder for longer."""
WAITING_COUNTS_SECONDS = 10.0
"""Age after which a process's number of waiters is ignored: the process has died."""
EVICT_SECONDS = 5.0
"""How long one `evict` lasts; the feeder repeats it while it applies."""


class HeldFor(StrEnum):
    """Why a model is held."""

    REFUSED = "refused"
    AWAY = "away"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBudget:
    """One (account, model). None: no limit known."""

    account: str
    model: str
    requests_limit: float | None
    """Per minute, as the tokens."""
    requests_used: int
    """Calls granted in the last minute, approximately."""
    requests_left: float | None
    tokens_limit: float | None
    tokens_left: float | None
    is_guessed: bool
    """The server names no limit; this one is estimated from its refusals."""
    waiting: int
    """In all workers."""
    refusals: int
    """Number of 429 responses since this state exists."""
    wait_seconds: float
    """Until calls may go out again after a refusal."""
    seconds_per_call: float
    """Between two calls of average size at the current rate; 0 without a limit."""
    flight_limit: int | None = None
    """Calls in flight that a server without named limits can process; None: not bounded."""
    held_for: HeldFor | None = None
    """Why all calls but one probe at a time wait."""
    held_since: float | None = None
    """Seconds since the epoch, Redis's clock."""
    held_cause: str = ""
    """The provider's answer to the last call; safe to show."""

    def startable(self, within_seconds: float) -> int | None:
        """Calls that can start within so many seconds; None without a limit. At least 1 unless a pause lasts longer."""
        usable = within_seconds - self.wait_seconds
        if usable <= 0:
            return 0
        if self.held_for is not None:
            return 1
        if not self.seconds_per_call:
            return None
        stock = self.requests_left if self.requests_left is not None and self.tokens_limit is None else 0.0
        return max(1, int(usable / self.seconds_per_call + max(stock, 0.0)))

    def as_json(self) -> dict[str, object]:
        """Every field by name."""
        return asdict(self)


def known_limits(budgets: Iterable[Mapping[str, Any]], *, account: str) -> dict[str, Limits]:
    """Limits by model from rows of `as_json`: a start from an empty bucket, without a probe."""
    return {
        row["model"]: Limits(requests=_whole(row["requests_limit"]), tokens=_whole(row["tokens_limit"]))
        for row in budgets
        if row["account"] == account and not row["is_guessed"]
    }


def _whole(limit: float | None) -> int | None:
    return round(limit) or None if limit is not None else None


class BudgetView:
    """Reads an account's budgets. While Redis is away there are none; only `read` and `read_all` raise its errors."""

    def __init__(self, client: Redis, *, key_prefix: str) -> None:
        self._client = client
        self._prefix = key_prefix

    @classmethod
    def connect(cls, redis_url: str, *, key_prefix: str) -> BudgetView:
        """A view with a connection of its own; connects on first use."""
        pool = connection_pool(
            redis_url,
            max_connections=2,
            timeout=SOCKET_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
        )
        return cls(Redis(connection_pool=pool), key_prefix=key_prefix)

    def startable(self, account: str, *, within_seconds: float) -> dict[str, int]:
        """Calls that each model with a limit can start within so many seconds, minus those that wait in workers."""
        try:
            budgets = self.read(account)
        except AWAY:
            return {}
        counts = {budget.model: (budget.startable(within_seconds), budget.waiting) for budget in budgets}
        return {model: count - waiting for model, (count, waiting) in counts.items() if count is not None}

    def snapshot(self, *accounts: str) -> list[dict[str, object]] | None:
        """Every budget of these as JSON, for the worker's row in the store; None while Redis is away."""
        try:
            return [budget.as_json() for account in accounts for budget in self.read(account)]
        except AWAY:
            return None

    def read(self, account: str) -> list[ModelBudget]:
        """Every budget of the account in use, by model. Two round trips."""
        models: Any = self._client.smembers(models_key(self._prefix, account))
        keys = [BudgetKey(account, model.decode()) for model in sorted(models)]
        with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            for key in keys:
                name = state_key(self._prefix, key)
                pipe.hgetall(name)
                pipe.hvals(f"{name}:waiting")
            (seconds, microseconds), *rest = pipe.execute()
        now = seconds + microseconds / 1e6
        return [
            _model_budget(key, _numbers(state), _waiting(rows, now), now, state.get(b"cause", b"").decode())
            for key, state, rows in zip(keys, rest[::2], rest[1::2], strict=True)
            if state
        ]

    def read_all(self) -> list[ModelBudget]:
        """Every budget of every account on this broker. Scans its keys: for people, not for workers."""
        prefix = models_key(self._prefix, "")
        names: Iterable[bytes] = self._client.scan_iter(match=f"{prefix}*", count=1000)
        accounts = sorted(name.decode().removeprefix(prefix) for name in names)
        return [budget for account in accounts for budget in self.read(account)]

    def evict(self, account: str, models: Iterable[str]) -> None:
        """Ask workers to evict waiters of these models whose estimated wait is long."""
        with suppress(*AWAY), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            (seconds, _microseconds), *_ = pipe.execute()
            for model in models:
                pipe.hset(state_key(self._prefix, BudgetKey(account, model)), "evict_until", seconds + EVICT_SECONDS)
            pipe.execute()

    def close(self) -> None:
        """Release the connection."""
        self._client.close()
        self._client.connection_pool.disconnect()


def _numbers(state: Mapping[bytes, bytes]) -> dict[str, float]:
    return {field.decode(): float(value) for field, value in state.items() if field != b"cause"}


def _waiting(rows: Iterable[bytes], now: float) -> int:
    counts = [row.split() for row in rows]
    return sum(int(count) for count, _tokens, written_at in counts if now - float(written_at) < WAITING_COUNTS_SECONDS)


_HELD_FOR = {1.0: HeldFor.REFUSED, 2.0: HeldFor.AWAY}


def _model_budget(key: BudgetKey, state: Mapping[str, float], waiting: int, now: float, held_cause: str) -> ModelBudget:
    into_minute = now % 60
    this_minute = state.get("minute") == now // 60
    before = state.get("minute_before" if this_minute else "minute_count", 0.0)
    counted = state.get("minute_count", 0.0) if this_minute else 0.0
    wait_seconds = max(0.0, state.get("not_before", 0.0) - now)
    return ModelBudget(
        account=key.account,
        model=key.model,
        requests_limit=state.get("r_limit"),
        requests_used=round(counted + before * (1 - into_minute / 60)),
        requests_left=_left(state, "r_", now),
        tokens_limit=state.get("t_limit"),
        tokens_left=_left(state, "t_", now),
        is_guessed="guessed" in state,
        waiting=waiting,
        refusals=int(state.get("refusals", 0)),
        wait_seconds=wait_seconds,
        seconds_per_call=max(
            _seconds_per(state, "r_", 1),
            _seconds_per(state, "t_", state.get("mean_tokens", 0)),
            state["c_mean"] / max(1.0, state["c_limit"]) if "c_limit" in state else 0.0,
            60 / state["or_limit"] if "or_limit" in state else 0.0,
            60 * state.get("mean_tokens", 0) / state["ot_limit"] if "ot_limit" in state else 0.0,
        ),
        flight_limit=int(state["c_limit"]) if "c_limit" in state else None,
        held_for=_HELD_FOR.get(state.get("held", 0.0)),
        held_since=state.get("held_since"),
        held_cause=held_cause if "held" in state else "",
    )


def _left(state: Mapping[str, float], bucket: str, now: float) -> float | None:
    if f"{bucket}limit" not in state:
        return None
    refilled = state[f"{bucket}level"] + max(0.0, now - state["at"]) * state[f"{bucket}rate"]
    return min(state[f"{bucket}cap"], refilled)


def _seconds_per(state: Mapping[str, float], bucket: str, amount: float) -> float:
    if f"{bucket}limit" not in state:
        return 0.0
    return amount * state[f"{bucket}scale"] / state[f"{bucket}rate"]
