"""Limit, used, waiting and refusals per model, as Redis knows them: for people, and for the feeder.

Synchronous and read-only but for `crowd_out`; belongs to the feeder's and the heartbeat's threads.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from redis import BlockingConnectionPool, Redis

from workers.budget.line import AWAY
from workers.budget.records import BudgetKey, Limits
from workers.budget.shared import models_key, state_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SOCKET_SECONDS = 2.0
"""The heartbeat and the feeder must not stand still for a view."""
WAITING_COUNTS_SECONDS = 10.0
"""What a process last said about its line; one that stopped saying it has died."""
CROWD_OUT_SECONDS = 5.0
"""How long waiters give way; the feeder says it again while it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBudget:
    """One (account, model). None stands for "no limit known"."""

    account: str
    model: str
    requests_limit: float | None
    """A minute; so are the tokens."""
    requests_used: int
    """Calls granted in the last minute, about."""
    requests_left: float | None
    tokens_limit: float | None
    tokens_left: float | None
    is_guessed: bool
    """The server names no limit; this one was learned from its refusals."""
    waiting: int
    """In the lines of all workers."""
    refusals: int
    """Answers of 429 since this budget was last unknown."""
    wait_seconds: float
    """Until calls may go out again after a refusal."""
    seconds_per_call: float
    """Between two calls of the average size, at the present pace; 0 without a limit."""

    def startable(self, within_seconds: float) -> int | None:
        """How many calls can start in so many seconds; None without a limit. At least one where calls go out at all."""
        usable = within_seconds - self.wait_seconds
        if usable <= 0:
            return 0
        if not self.seconds_per_call:
            return None
        stock = self.requests_left if self.requests_left is not None and self.tokens_limit is None else 0.0
        return max(1, int(usable / self.seconds_per_call + max(stock, 0.0)))

    def as_json(self) -> dict[str, object]:
        """Every field by name."""
        return asdict(self)


def known_limits(budgets: Iterable[Mapping[str, Any]], *, account: str) -> dict[str, Limits]:
    """The limits in rows of `as_json`, by model: a start without a probe, from an empty bucket."""
    return {
        row["model"]: Limits(requests=_whole(row["requests_limit"]), tokens=_whole(row["tokens_limit"]))
        for row in budgets
        if row["account"] == account and not row["is_guessed"]
    }


def _whole(limit: float | None) -> int | None:
    return round(limit) or None if limit is not None else None


class BudgetView:
    """Reads an account's budgets. A Redis that is away shows none; only `read` raises its errors."""

    def __init__(self, client: Redis, *, key_prefix: str) -> None:
        self._client = client
        self._prefix = key_prefix

    @classmethod
    def connect(cls, redis_url: str, *, key_prefix: str) -> BudgetView:
        """A view with a connection of its own; connects on first use."""
        pool = BlockingConnectionPool.from_url(
            redis_url,
            max_connections=2,
            timeout=SOCKET_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
        )
        return cls(Redis(connection_pool=pool), key_prefix=key_prefix)

    def startable(self, account: str, *, within_seconds: float) -> dict[str, int]:
        """Calls that each model with a limit can start so soon, besides those that wait in workers' lines."""
        try:
            budgets = self.read(account)
        except AWAY:
            return {}
        counts = {budget.model: (budget.startable(within_seconds), budget.waiting) for budget in budgets}
        return {model: count - waiting for model, (count, waiting) in counts.items() if count is not None}

    def snapshot(self, account: str) -> list[dict[str, object]] | None:
        """Every budget as JSON has it, for the worker's row in the store; None while Redis is away."""
        try:
            return [budget.as_json() for budget in self.read(account)]
        except AWAY:
            return None

    def read(self, account: str) -> list[ModelBudget]:
        """Every budget of the account that is in use, by model. Two round trips."""
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
            _model_budget(key, _numbers(state), _waiting(lines, now), now)
            for key, state, lines in zip(keys, rest[::2], rest[1::2], strict=True)
            if state
        ]

    def read_all(self) -> list[ModelBudget]:
        """Every budget of every account that this broker serves. Walks its few keys: for people, not for workers."""
        prefix = models_key(self._prefix, "")
        names: Iterable[bytes] = self._client.scan_iter(match=f"{prefix}*", count=1000)
        accounts = sorted(name.decode().removeprefix(prefix) for name in names)
        return [budget for account in accounts for budget in self.read(account)]

    def crowd_out(self, account: str, models: Iterable[str]) -> None:
        """Ask the waiters of these models who would wait for long to give their slots to other models."""
        with suppress(*AWAY), self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            (seconds, _microseconds), *_ = pipe.execute()
            for model in models:
                pipe.hset(state_key(self._prefix, BudgetKey(account, model)), "shed_until", seconds + CROWD_OUT_SECONDS)
            pipe.execute()

    def close(self) -> None:
        """Release the connection."""
        self._client.close()
        self._client.connection_pool.disconnect()


def _numbers(state: Mapping[bytes, bytes]) -> dict[str, float]:
    return {field.decode(): float(value) for field, value in state.items()}


def _waiting(lines: Iterable[bytes], now: float) -> int:
    rows = [line.split() for line in lines]
    return sum(int(count) for count, _tokens, said_at in rows if now - float(said_at) < WAITING_COUNTS_SECONDS)


def _model_budget(key: BudgetKey, state: Mapping[str, float], waiting: int, now: float) -> ModelBudget:
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
        seconds_per_call=max(_seconds_per(state, "r_", 1), _seconds_per(state, "t_", state.get("mean_tokens", 0))),
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
