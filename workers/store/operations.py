"""What coroutines want of the writer, and what became of it when the answer to a COMMIT was lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.contract.outcome import AttemptEnding
from workers.store.admission import Admission
from workers.store.claims import ClaimedJob
from workers.store.job_update import JobUpdate
from workers.store.ledger import AttemptOpening
from workers.store.sql import in_lists, lock_jobs
from workers.store.tables import attempts

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from workers.store.ledger import AttemptClosing
    from workers.store.sql import LockedJob


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim this job for the writer's worker."""

    job_id: str


@dataclass(slots=True, eq=False)
class Operation:
    """One coroutine's work, and the answer that it waits for."""

    work: Claim | AttemptOpening | JobUpdate
    future: asyncio.Future[object]
    result: object = None
    """What the last try found, whether or not it was committed."""
    error: BaseException | None = field(default=None)

    @property
    def job_ids(self) -> set[str]:
        """Jobs whose rows it reads or changes."""
        return self.work.job_ids if isinstance(self.work, JobUpdate) else {self.work.job_id}


def in_order(operations: list[Operation]) -> list[list[Operation]]:
    """By transaction: endings come first in one, so that of a request given up before its row was written follows."""
    opened = {op.work.attempt_id for op in operations if isinstance(op.work, AttemptOpening)}
    closings = {op: op.work.closing for op in operations if isinstance(op.work, JobUpdate) and op.work.closing}
    late = [op for op, closing in closings.items() if closing.attempt_id in opened]
    return [[op for op in operations if op not in late], late] if late else [operations]


def resolve(operations: Sequence[Operation]) -> None:
    """Give the answers; to be called on the loop."""
    for operation in operations:
        if operation.future.done():  # its coroutine was cancelled; what was committed stays
            continue
        if operation.error is not None:
            operation.future.set_exception(operation.error)
        else:
            operation.future.set_result(operation.result)


def recall(connection: Connection, operations: Sequence[Operation], *, worker_id: str) -> bool:
    """Whether an earlier try of these was committed, although its answer was lost; then their results are that try's.

    One row that only that try can have written proves all of it. A claim that was lost since is lost in the results.
    False where no such row is found: what leaves none may be done again.
    """
    # the server may still be committing: its locks are waited for
    locked = lock_jobs(connection, set().union(*(operation.job_ids for operation in operations)))
    claims = {op: op.result for op in operations if isinstance(op.result, ClaimedJob)}
    held = {op for op, job in claims.items() if _is_held(locked.get(job.id), job.claim, worker_id)}
    openings = {op: op.work for op in operations if isinstance(op.work, AttemptOpening)}
    closings = [op.work.closing for op in operations if isinstance(op.work, JobUpdate) and op.work.closing]
    by_id = {closing.attempt_id: closing for closing in closings}
    if not (held or _has_opened(connection, openings.values()) or _has_closed(connection, by_id)):
        return False
    for operation in claims.keys() - held:
        operation.result = None
    for operation, opening in openings.items():
        if (
            isinstance(operation.result, Admission)
            and operation.result.may_send
            and not _is_held(locked.get(opening.job_id), opening.claim, opening.worker_id)
        ):
            operation.result = Admission.CLAIM_LOST
    return True


def _is_held(job: LockedJob | None, claim: int, worker_id: str) -> bool:
    return job is not None and job.is_held_by(claim) and job.worker_id == worker_id


def _has_opened(connection: Connection, openings: Iterable[AttemptOpening]) -> bool:
    return bool(_endings_in_ledger(connection, [opening.attempt_id for opening in openings]))


def _has_closed(connection: Connection, closings: Mapping[str, AttemptClosing]) -> bool:
    """Not by the outcome: a claim that was freed meanwhile may have left one with the same number."""
    found = _endings_in_ledger(connection, closings)
    return any(found.get(key) == closing.ending != AttemptEnding.UNKNOWN for key, closing in closings.items())


def _endings_in_ledger(connection: Connection, attempt_ids: Collection[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for some in in_lists(attempt_ids):
        rows = connection.execute(select(attempts.c.id, attempts.c.ending).where(attempts.c.id.in_(some)))
        found.update((row.id, row.ending) for row in rows)
    return found
