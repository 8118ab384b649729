"""A thread that a worker process keeps for one purpose, from its start to the process's stop."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class OwnThread(ABC):
    """Runs `_run` on a daemon thread; `_stopping` is set when it is to end."""

    def __init__(self, name: str, *, stop_seconds: float) -> None:
        """`stop_seconds`: how long a stop waits for it; what hangs in a store that hangs must not keep the process."""
        self._stop_seconds = stop_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._stopping.set()
        self._thread.join(self._stop_seconds)

    @abstractmethod
    def _run(self) -> None:
        """What the thread does until `_stopping` is set."""
