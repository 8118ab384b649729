"""The budget in Redis: each operation is one script call and uses only the server's clock.

Raises redis-py's errors; the caller retries. A missing key is an empty bucket.
"""

from __future__ import annotations

import asyncio
import math
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from workers.broker.pools import async_connection_pool
from workers.budget.records import NO_OWN_LIMITS, BudgetKey, Grant, Limits, QueueLength, ReserveAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.budget.records import BucketReading, OwnLimits, PendingUpdates, QueuePolicy

CONNECTIONS = 8
"""A process has one reservation and one flush per model in flight; more would only queue at the server."""
SOCKET_SECONDS = 5.0
"""Without an answer for so long, Redis counts as away."""
IDLE_SECONDS = 86_400
"""State of an idle model is kept for a day; after that an empty bucket and a probe are a better start."""
_NUMBERS_BEFORE_GRANTS = 6
_NUMBERS_PER_GRANT = 3
_NOTHING_READ: list[float | str] = [-1.0, -1.0, -1.0, ""]
_PROBING, _FULL, _CAREFUL = 1, 2, 3
UNSTREAMED_SECONDS = 86_400
"""So long an account whose provider does not stream is not asked for a stream again."""
NOT_COUNTED = -1
"""Calls in flight are not bounded."""


def connect(redis_url: str) -> Redis:
    """A client with a bounded, blocking pool; connects on first use, on the loop that uses it."""
    pool = async_connection_pool(
        redis_url,
        max_connections=CONNECTIONS,
        timeout=SOCKET_SECONDS,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        health_check_interval=25,
    )
    return Redis(connection_pool=pool)


def script_text(name: str) -> str:
    """The source of a script, after the code that the scripts share."""
    folder = files("workers.budget")
    return "".join(folder.joinpath(f"{part}.lua").read_text() for part in ("bucket", "flight", "own", name))


def state_key(prefix: str, key: BudgetKey) -> str:
    """The hash that holds one budget."""
    return f"{prefix}budget:{key.tag}"


def models_key(prefix: str, account: str) -> str:
    """The set of an account's models in use."""
    return f"{prefix}budgets:{account}"


class SharedBudget:
    """Reserve and settle for one worker process."""

    def __init__(self, client: Redis, *, key_prefix: str, worker_id: str) -> None:
        self._client = client
        self._prefix = key_prefix
        self._worker_id = worker_id
        self._reserve = client.register_script(script_text("reserve"))
        self._settle = client.register_script(script_text("settle"))

    async def reserve(
        self,
        key: BudgetKey,
        costs: Sequence[int],
        *,
        waiting: QueueLength,
        policy: QueuePolicy,
        limits: Limits,
        in_flight: int = NOT_COUNTED,
        own: OwnLimits = NO_OWN_LIMITS,
    ) -> ReserveAnswer:
        """Ask for the first waiters of a queue, in order; `costs` are their tokens. One round trip.

        `in_flight`: calls granted to this process and not settled. `own`: limits that a person set for the model.
        """
        answer: Any = await self._reserve(
            keys=[*self._keys(key), f"{state_key(self._prefix, key)}:waiting", self._flight_key(key)],
            args=[
                self._worker_id, policy.ahead_seconds, policy.held_back_share, limits.requests or 0,
                limits.tokens or 0, waiting.waiters, waiting.tokens, IDLE_SECONDS, in_flight,
                own.requests or 0, own.tokens or 0, own.in_flight or 0, *costs,
            ],
        )  # fmt: skip
        _granted, wait, probing, evict, per_request, per_token = answer[:_NUMBERS_BEFORE_GRANTS]
        parts = answer[_NUMBERS_BEFORE_GRANTS:]
        starts = [parts[place : place + _NUMBERS_PER_GRANT] for place in range(0, len(parts), _NUMBERS_PER_GRANT)]
        return ReserveAnswer(
            grants=[
                _grant(key, tokens, *numbers, is_careful=probing == _CAREFUL)
                for tokens, numbers in zip(costs, starts, strict=False)
            ],
            wait_seconds=float(wait),
            is_probing=probing in {_PROBING, _CAREFUL},
            is_full=probing == _FULL,
            evicts=bool(evict),
            seconds_per_request=float(per_request),
            seconds_per_token=float(per_token),
        )

    async def settle(self, key: BudgetKey, updates: PendingUpdates, *, call_timeout_seconds: float = 0.0) -> float:
        """Apply updates; returns the seconds until any worker may call again. One round trip.

        `call_timeout_seconds` is a call's deadline; 0 if calls in flight are not counted.
        """
        newest = updates.newest
        readings = [*_NOTHING_READ, *_NOTHING_READ]
        if newest is not None:
            readings = [
                *_reading(newest.requests, newest.grant.requests_base),
                *_reading(newest.tokens, newest.grant.tokens_base),
            ]
        answered_ago = asyncio.get_running_loop().time() - updates.answered_started_at if updates.answered else -1.0
        mean_latency = updates.latency_seconds / updates.latencies if updates.latencies else -1.0
        answer: Any = await self._settle(
            keys=[*self._keys(key), self._flight_key(key)],
            args=[
                updates.answered, updates.refusals, _or_minus_one(updates.refused_wait_seconds),
                updates.returned_requests, updates.returned_tokens, IDLE_SECONDS, *readings,
                self._worker_id if call_timeout_seconds else "", updates.ended, updates.latencies, mean_latency,
                updates.timed_out, call_timeout_seconds, updates.away,
                _or_minus_one(updates.away_wait_seconds), updates.cause, answered_ago,
            ],
        )  # fmt: skip
        return float(answer[0])

    async def announce(self, key: BudgetKey) -> None:
        """Make this budget visible to the feeder and the live view."""
        name = models_key(self._prefix, key.account)
        await self._client.sadd(name, key.model)
        await self._client.expire(name, IDLE_SECONDS)

    async def streams_in_vain(self, account: str) -> bool:
        """Whether some worker found lately that a stream brings the account no limits any earlier."""
        return bool(await self._client.get(f"{self._prefix}unstreamed:{account}"))

    async def note_streams_in_vain(self, account: str) -> None:
        """Publish it to the other workers."""
        await self._client.set(f"{self._prefix}unstreamed:{account}", 1, ex=UNSTREAMED_SECONDS)

    async def close(self) -> None:
        """Release every connection."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()  # a pool that was passed in is not the client's to close

    def _keys(self, key: BudgetKey) -> list[str]:
        name = state_key(self._prefix, key)
        return [name, f"{name}:ahead"]

    def _flight_key(self, key: BudgetKey) -> str:
        return f"{state_key(self._prefix, key)}:flight"


def _or_minus_one(seconds: float | None) -> float:
    return -1.0 if seconds is None else seconds


def _grant(
    key: BudgetKey, tokens: int, delay: bytes, requests_base: bytes, tokens_base: bytes, *, is_careful: bool
) -> Grant:
    return Grant(
        key=key,
        tokens=tokens,
        delay_seconds=float(delay),
        starts_at=asyncio.get_running_loop().time() + float(delay),
        requests_base=float(requests_base) if requests_base else None,
        tokens_base=float(tokens_base) if tokens_base else None,
        is_careful=is_careful,
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
