"""Group commit: what hundreds of coroutines want of the store, in one transaction on the writer's own thread.

While one transaction commits, the next one's work piles up; under load commits begin a moment apart, so that many
operations share the cost of one. A coroutine goes on only after the commit that holds its operation. While the store
is away, everything is kept and tried again, and paid answers are on disk within seconds (see `safekeeping`). A COMMIT
whose answer was lost may be done: that is looked up before it is repeated (see `operations`). A worker that must stop
waits for the store for a while. A transaction that one row's data spoils is replayed operation by operation; only that
one is stored without what the provider said about it, and at the worst without its text.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from workers.contract.errors import ContractViolation, ServiceUnavailable
from workers.contract.outcome import Failure, FailureKind
from workers.log import get_logger, log_frames
from workers.store.admission import Admission, admit, lock_gates
from workers.store.claims import ClaimedJob, NotDue, claim_jobs, not_due_yet
from workers.store.day_caps import NO_DAY_CAPS
from workers.store.engine import CommitUnknown
from workers.store.job_update import JobUpdate, apply_updates, storable_forms
from workers.store.ledger import AttemptOpening, JobEnding
from workers.store.operations import Claim, Operation, in_order, recall, resolve
from workers.store.safekeeping import Safekeeping
from workers.store.sql import lock_jobs

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

    from workers.store.admission import Gates
    from workers.store.day_caps import DayCaps
    from workers.store.engine import Store
    from workers.store.safekeeping import AnswerSpool

__all__ = ["JobUpdate", "NotStored", "Writer"]

logger = get_logger(__name__)

MOST_OPERATIONS = 500
"""Operations per transaction: bounds the time other writers of one SQLite file wait."""
GATHER_SECONDS = 0.015
"""Under full load commits begin so far apart, so that other writers of one SQLite file come in between. A job waits for
three commits, and its slot with it: at 0.1 s the CPU per job was a sixth less, but jobs per second too."""
FULL_LOAD = 20
"""Operations in one commit that make the next one wait for all of `GATHER_SECONDS`; fewer shorten the wait in
proportion, so that who comes in a quiet moment does not wait."""
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0
"""Between tries while the store is away."""
END_SECONDS = 15.0
"""For one last try of a store that does not answer, beyond the patience."""
UNSAVED_SECONDS = 30.0
"""Beyond the patience, for somebody to make room when neither store nor spool takes an answer."""


class NotStored(ServiceUnavailable):
    """The store stayed away until this worker had to stop. The message must go back; a paid answer is in the spool."""

    def __init__(self) -> None:
        super().__init__("store", "the store stayed away until this worker had to stop")


class Writer:
    """One per worker process. Coroutines of one loop call it; its thread talks to the store."""

    def __init__(
        self,
        store: Store,
        *,
        worker_id: str,
        loop: asyncio.AbstractEventLoop,
        spool: AnswerSpool | None = None,
        day_caps: DayCaps = NO_DAY_CAPS,
    ) -> None:
        """`day_caps` names the accounts that this worker serves, and no other's job is claimed; without any, all."""
        self._store = store
        self._worker_id = worker_id
        self._day_caps = day_caps
        self._loop = loop
        self._safekeeping = Safekeeping(spool)
        self._pending: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._stop_expected_at = 0.0
        self._patience_seconds = 0.0
        self._away_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self.commits = 0
        self.operations = 0
        self.unsaved = 0
        """Paid answers that neither store nor spool had taken when this worker stopped."""

    def start(self) -> None:
        """Begin to take operations."""
        self._thread.start()
        self._safekeeping.start()

    def expect_stop(self, *, patience_seconds: float) -> None:
        """The worker drains: from here on a store that is away is waited for so long, then its answers are spooled."""
        if not self._stopping.is_set():
            self._stop_expected_at, self._patience_seconds = time.monotonic(), patience_seconds
            self._stopping.set()

    def stop(self, *, patience_seconds: float) -> bool:
        """Commit or spool what is pending, then end; false when the store hangs even so. Sets `unsaved`."""
        self.expect_stop(patience_seconds=patience_seconds)
        self._pending.put(None)
        self._thread.join(patience_seconds + END_SECONDS)
        while self._thread.is_alive() and self._safekeeping.save() and time.monotonic() < self._grace_ends:
            self._thread.join(LONGEST_WAIT_SECONDS)
        self._safekeeping.stop()
        self.unsaved = self._safekeeping.save()
        if self.unsaved:
            logger.critical(
                "store.answers_lost",
                answers=self.unsaved,
                reason="neither the store nor the spool could take these paid answers before this worker had to end; "
                "their jobs will be graded again",
            )
        return not self._thread.is_alive()

    async def claim(self, job_id: str) -> ClaimedJob | NotDue | None:
        """The job, claimed for this worker; None when it is finished, claimed or parked."""
        return cast("ClaimedJob | NotDue | None", await self._submit(Claim(job_id)))

    async def open_attempt(self, opening: AttemptOpening) -> Admission:
        """Returns when the ledger holds the request; nothing may be sent but where it `may_send`."""
        return cast("Admission", await self._submit(opening))

    def persist(self, update: JobUpdate) -> asyncio.Future[bool]:
        """Done after the commit; true when the outcome in it was accepted (see `finish_jobs`).

        Raises `NotStored` when the worker had to stop before there was a commit. A future, so that to shield it from a
        cancellation takes no task.
        """
        return cast("asyncio.Future[bool]", self._submit(update))

    async def refuse(self, job_id: str, reason: str) -> None:
        """End a job that no worker of this version can run `internal`, with the reason; one that is not ready stays."""
        job = await self.claim(job_id)
        if not isinstance(job, ClaimedJob):
            return
        ending = JobEnding(
            job_id=job.id,
            batch_id=job.batch_id,
            round=job.round,
            claim=job.claim,
            outcome=Failure(kind=FailureKind.INTERNAL, message=reason),
            model_answered=None,
            is_standin=False,
            provenance=job.asked,
        )
        await self.persist(JobUpdate(ending=ending))

    def _submit(self, work: Claim | AttemptOpening | JobUpdate) -> asyncio.Future[object]:
        operation = Operation(work, self._loop.create_future())
        if isinstance(work, JobUpdate):
            self._safekeeping.watch(operation, work)
        self._pending.put(operation)
        return operation.future

    def _run(self) -> None:
        next_at = 0.0
        while True:
            operations, last = self._take(next_at)
            next_at = time.monotonic() + GATHER_SECONDS * min(1.0, len(operations) / FULL_LOAD)
            if operations:
                for together in in_order(operations):
                    self._commit_at_last(together)
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(resolve, operations)
            if last:
                return

    def _take(self, not_before: float) -> tuple[list[Operation], bool]:
        operations: list[Operation] = []
        item = self._pending.get()
        if (early_seconds := not_before - time.monotonic()) > 0 and not self._stopping.is_set():
            time.sleep(early_seconds)
        while item is not None:
            operations.append(item)
            if len(operations) >= MOST_OPERATIONS:
                return operations, False
            try:
                item = self._pending.get_nowait()
            except queue.Empty:
                return operations, False
        return operations, True

    def _commit_at_last(self, operations: list[Operation]) -> None:
        """Whatever fails in here, this thread goes on: the heartbeat of a worker without it would keep its jobs."""
        while True:
            try:
                self._commit(operations)
            except Exception as error:  # noqa: BLE001 - hundreds of coroutines wait for this thread
                log_frames(logger, "store.writer_failed", error)
                self._safekeeping.store_is_away()
                threading.Event().wait(FIRST_WAIT_SECONDS)
            else:
                return

    def _commit(self, operations: list[Operation]) -> None:
        wait_seconds, is_unknown = FIRST_WAIT_SECONDS, False
        while True:
            try:
                self._apply(operations, may_be_committed=is_unknown)
            except ServiceUnavailable as error:
                is_unknown = is_unknown or isinstance(error, CommitUnknown)
                self._away_since = self._away_since or time.monotonic()
                self._safekeeping.store_is_away()
                if self._has_given_up(operations):
                    return
                logger.warning(
                    "store.away", waiting=len(operations), retry_in_seconds=round(wait_seconds, 1), reason=error
                )
                self._pause(wait_seconds)
                wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)
            except BaseException as error:  # noqa: BLE001 - whatever it was, hundreds of coroutines wait for this thread
                self._replay(operations, error)
                return
            else:
                return

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            now = time.monotonic()
            ends = self._patience_ends if now < self._patience_ends else self._grace_ends
            time.sleep(max(0.0, min(seconds, ends - now)))

    @property
    def _patience_ends(self) -> float:
        """A drain may last longer than the patience: an outage that begins in it is waited for as long."""
        return max(self._stop_expected_at, self._away_since or 0.0) + self._patience_seconds

    @property
    def _grace_ends(self) -> float:
        return self._patience_ends + UNSAVED_SECONDS

    def _has_given_up(self, operations: list[Operation]) -> bool:
        """True when this worker has to stop and the paid answers are in the spool, or nowhere after the last grace."""
        if not self._stopping.is_set() or time.monotonic() < self._patience_ends:
            return False
        unsaved = self._safekeeping.save()
        if unsaved and time.monotonic() < self._grace_ends:
            return False
        logger.error("store.given_up", operations=len(operations), unsaved=unsaved)
        for operation in operations:
            operation.error = NotStored()
        return True

    def _apply(self, operations: Sequence[Operation], *, may_be_committed: bool) -> None:
        with self._store.transaction() as connection:
            if not (may_be_committed and recall(connection, operations, worker_id=self._worker_id)):
                self._write(connection, operations)
        self._safekeeping.stored(operations)
        self._away_since = None
        self.commits += 1
        self.operations += len(operations)

    def _write(self, connection: Connection, operations: Sequence[Operation]) -> None:
        """Endings before claims: a job that is persisted and claimed in one transaction is claimed after."""
        openings = [op.work for op in operations if isinstance(op.work, AttemptOpening)]
        updates = [op.work for op in operations if isinstance(op.work, JobUpdate)]
        claims = [op.work.job_id for op in operations if isinstance(op.work, Claim)]
        gates = self._lock_gates(connection, openings, updates)
        touched = {opening.job_id for opening in openings}.union(*(each.job_ids for each in updates))
        # all of them at once, those to be claimed too: locks taken in two steps are in no order
        locked = lock_jobs(connection, touched.union(claims)) if touched else {}
        accepted = apply_updates(connection, updates, locked=locked, gates=gates)
        admitted = admit(connection, openings, locked=locked, gates=gates)
        gates.write()
        claimed = _claim(connection, claims, worker_id=self._worker_id, accounts=self._day_caps.by_account)
        for operation in operations:
            match operation.work:
                case Claim(job_id):
                    operation.result = claimed.pop(job_id, None)  # a second message for it gets nothing
                case AttemptOpening(attempt_id=attempt_id):
                    operation.result = admitted[attempt_id]
                case JobUpdate(ending=JobEnding(job_id=job_id)):
                    operation.result = job_id in accepted
                case _:
                    operation.result = None

    def _lock_gates(
        self, connection: Connection, openings: Sequence[AttemptOpening], updates: Sequence[JobUpdate]
    ) -> Gates:
        return lock_gates(
            connection,
            day_caps=self._day_caps,
            openings=openings,
            closings=[each.closing for each in updates if each.closing],
            endings=[each.ending for each in updates if each.ending],
            heard=[each.heard_batch for each in updates if each.heard_batch is not None],
        )

    def _replay(self, operations: list[Operation], error: BaseException) -> None:
        if len(operations) > 1:
            for operation in operations:
                self._commit([operation])
            return
        operation = operations[0]
        logger.error("store.row_refused", error=type(error).__name__)
        if isinstance(operation.work, JobUpdate) and (forms := storable_forms(operation.work)):
            operation.work = forms[0]
            self._commit([operation])
            return
        self._safekeeping.stored([operation])
        operation.error = ContractViolation(f"the store refused a row: {type(error).__name__}")


def _claim(
    connection: Connection, job_ids: Sequence[str], *, worker_id: str, accounts: Collection[str]
) -> dict[str, ClaimedJob | NotDue]:
    if not job_ids:
        return {}
    claimed: dict[str, ClaimedJob | NotDue] = {
        **claim_jobs(connection, job_ids, worker_id=worker_id, accounts=accounts)
    }
    if missing := [job_id for job_id in job_ids if job_id not in claimed]:
        claimed |= not_due_yet(connection, missing, accounts=accounts)
    return claimed
