"""Asks in the background why the broker cannot be worked with: one that hangs must not hold up who wants to know."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

LOOK_SECONDS = 2.0
FIRST_ANSWER_SECONDS = 3.0


class BrokerWatch:
    """Looks every other second while the block runs. `trouble` is the last answer, "" while the broker serves."""

    def __init__(self, why_waiting: Callable[[], str | None]) -> None:
        self._why_waiting = why_waiting
        self._stopping = threading.Event()
        self._answered = threading.Event()
        self._thread = threading.Thread(target=self._look, name="broker-watch", daemon=True)
        self._trouble = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(FIRST_ANSWER_SECONDS)

    @property
    def trouble(self) -> str:
        """A sentence for people."""
        return f"waiting for Redis: {self._trouble}" if self._trouble else ""

    def first_trouble(self) -> str:
        """The same, once there was a look; a broker that does not answer in seconds is trouble by itself."""
        if not self._answered.wait(FIRST_ANSWER_SECONDS):
            return "waiting for Redis: no answer yet"
        return self.trouble

    def _look(self) -> None:
        while not self._stopping.is_set():
            try:
                self._trouble = self._why_waiting() or ""
            except ServiceUnavailable as error:  # a REDIS_URL that cannot be used
                self._trouble = str(error)
            self._answered.set()
            self._stopping.wait(LOOK_SECONDS)
