"""One call before the flood: what the provider caches can be read only after the call that wrote it was answered.

Calls that share a cached part and are sent side by side would each pay for writing it. So the first one goes alone, and
the others wait for its answer, for a bounded time. In a process one call at a time asks the other processes whether it
is the first (`workers.budget.warm_parts`). Belongs to one event loop.
*Source*: OpenAI, "Prompt caching" (November 2026).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.budget.warm_parts import WARM_SECONDS, PartState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.budget.warm_parts import Part, WarmParts

LONGEST_WAIT_SECONDS = 30.0
"""Most answers come sooner; who waits longer than that for a discount gets its grade late."""
SHARE_OF_DEADLINE = 0.25
"""Of the time that a job has left, at the most, it waits for a discount."""
ASK_AGAIN_SECONDS = 0.1
"""While another process's call is under way."""
KNOWN_WARM_SECONDS = 60.0
"""What another process said is not asked again for so long; this one's own answers count from then on."""
MOST_KEYS = 1_000
"""A batch has one or a few."""


@dataclass(slots=True)
class Warmth:
    """Which cached parts were used lately, and which are being written."""

    shared: WarmParts | None = None
    """What the other processes know; None when there are none."""
    _warm_until: dict[Part, float] = field(default_factory=dict)
    _leading: dict[Part, asyncio.Event] = field(default_factory=dict)
    _telling: set[asyncio.Task[None]] = field(default_factory=set)
    _is_over: bool = False

    @asynccontextmanager
    async def entered(self, part: Part | None, left_seconds: float | None = None) -> AsyncIterator[None]:
        """Around one request: alone while `part` is cold, else side by side. None is a request that nothing caches.

        `left_seconds` until the job's deadline; None without one.
        """
        longest = LONGEST_WAIT_SECONDS
        if left_seconds is not None:
            longest = min(longest, SHARE_OF_DEADLINE * left_seconds)
        deadline = asyncio.get_running_loop().time() + longest
        turn = None if part is None else await self._turn(part, deadline)
        if part is None or turn is None:
            yield
            return
        is_first = False
        try:
            is_first = await self._is_first(part, deadline)
            if not is_first:
                self._end(part, turn)  # nor do the others of this process wait for this one's answer
            yield
        finally:
            self._end(part, turn)
            if is_first and self.shared is not None:
                # beside the job, which a Redis that hangs must not hold up
                telling = asyncio.get_running_loop().create_task(self._tell(self.shared, part))
                self._telling.add(telling)
                telling.add_done_callback(self._telling.discard)

    def answered(self, part: Part | None) -> None:
        """The provider has the part now, and keeps it for a while."""
        if part is not None:
            self._know_warm(part, WARM_SECONDS)

    def stop_waiting(self) -> None:
        """The worker stops: nobody waits any more."""
        self._is_over = True
        for leading in self._leading.values():
            leading.set()

    async def _turn(self, part: Part, deadline: float) -> asyncio.Event | None:
        """What the others of this process wait for when this call is their first; None when it need not wait."""
        loop = asyncio.get_running_loop()
        while not self._is_over and not self._is_warm(part) and loop.time() < deadline:
            leading = self._leading.get(part)
            if leading is None:
                self._leading[part] = turn = asyncio.Event()
                return turn
            try:
                async with asyncio.timeout_at(deadline):
                    await leading.wait()
            except TimeoutError:
                return None
        return None

    async def _is_first(self, part: Part, deadline: float) -> bool:
        """Among all processes; false when the part is warm, or another's call takes too long."""
        if self.shared is None:
            return True
        loop = asyncio.get_running_loop()
        while not self._is_over and loop.time() < deadline:
            match await self.shared.ask(part, within_seconds=LONGEST_WAIT_SECONDS):
                case PartState.OURS:
                    return True
                case PartState.WARM:
                    self._know_warm(part, KNOWN_WARM_SECONDS)
                    return False
                case PartState.BEING_WRITTEN:
                    await asyncio.sleep(ASK_AGAIN_SECONDS)
        return False

    async def _tell(self, shared: WarmParts, part: Part) -> None:
        if self._is_warm(part):
            await shared.answered(part)
        else:
            await shared.give_up(part)

    def _end(self, part: Part, turn: asyncio.Event) -> None:
        if self._leading.get(part) is turn:
            del self._leading[part]
        turn.set()

    def _is_warm(self, part: Part) -> bool:
        return self._warm_until.get(part, 0.0) > asyncio.get_running_loop().time()

    def _know_warm(self, part: Part, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._warm_until) >= MOST_KEYS:
            self._warm_until = {each: until for each, until in self._warm_until.items() if until > now}
        self._warm_until[part] = max(now + seconds, self._warm_until.get(part, 0.0))
