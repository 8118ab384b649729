"""Refusals counted per account across all workers, in Redis: one refusal concerns a job, many concern the account.

    refused      jobs refused in a row without a success: the account is refused, whatever the error codes say
    suspected    jobs with an answer that is the account's fault if several jobs get it
    singled out  how often one job was refused although others of its model were answered in between; from then on also
                 while it is the only one that is refused, for others may have ended long before it

A success resets the first two. While Redis is away nothing is counted, and every refusal is the job's own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from workers.budget.records import BudgetKey
from workers.budget.shared import state_key
from workers.budget.wait_queue import AWAY
from workers.log import get_logger

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = get_logger(__name__)

REMEMBERED_SECONDS = 3600
SINGLED_SECONDS = 86_400
RESET_EVERY_SECONDS = 0.25
"""Between two resets by successes while this process has counted no refusal: other processes may have."""
LONGEST_UNCOUNTED_WAIT_SECONDS = 60.0
"""A refusal with a longer wait is a rate limit (of a day, say) and does not count."""


class RefusalCounts(Protocol):
    """What the grader needs."""

    async def refused(self, job_id: str) -> int:
        """Count this job; returns how many jobs in a row were refused."""
        ...

    async def refused_jobs(self) -> frozenset[str]:
        """Those that `refused` has counted since the last success."""
        ...

    async def suspected(self, job_id: str) -> int:
        """Count this job; returns how many jobs got such an answer since the last success."""
        ...

    async def singled_out(self, model: str, job_id: str, *, alone_counts: bool) -> int:
        """How often this job was refused while others of its model were answered in between.

        With `alone_counts`, a job that was singled out before is so again while no other is refused.
        """
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

    async def suspected(self, job_id: str) -> int:
        """Count this job; returns how many jobs got such an answer since the last success."""
        return await self._count("suspected", job_id)

    async def singled_out(self, model: str, job_id: str, *, alone_counts: bool) -> int:
        """How often this job was refused while others of its model were answered in between."""
        name = state_key(self._prefix, BudgetKey(self._account, model))
        key = f"{name}:singled"
        try:
            answers = int(float(await self._client.hget(name, "answers") or 0))
            count, answers_then = (int(part) for part in (await self._client.hget(key, job_id) or b"0 -1").split())
            is_singled = answers > answers_then >= 0
            if not is_singled and alone_counts and count > 0:
                is_singled = await self._is_only_one(job_id)
            count += is_singled
            if answers_then < 0 or is_singled:
                await self._client.hset(key, job_id, f"{count} {answers}")
                await self._client.expire(key, SINGLED_SECONDS)
        except AWAY as error:
            _not_counted(error)
            return 0
        return count

    async def answered(self) -> bool:
        """A job of the account succeeded; true if it was refused before. Mostly without a round trip."""
        now = asyncio.get_running_loop().time()
        if not self._is_counting and now - self._reset_at < RESET_EVERY_SECONDS:
            return False
        self._reset_at, self._is_counting = now, False
        try:
            removed: int = await self._client.delete(self._key("refused"))
            await self._client.delete(self._key("suspected"))
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

    async def suspected(self, _job_id: str) -> int:
        """Always 0."""
        return 0

    async def singled_out(self, _model: str, _job_id: str, *, alone_counts: bool) -> int:  # noqa: ARG002 - none does
        """Always 0."""
        return 0

    async def answered(self) -> bool:
        """Always false."""
        return False


def _not_counted(error: BaseException) -> None:
    logger.debug("budget.refusal_not_counted", error=type(error).__name__)
