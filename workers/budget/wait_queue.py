"""The waiters of one process for one (account, model), in order of arrival; one request to Redis asks for many.

    join -> wait -> granted, to start now or shortly
                 -> cancelled, past the deadline, or evicted; a grant that comes too late is given back

While Redis is away nobody is granted anything, and the request is retried.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from workers.budget.records import EVICT_AFTER_SECONDS, Grant, NotGranted, QueueLength
from workers.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from workers.budget.records import ReserveAnswer

logger = get_logger(__name__)

MOST_ASKED = 200
"""Waiters per script call: bounds the time that one process takes from the server."""
SHORTEST_WAIT_SECONDS = 0.02
LONGEST_WAIT_SECONDS = 2.0
"""Between two requests: grants may be given back and limits may change."""
UNKNOWN_WAIT_SECONDS = 0.2
"""Between two requests while a probe is in flight: its response releases everybody."""
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
"""Between two requests while Redis is away."""
QUIET_SECONDS = 30.0
"""Between two log lines about one outage."""
AWAY = (RedisError, OSError, TimeoutError)


@dataclass(slots=True, eq=False)
class _Waiter:
    tokens: int
    answer: asyncio.Future[Grant | NotGranted]
    stays: bool
    """Not evicted by `stop_waiting()`: a repair, whose first half is paid for."""
    group: int | None
    """Evicted together with others of its own."""


@dataclass(slots=True)
class WaitQueue:
    """One queue. Belongs to one event loop."""

    model: str
    ask: Callable[[Sequence[int], QueueLength], Awaitable[ReserveAnswer]]
    give_back: Callable[[Grant], None]
    pause_seconds: Callable[[], float]
    """Until calls may be sent again as far as this process knows, even if Redis has lost its memory."""
    ahead_seconds: float
    _waiters: deque[_Waiter] = field(default_factory=deque)
    _granting: asyncio.Task[None] | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _awaits_ending: bool = False
    """The end of a call changes the answer: that of the probe, or of any call at a full server."""
    _retry_seconds: float = FIRST_RETRY_SECONDS
    _logged_at: float = float("-inf")
    _is_stopping: bool = False
    _is_closed: bool = False

    @property
    def length(self) -> QueueLength:
        """The waiters now."""
        return QueueLength(waiters=len(self._waiters), tokens=sum(waiter.tokens for waiter in self._waiters))

    async def join(
        self, tokens: int, *, within_seconds: float | None, stays: bool = False, group: int | None = None
    ) -> Grant | NotGranted:
        """Wait for a grant. The caller still has to wait until the grant starts."""
        if self._is_closed or (self._is_stopping and not stays):
            return NotGranted.EVICTED
        loop = asyncio.get_running_loop()
        waiter = _Waiter(tokens, loop.create_future(), stays, group)
        self._waiters.append(waiter)
        if self._granting is None or self._granting.done():
            self._granting = loop.create_task(self._run())
        try:
            async with asyncio.timeout(within_seconds):
                return await waiter.answer
        except TimeoutError:
            self._leave(waiter)
            return NotGranted.DEADLINE
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def wake(self) -> None:
        """A call ended: if grants depend on that, ask again now."""
        if self._awaits_ending:
            self._wake.set()

    def stop_waiting(self, *, everyone: bool = False) -> None:
        """Evict current and future waiters; those with `stays` only if `everyone`."""
        self._is_stopping = True
        self._is_closed = self._is_closed or everyone
        self._remove([waiter for waiter in self._waiters if everyone or not waiter.stays])

    def evict(self, is_leaving: Callable[[int], bool]) -> None:
        """Evict the waiters of whose group this is true, but none that `stays`."""
        leaving = {group for waiter in self._waiters if (group := waiter.group) is not None and is_leaving(group)}
        self._remove([waiter for waiter in self._waiters if waiter.group in leaving and not waiter.stays])

    def _remove(self, leaving: Sequence[_Waiter]) -> None:
        for waiter in leaving:
            self._waiters.remove(waiter)
            if not waiter.answer.done():
                waiter.answer.set_result(NotGranted.EVICTED)

    async def stop(self) -> None:
        """Stop asking. Remaining waiters are cancelled by their own tasks."""
        if self._granting is not None:
            self._granting.cancel()
            await asyncio.gather(self._granting, return_exceptions=True)

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.answer.done() and not waiter.answer.cancelled():
            granted = waiter.answer.result()
            if isinstance(granted, Grant):
                self.give_back(granted)

    async def _run(self) -> None:
        try:
            await self._ask_until_empty()
        except Exception as error:  # noqa: BLE001 - whatever it was, no waiter may hang
            for waiter in self._waiters:
                if not waiter.answer.done():
                    waiter.answer.set_exception(error)
            self._waiters.clear()

    async def _ask_until_empty(self) -> None:
        """Request grants until the queue is empty."""
        while self._waiters:
            self._wake.clear()
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
            self._awaits_ending = answer.is_probing or answer.is_full
            self._hand_out(asking, answer)
            if self._waiters and len(answer.grants) < len(asking):
                if answer.evicts:
                    self._evict(answer)
                await self._wait(self._wait_seconds(answer))

    def _hand_out(self, asking: Sequence[_Waiter], answer: ReserveAnswer) -> None:
        for waiter, grant in zip(asking, answer.grants, strict=False):
            if waiter.answer.done() or waiter not in self._waiters:
                self.give_back(grant)  # it left while the request was in flight
                continue
            self._waiters.remove(waiter)
            waiter.answer.set_result(grant)

    def _wait_seconds(self, answer: ReserveAnswer) -> float:
        if answer.is_probing:
            return max(min(answer.wait_seconds, UNKNOWN_WAIT_SECONDS), SHORTEST_WAIT_SECONDS)
        # half of how far grants reach ahead, so that the next ones come before the last have started
        return min(max(answer.wait_seconds, self.ahead_seconds / 2), LONGEST_WAIT_SECONDS)

    def _evict(self, answer: ReserveAnswer) -> None:
        """Evict waiters whose estimated wait exceeds `EVICT_AFTER_SECONDS`; keep the first."""
        seconds, staying = answer.wait_seconds, 0
        for waiter in self._waiters:
            if staying and answer.is_probing:
                break
            seconds += max(answer.seconds_per_request, waiter.tokens * answer.seconds_per_token)
            if staying and seconds > EVICT_AFTER_SECONDS:
                break
            staying += 1
        while len(self._waiters) > staying:
            waiter = self._waiters.pop()
            if not waiter.answer.done():
                waiter.answer.set_result(NotGranted.EVICTED)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _redis_away(self, error: BaseException) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at > QUIET_SECONDS:
            what = type(error).__name__
            logger.warning("budget.away", model=self.model, waiting=len(self._waiters), error=what)
            self._logged_at = now
        await asyncio.sleep(self._retry_seconds)
        self._retry_seconds = min(self._retry_seconds * 2, LONGEST_RETRY_SECONDS)
