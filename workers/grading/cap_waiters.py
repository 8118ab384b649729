"""Jobs of one process that wait until calls in flight leave room under a spend cap; one at a time asks the store again.

In order of arrival per batch. Belongs to one event loop. Calls of other processes end unseen: so one job asks again
now and then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

ASK_AGAIN_SECONDS = 0.25


@dataclass(slots=True)
class Room:
    """Who waits, by batch."""

    _waiting: dict[int, deque[asyncio.Future[None]]] = field(default_factory=dict)

    def is_crowded(self, batch_id: int) -> bool:
        """Whether jobs of the batch wait: the next one waits behind them."""
        return bool(self._waiting.get(batch_id))

    async def wait(self, batch_id: int) -> None:
        """Until it is this job's turn to ask."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        queue = self._waiting.setdefault(batch_id, deque())
        queue.append(turn)
        if len(queue) == 1:
            loop.call_later(ASK_AGAIN_SECONDS, self._ask_again, batch_id)
        try:
            await turn
        finally:
            if turn in queue:
                queue.remove(turn)

    def wake(self, batch_id: int) -> None:
        """There may be room for one: a call ended, or the last one that asked was let in."""
        queue = self._waiting.get(batch_id)
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def wake_all(self) -> None:
        """The worker stops: each finds out that nothing is sent any more."""
        for batch_id in list(self._waiting):
            while self.is_crowded(batch_id):
                self.wake(batch_id)

    def _ask_again(self, batch_id: int) -> None:
        self.wake(batch_id)
        if self.is_crowded(batch_id):
            asyncio.get_running_loop().call_later(ASK_AGAIN_SECONDS, self._ask_again, batch_id)
        else:
            self._waiting.pop(batch_id, None)
