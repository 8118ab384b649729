"""Which cached parts of prompts the provider has, for all workers, in Redis: one call writes a part, others read it.

    absent       nobody has sent the part lately
    a worker     that worker's call is under way; the key ends by itself if the worker dies
    `warm`       a call was answered

While Redis is away every process sends a first call of its own, which costs a discount and no grade.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from workers.budget.wait_queue import AWAY
from workers.log import get_logger

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = get_logger(__name__)

Part = tuple[str, str]
"""Model, and the key that names the cached text."""
WARM_SECONDS = 240.0
"""After an answer: models before gpt-5.6 forget after five minutes without use, later ones after half an hour."""
_ASK = "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end return redis.call('GET', KEYS[1])"
_GIVE_UP = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1"
_WARM = b"warm"


class PartState(StrEnum):
    """What a process does with its first call."""

    OURS = "ours"
    """It goes alone, and publishes to the others how it ended."""
    WARM = "warm"
    BEING_WRITTEN = "being_written"
    """Another process's call is under way."""


class WarmParts(Protocol):
    """What the grader needs."""

    async def ask(self, part: Part, *, within_seconds: float) -> PartState:
        """Take the part for this process's call, for so long at the most, where nobody has it and it is cold."""
        ...

    async def answered(self, part: Part) -> None:
        """The provider has the part now."""
        ...

    async def give_up(self, part: Part) -> None:
        """This process's call was not answered: another one may go."""
        ...


class SharedWarmParts:
    """The parts of one account, shared by all workers."""

    def __init__(self, client: Redis, *, key_prefix: str, account: str, worker_id: str) -> None:
        self._client = client
        self._prefix = f"{key_prefix}warm:{quote(account, safe='')}"
        self._worker_id = worker_id
        self._ask = client.register_script(_ASK)
        self._give_up = client.register_script(_GIVE_UP)

    async def ask(self, part: Part, *, within_seconds: float) -> PartState:
        """Take the part for this process's call where it is cold; one round trip."""
        try:
            answer: Any = await self._ask(
                keys=[self._key(part)], args=[self._worker_id, max(1, round(within_seconds * 1_000))]
            )
        except AWAY as error:
            _not_shared(error)
            return PartState.OURS
        if answer == 1 or answer == self._worker_id.encode():
            return PartState.OURS
        # the key may have ended between the two commands: then it is cold, and the next question takes it
        return PartState.WARM if answer == _WARM else PartState.BEING_WRITTEN

    async def answered(self, part: Part) -> None:
        """The provider has the part now; one round trip."""
        try:
            await self._client.set(self._key(part), _WARM, px=round(WARM_SECONDS * 1_000))
        except AWAY as error:
            _not_shared(error)

    async def give_up(self, part: Part) -> None:
        """Let another process's call go, unless this one's took too long and another has the part already."""
        try:
            await self._give_up(keys=[self._key(part)], args=[self._worker_id])
        except AWAY as error:
            _not_shared(error)

    async def close(self) -> None:
        """Release the connection."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    def _key(self, part: Part) -> str:
        model, text = part
        return f"{self._prefix}/{quote(model, safe='')}/{text}"


def _not_shared(error: BaseException) -> None:
    logger.debug("budget.warmth_not_shared", error=type(error).__name__)
