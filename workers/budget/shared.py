"""The budget in Redis: each operation is one script call, by the server's clock alone.

Raises redis-py's errors as they come; who calls waits and asks again. A key that is missing is an empty bucket.
"""

from __future__ import annotations

import asyncio
import math
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool, Redis

from workers.budget.records import BudgetKey, Grant, Limits, LineLength, ReserveAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.budget.records import BucketReading, QueuePolicy, Settlements

CONNECTIONS = 8
"""A process asks for one line at a time, and settles beside it; more would only queue at the server."""
SOCKET_SECONDS = 5.0
"""A budget that does not answer for so long is away."""
IDLE_SECONDS = 86_400
"""What a quota taught is worth a day; after that an empty bucket and a probe know more."""
_NUMBERS_BEFORE_GRANTS = 6
_NUMBERS_PER_GRANT = 3
_NOTHING_READ: list[float | str] = [-1.0, -1.0, -1.0, ""]


def connect(redis_url: str) -> Redis:
    """A client with a bounded, blocking pool; connects on first use, on the loop that uses it."""
    pool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=CONNECTIONS,
        timeout=SOCKET_SECONDS,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        health_check_interval=25,
    )
    return Redis(connection_pool=pool)


def script_text(name: str) -> str:
    """One of the scripts, with what they share before it."""
    folder = files("workers.budget")
    return folder.joinpath("bucket.lua").read_text() + folder.joinpath(f"{name}.lua").read_text()


def state_key(prefix: str, key: BudgetKey) -> str:
    """The hash that holds one budget."""
    return f"{prefix}budget:{key.tag}"


def models_key(prefix: str, account: str) -> str:
    """The set of an account's models that somebody reserved for."""
    return f"{prefix}budgets:{account}"


class SharedBudget:
    """Reserve and settle for the lines of one worker process."""

    def __init__(self, client: Redis, *, key_prefix: str, worker_id: str) -> None:
        self._client = client
        self._prefix = key_prefix
        self._worker_id = worker_id
        self._reserve = client.register_script(script_text("reserve"))
        self._settle = client.register_script(script_text("settle"))

    async def reserve(
        self, key: BudgetKey, costs: Sequence[int], *, line: LineLength, policy: QueuePolicy, limits: Limits
    ) -> ReserveAnswer:
        """Ask for the first waiters of a line, in order, whose costs are tokens. One round trip."""
        answer: Any = await self._reserve(
            keys=[*self._keys(key), f"{state_key(self._prefix, key)}:waiting"],
            args=[
                self._worker_id, policy.ahead_seconds, policy.held_back_share, limits.requests or 0,
                limits.tokens or 0, line.waiters, line.tokens, IDLE_SECONDS, *costs,
            ],
        )  # fmt: skip
        _granted, wait, probing, shed, per_request, per_token = answer[:_NUMBERS_BEFORE_GRANTS]
        parts = answer[_NUMBERS_BEFORE_GRANTS:]
        starts = [parts[place : place + _NUMBERS_PER_GRANT] for place in range(0, len(parts), _NUMBERS_PER_GRANT)]
        return ReserveAnswer(
            grants=[_grant(key, tokens, *numbers) for tokens, numbers in zip(costs, starts, strict=False)],
            wait_seconds=float(wait),
            is_probing=bool(probing),
            sheds=bool(shed),
            seconds_per_request=float(per_request),
            seconds_per_token=float(per_token),
        )

    async def settle(self, key: BudgetKey, settlements: Settlements) -> float:
        """Tell what calls taught; returns the seconds until any worker may call again. One round trip."""
        newest = settlements.newest
        readings = [*_NOTHING_READ, *_NOTHING_READ]
        if newest is not None:
            readings = [
                *_reading(newest.requests, newest.grant.requests_base),
                *_reading(newest.tokens, newest.grant.tokens_base),
            ]
        wait_seconds = settlements.refused_wait_seconds
        answer: Any = await self._settle(
            keys=self._keys(key),
            args=[
                min(settlements.answered, 1), settlements.refusals, -1 if wait_seconds is None else wait_seconds,
                settlements.returned_requests, settlements.returned_tokens, IDLE_SECONDS, *readings,
            ],
        )  # fmt: skip
        return float(answer[0])

    async def announce(self, key: BudgetKey) -> None:
        """Let the feeder and the live view find this budget."""
        name = models_key(self._prefix, key.account)
        await self._client.sadd(name, key.model)
        await self._client.expire(name, IDLE_SECONDS)

    async def close(self) -> None:
        """Release every connection."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()  # a pool that was passed in is not the client's to close

    def _keys(self, key: BudgetKey) -> list[str]:
        name = state_key(self._prefix, key)
        return [name, f"{name}:ahead"]


def _grant(key: BudgetKey, tokens: int, delay: bytes, requests_base: bytes, tokens_base: bytes) -> Grant:
    return Grant(
        key=key,
        tokens=tokens,
        delay_seconds=float(delay),
        starts_at=asyncio.get_running_loop().time() + float(delay),
        requests_base=float(requests_base) if requests_base else None,
        tokens_base=float(tokens_base) if tokens_base else None,
    )


def _reading(reading: BucketReading, base: float | None) -> list[float | str]:
    if reading.limit is None or reading.remaining is None or reading.limit < 1:
        return _NOTHING_READ
    reset = reading.reset_seconds
    usable = reset is not None and math.isfinite(reset) and reset >= 0
    return [
        reading.limit,
        reading.remaining,
        reset if usable and reset is not None else -1.0,
        "" if base is None else base,
    ]
