"""A job that may kill its worker runs while no other job is in flight in the process, so that it takes none with it.

Others share, such a job excludes: it waits until those that were let in are done, and nobody is let in meanwhile.
Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class StillBusyError(Exception):
    """The others did not end in time: the job has to come again."""


@dataclass(slots=True)
class Entrance:
    """Lets jobs of one process in."""

    patience_seconds: float
    """How long a job that runs alone waits for the others; they wait for it as long as it takes."""
    _inside: int = 0
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the job that runs alone, or waits to."""
    _emptied: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def entered(self, *, alone: bool) -> AsyncIterator[None]:
        """Be inside for the length of the block. Raises `StillBusyError` when it cannot be alone in time."""
        if not alone:
            await self._share()
            try:
                yield
            finally:
                self._leave()
            return
        async with self._alone:
            await self._wait_until_empty()
            yield

    async def _share(self) -> None:
        while self._alone.locked():
            async with self._alone:
                pass
        self._inside += 1  # nothing is awaited since the look at the lock

    def _leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._emptied.set()

    async def _wait_until_empty(self) -> None:
        try:
            async with asyncio.timeout(self.patience_seconds):
                while self._inside:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            raise StillBusyError from None
