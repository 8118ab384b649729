"""The waiters of one process for one (account, model): first come, first served; only the head asks, for many at once.

    join -> wait in line -> granted (now, or a moment ahead) -> go on
                         -> cancelled, deadline over or crowded out: leave; a grant that came too late goes back

While Redis is away the line stands still and asks again; nothing is granted from memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from workers.budget.records import CROWDED_SECONDS, Grant, LineLength, NotGranted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from workers.budget.records import ReserveAnswer

logger = logging.getLogger(__name__)

MOST_ASKED = 200
"""Waiters per script call: bounds the time the server gives to one process."""
SHORTEST_WAIT_SECONDS = 0.02
LONGEST_WAIT_SECONDS = 2.0
"""Between two questions: the answer changes when others give back or a limit moves."""
UNKNOWN_WAIT_SECONDS = 0.2
"""Between two questions while a probe is out: its answer frees everybody."""
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
"""Between two tries while Redis is away."""
QUIET_SECONDS = 30.0
"""One line of log per outage and half minute."""
AWAY = (RedisError, OSError, TimeoutError)


@dataclass(slots=True, eq=False)
class _Waiter:
    tokens: int
    answer: asyncio.Future[Grant | NotGranted]
    stays: bool
    """Through a drain: it is the second half of work that is paid for."""


@dataclass(slots=True)
class Line:
    """One line. Belongs to one event loop."""

    name: str
    ask: Callable[[Sequence[int], LineLength], Awaitable[ReserveAnswer]]
    give_back: Callable[[Grant], None]
    pause_seconds: Callable[[], float]
    """Until calls may go out again as far as this process knows, whatever Redis has forgotten."""
    ahead_seconds: float
    _waiters: deque[_Waiter] = field(default_factory=deque)
    _moving: asyncio.Task[None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _awaits_probe: bool = False
    _retry_seconds: float = FIRST_RETRY_SECONDS
    _said_at: float = float("-inf")
    _is_draining: bool = False

    @property
    def length(self) -> LineLength:
        """Who stands in it now."""
        return LineLength(waiters=len(self._waiters), tokens=sum(waiter.tokens for waiter in self._waiters))

    async def join(self, tokens: int, *, within_seconds: float | None, stays: bool = False) -> Grant | NotGranted:
        """Stand in line until granted; the grant's delay is still to be waited."""
        if self._is_draining and not stays:
            return NotGranted.CROWDED_OUT
        loop = asyncio.get_running_loop()
        waiter = _Waiter(tokens, loop.create_future(), stays)
        self._waiters.append(waiter)
        if self._moving is None or self._moving.done():
            self._moving = loop.create_task(self._move())
        try:
            async with asyncio.timeout(within_seconds):
                return await waiter.answer
        except TimeoutError:
            self._leave(waiter)
            return NotGranted.DEADLINE
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def has_news(self) -> None:
        """The provider answered: whoever waits for a probe asks again now."""
        if self._awaits_probe:
            self._news.set()

    def drain(self) -> None:
        """Whoever waits leaves now, and nobody new may stand here; those who must stay do."""
        self._is_draining = True
        for waiter in [waiter for waiter in self._waiters if not waiter.stays]:
            self._waiters.remove(waiter)
            if not waiter.answer.done():
                waiter.answer.set_result(NotGranted.CROWDED_OUT)

    async def stop(self) -> None:
        """End the line; who still waits is cancelled by its own task."""
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.gather(self._moving, return_exceptions=True)

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.answer.done() and not waiter.answer.cancelled():
            granted = waiter.answer.result()
            if isinstance(granted, Grant):
                self.give_back(granted)

    async def _move(self) -> None:
        try:
            await self._turn()
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may stand here for ever
            for waiter in self._waiters:
                if not waiter.answer.done():
                    waiter.answer.set_exception(error)
            self._waiters.clear()

    async def _turn(self) -> None:
        """Turn the line until nobody waits."""
        while self._waiters:
            self._news.clear()
            pause = self.pause_seconds()
            if pause > 0:
                await self._wait(min(pause, LONGEST_WAIT_SECONDS))
                continue
            asking = list(islice(self._waiters, MOST_ASKED))
            try:
                answer = await self.ask([waiter.tokens for waiter in asking], self.length)
            except AWAY as error:
                await self._redis_away(error)
                continue
            self._retry_seconds = FIRST_RETRY_SECONDS
            self._awaits_probe = answer.is_probing
            self._hand_out(asking, answer)
            if self._waiters and len(answer.grants) < len(asking):
                if answer.sheds:
                    self._shed(answer)
                await self._wait(self._wait_seconds(answer))

    def _hand_out(self, asking: Sequence[_Waiter], answer: ReserveAnswer) -> None:
        for waiter, grant in zip(asking, answer.grants, strict=False):
            if waiter.answer.done() or waiter not in self._waiters:
                self.give_back(grant)  # it left while the question was under way
                continue
            self._waiters.remove(waiter)
            waiter.answer.set_result(grant)

    def _wait_seconds(self, answer: ReserveAnswer) -> float:
        if answer.is_probing:
            return max(min(answer.wait_seconds, UNKNOWN_WAIT_SECONDS), SHORTEST_WAIT_SECONDS)
        # half of what reaches ahead, so that the next grants come before the last ones have started
        return min(max(answer.wait_seconds, self.ahead_seconds / 2), LONGEST_WAIT_SECONDS)

    def _shed(self, answer: ReserveAnswer) -> None:
        """Whoever stands where the budget does not reach within `CROWDED_SECONDS` leaves, the first one excepted."""
        seconds, staying = answer.wait_seconds, 0
        for waiter in self._waiters:
            seconds += max(answer.seconds_per_request, waiter.tokens * answer.seconds_per_token)
            if staying and seconds > CROWDED_SECONDS:
                break
            staying += 1
        while len(self._waiters) > staying:
            waiter = self._waiters.pop()
            if not waiter.answer.done():
                waiter.answer.set_result(NotGranted.CROWDED_OUT)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def _redis_away(self, error: BaseException) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._said_at > QUIET_SECONDS:
            what = type(error).__name__
            logger.warning("budget.away line=%s waiting=%d error=%s", self.name, len(self._waiters), what)
            self._said_at = now
        await asyncio.sleep(self._retry_seconds)
        self._retry_seconds = min(self._retry_seconds * 2, LONGEST_RETRY_SECONDS)
