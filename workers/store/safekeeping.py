"""Paid answers that the store has not taken yet: on disk within seconds, however long the store stays away.

A thread of its own, because the writer's may be inside a call that does not return. What it spools stays with the
writer, which goes on trying; when the store has taken all of it, the file is emptied. So a worker that is killed during
an outage leaves its answers to the next one.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from workers.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workers.store.job_update import JobUpdate

logger = get_logger(__name__)

SPOOL_AFTER_SECONDS = 2.0
"""A commit that takes so long is an outage; shorter ones are a checkpoint or another writer of one SQLite file.
One that the store refuses is an outage at once."""
LOOK_SECONDS = 0.2
STOP_SECONDS = 5.0
"""A disk that hangs must not keep the process."""


class AnswerSpool(Protocol):
    """Where answers go; see `Spool`."""

    def keep(self, updates: Sequence[JobUpdate]) -> int:
        """On disk when it returns; raises `OSError`."""

    def clear(self) -> None:
        """Everything in it is stored."""


@dataclass(slots=True)
class _Waiting:
    update: JobUpdate
    since: float
    is_spooled: bool = False


class Safekeeping:
    """Knows every update between `watch` and `stored`. Threads may share it; without a spool it only counts."""

    def __init__(self, spool: AnswerSpool | None) -> None:
        self._spool = spool
        self._waiting: dict[object, _Waiting] = {}
        self._has_content = False
        self._state = threading.Lock()
        self._disk = threading.Lock()
        self._stopping = threading.Event()
        self._has_failed = False
        self._is_outage = False
        self._thread = threading.Thread(target=self._run, name="store-safekeeping", daemon=True)

    def start(self) -> None:
        """Begin to look after what waits."""
        self._thread.start()

    def stop(self) -> None:
        """No more looks; what waits now is `save`'s."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def watch(self, token: object, update: JobUpdate) -> None:
        """From here on it is waited for, under a token of the caller's."""
        if update.closing or update.ending:
            waiting = _Waiting(update, time.monotonic())
            with self._state:
                self._waiting[token] = waiting

    def stored(self, tokens: Iterable[object]) -> None:
        """The store has taken these, or will never: nobody waits for them. Does no input or output."""
        self._is_outage = False
        with self._state:
            for token in tokens:
                self._waiting.pop(token, None)

    def store_is_away(self) -> None:
        """The store said so: nothing waits in memory until it takes something again. Does no input or output."""
        self._is_outage = True

    def save(self) -> int:
        """Spool everything that waits, now; returns how many are saved nowhere."""
        self._spool_older_than(0.0)
        with self._state:
            return sum(not waiting.is_spooled for waiting in self._waiting.values())

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Spool what has waited for too long, and empty the spool when nothing in it waits any more."""
        self._spool_older_than(0.0 if self._is_outage else SPOOL_AFTER_SECONDS)
        with self._disk:
            with self._state:
                is_done = self._has_content and not any(waiting.is_spooled for waiting in self._waiting.values())
            if is_done:
                self._clear()

    def _spool_older_than(self, seconds: float) -> None:
        with self._disk:
            with self._state:
                unspooled = [waiting for waiting in self._waiting.values() if not waiting.is_spooled]
            if not unspooled or time.monotonic() - unspooled[0].since < seconds:
                return
            self._keep(unspooled)

    def _keep(self, unspooled: list[_Waiting]) -> None:
        if self._spool is None:
            return
        try:
            self._spool.keep([waiting.update for waiting in unspooled])
        except BaseException as error:  # noqa: BLE001 - whatever it is, the answers stay and are tried again
            if not self._has_failed:
                reason = error.strerror if isinstance(error, OSError) else type(error).__name__
                logger.critical(
                    "store.spool_failed",
                    answers=len(unspooled),
                    error=reason,
                    reason="the store does not answer, and these paid answers cannot be written to the data folder; "
                    "make room on its disk, they are tried again until this worker ends",
                )
            self._has_failed = True
            return
        self._has_failed, self._has_content = False, True
        with self._state:
            for waiting in unspooled:
                waiting.is_spooled = True
        logger.warning("store.spooled", answers=len(unspooled))

    def _clear(self) -> None:
        assert self._spool is not None  # noqa: S101 - it has content
        try:
            self._spool.clear()
        except OSError as error:
            logger.warning("store.spool_not_emptied", reason=error.strerror)
        self._has_content = False
