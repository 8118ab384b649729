"""Refusals counted per account across all workers, in Redis: one refusal concerns a job, many concern the account.

    refused      jobs refused in a row without a success: the account is refused, whatever the error codes say
    suspected    jobs with an answer that is the account's fault if several jobs get it
    singled out  how often one job was refused although others of its model were answered in between, and how often
                 while it was the only one refused of a model that had answered: others may have ended long before it

A success resets the first two. While Redis is away nothing is counted, and every refusal is the job's own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from workers.budget.records import BudgetKey
from workers.budget.shared import state_key
from workers.budget.wait_queue import AWAY
from workers.log import get_logger

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = get_logger(__name__)

REMEMBERED_SECONDS = 3600
LONGEST_BETWEEN_REFUSALS_SECONDS = 300
"""A model that refuses is tried more often; after a longer pause nothing is known of the time in between."""
SINGLED_SECONDS = 86_400
RESET_EVERY_SECONDS = 0.25
"""Between two resets by successes while this process has counted no refusal: other processes may have."""
LONGEST_UNCOUNTED_WAIT_SECONDS = 60.0
"""A refusal with a longer wait is a rate limit (of a day, say) and does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Singled:
    """The refusals of one job, when no other is refused."""

    among_others: int = 0
    """Others of its model were answered in between."""
    alone: int = 0
    """No other was answered in between, and none was refused."""
    seconds: float = 0.0
    """Since its first refusal."""
    is_last: bool = False
    """Now, as for `alone`."""


NOT_SINGLED = Singled()


class RefusalCounts(Protocol):
    """What the grader needs."""

    async def refused(self, job_id: str) -> int:
        """Count this job; returns how many jobs in a row were refused."""
        ...

    async def refused_jobs(self) -> frozenset[str]:
        """Those that `refused` has counted since the last success."""
        ...

    async def refused_seconds(self) -> float:
        """Since this was first asked after the last success, by any worker."""
        ...

    async def suspected(self, job_id: str) -> int:
        """Count this job; returns how many jobs got such an answer since the last success."""
        ...

    async def singled_out(self, model: str, job_id: str, *, alone_counts: bool) -> Singled:
        """How often this job was refused and no other; without `alone_counts`, only among answers to others."""
        ...

    async def answered(self) -> bool:
        """A job of the account succeeded; true if it was refused before."""
        ...


class SharedRefusals:
    """The counts of one account, shared by all workers."""

    def __init__(self, client: Redis, *, key_prefix: str, account: str) -> None:
        self._client = client
        self._prefix = key_prefix
        self._account = account
        self._reset_at = float("-inf")
        self._is_counting = False

    async def refused(self, job_id: str) -> int:
        """Count this job; returns how many jobs in a row were refused."""
        return await self._count("refused", job_id)

    async def refused_jobs(self) -> frozenset[str]:
        """Those that `refused` has counted since the last success; none while Redis is away."""
        try:
            members: set[Any] = await self._client.smembers(self._key("refused"))
        except AWAY as error:
            _not_counted(error)
            return frozenset()
        return frozenset(str(member, "ascii") for member in members)

    async def refused_seconds(self) -> float:
        """Since this was first asked after the last success, by any worker; 0 while Redis is away."""
        key = self._key("refused-since")
        try:
            now, _microseconds = await self._client.time()
            await self._client.set(key, now, nx=True)
            await self._client.expire(key, LONGEST_BETWEEN_REFUSALS_SECONDS)
            since = await self._client.get(key)
        except AWAY as error:
            _not_counted(error)
            return 0.0
        return float(now - int(since or now))

    async def suspected(self, job_id: str) -> int:
        """Count this job; returns how many jobs got such an answer since the last success."""
        return await self._count("suspected", job_id)

    async def singled_out(self, model: str, job_id: str, *, alone_counts: bool) -> Singled:
        """How often this job was refused and no other; without `alone_counts`, only among answers to others."""
        name = state_key(self._prefix, BudgetKey(self._account, model))
        key = f"{name}:singled-out"  # an earlier release wrote other values under `singled`
        try:
            answers = int(float(await self._client.hget(name, "answers") or 0))
            now, _microseconds = await self._client.time()
            first = f"0 0 {answers} {now}".encode()
            known = (await self._client.hget(key, job_id) or first).split()
            among_others, alone, answers_then, since = map(int, known)
            among_others += answers > answers_then
            is_last = alone_counts and answers > 0 and answers == answers_then and await self._is_only_one(job_id)
            alone += is_last
            await self._client.hset(key, job_id, f"{among_others} {alone} {answers} {since}")
            await self._client.expire(key, SINGLED_SECONDS)
        except AWAY as error:
            _not_counted(error)
            return NOT_SINGLED
        return Singled(among_others=among_others, alone=alone, seconds=float(now - since), is_last=is_last)

    async def answered(self) -> bool:
        """A job of the account succeeded; true if it was refused before. Mostly without a round trip."""
        now = asyncio.get_running_loop().time()
        if not self._is_counting and now - self._reset_at < RESET_EVERY_SECONDS:
            return False
        self._reset_at, self._is_counting = now, False
        try:
            removed: int = await self._client.delete(self._key("refused"))
            await self._client.delete(self._key("suspected"), self._key("refused-since"))
        except AWAY as error:
            _not_counted(error)
            return False
        return bool(removed)

    async def close(self) -> None:
        """Release the connection."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def _is_only_one(self, job_id: str) -> bool:
        """No other job was refused since the last success."""
        others = int(await self._client.scard(self._key("refused")))
        return others - int(await self._client.sismember(self._key("refused"), job_id)) == 0

    async def _count(self, what: str, job_id: str) -> int:
        self._is_counting = True
        key = self._key(what)
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.sadd(key, job_id)
                pipe.scard(key)
                pipe.expire(key, REMEMBERED_SECONDS)
                answers: list[Any] = await pipe.execute()
        except AWAY as error:
            _not_counted(error)
            return 0
        return int(answers[1])

    def _key(self, what: str) -> str:
        return f"{self._prefix}{what}:{self._account}"


class UncountedRefusals:
    """Counts nothing: every refusal is the job's own."""

    async def refused(self, _job_id: str) -> int:
        """Always 0."""
        return 0

    async def refused_jobs(self) -> frozenset[str]:
        """Always none."""
        return frozenset()

    async def refused_seconds(self) -> float:
        """Always 0."""
        return 0.0

    async def suspected(self, _job_id: str) -> int:
        """Always 0."""
        return 0

    async def singled_out(self, _model: str, _job_id: str, *, alone_counts: bool) -> Singled:  # noqa: ARG002 - none does
        """Never."""
        return NOT_SINGLED

    async def answered(self) -> bool:
        """Always false."""
        return False


def _not_counted(error: BaseException) -> None:
    logger.debug("budget.refusal_not_counted", error=type(error).__name__)
