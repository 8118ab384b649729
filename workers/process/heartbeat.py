"""The worker's heartbeat: reports that this process lives, reads which jobs were cancelled, frees stranded claims.

One thread, one update per beat however many jobs run. A claim that the store ascribes to this worker, but that it has
not held in memory for two beats, is stranded (its coroutine was cancelled between commit and answer) and is freed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.errors import ServiceUnavailable
from workers.log import get_logger, log_frames
from workers.process.own_thread import OwnThread
from workers.store.liveness import beat, running_of
from workers.store.releases import free_claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from workers.store import Store

logger = get_logger(__name__)

STOP_SECONDS = 20.0
"""A beat that hangs in a store that hangs must not keep the process."""


class Heartbeat(OwnThread):
    """Beats on a thread of its own until stopped. A store that is away is waited for."""

    def __init__(
        self,
        store: Store,
        *,
        worker_id: str,
        period_seconds: float,
        held: Callable[[], set[str]],
        cancel: Callable[[str], None],
        budgets: Callable[[], list[dict[str, object]] | None] = lambda: None,
    ) -> None:
        super().__init__("heartbeat", stop_seconds=STOP_SECONDS)
        self._store = store
        self._worker_id = worker_id
        self._period_seconds = period_seconds
        self._held = held
        self._cancel = cancel
        self._budgets = budgets
        self._stranded: set[str] = set()

    def _run(self) -> None:
        while not self._stopping.wait(self._period_seconds):
            try:
                self.beat()
            except ServiceUnavailable as error:
                logger.warning("heartbeat.store_away", reason=error)
            except Exception as error:  # noqa: BLE001 - without a heartbeat the worker would be taken for dead
                log_frames(logger, "heartbeat.failed", error)

    def beat(self) -> None:
        """One beat."""
        budgets = self._budgets()
        cancelled, missing, freed = self._store.run(lambda connection: self._beat(connection, budgets))
        self._stranded = missing
        if freed:
            logger.warning("heartbeat.stranded_claims_freed", jobs=len(freed))
        for job_id in cancelled:
            self._cancel(job_id)

    def _beat(
        self, connection: Connection, budgets: list[dict[str, object]] | None
    ) -> tuple[list[str], set[str], set[str]]:
        """The jobs to cancel, those missing in memory now, and of these the ones freed because they were before."""
        cancelled = beat(connection, worker_id=self._worker_id, budgets=budgets)
        missing = running_of(connection, worker_id=self._worker_id) - self._held()
        stranded = missing & self._stranded
        free_claims(connection, stranded, worker_ids={self._worker_id})
        return cancelled, missing - stranded, stranded
