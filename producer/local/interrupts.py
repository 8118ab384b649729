"""Ctrl-C and SIGTERM as events: the one place of the producer that installs signal handlers."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Interrupts:
    """How often the user has asked to stop. Only the main thread waits."""

    def __init__(self) -> None:
        self.count = 0
        self._new: SimpleQueue[None] = SimpleQueue()  # its put may run inside a signal handler, an Event's set may not

    def add(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Count one more; a signal handler."""
        self.count += 1
        self._new.put(None)

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until the next interrupt; true when there was one since the last wait."""
        try:
            self._new.get(timeout=seconds)
        except Empty:
            return False
        return True


@contextmanager
def counted_interrupts() -> Iterator[Interrupts]:
    """Within the block, Ctrl-C and SIGTERM are counted instead of raised; the command decides what each one means."""
    interrupts = Interrupts()
    before = {number: signal.signal(number, interrupts.add) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
