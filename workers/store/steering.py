"""Retry and cancel: another round for what failed, an end for what has not finished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, insert, select, true, update

from workers.contract.outcome import FailureKind, JobState
from workers.store.deadlines import NEW_DEADLINE, refuse_past
from workers.store.gates import forget_same_failure
from workers.store.kept import end_with_kept_answers
from workers.store.lanes.placing import place_jobs
from workers.store.overviews import find_batch
from workers.store.provenance import read_asked_only
from workers.store.sql import IS_OPENED, IS_UNFINISHED, LIST_LENGTH, lock_batch, lock_jobs
from workers.store.tables import batch_gates, batches, jobs, now_seconds, outcomes
from workers.store.twins import count_following, end_followers, reopen_followers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from workers.store.engine import Store
    from workers.store.overviews import BatchHeader
    from workers.store.sql import LockedJob


@dataclass(frozen=True, slots=True)
class _Change:
    """What another round asks differently."""

    model: str | None
    parameters: Mapping[str, object]


def retry_failed(
    store: Store,
    batch_name: str,
    *,
    kinds: Sequence[FailureKind] = (),
    model: str | None = None,
    parameters: Mapping[str, object] | None = None,
) -> int:
    """Open round n+1 for the batch's failed jobs (of these kinds, when given); returns how many.

    `model` and `parameters` (fields of `JobParameters`) are the new round's, for work that is otherwise the same.

    What fails again meanwhile is not reopened twice; a purged job has no prompt any more and stays as it is.
    Raises `InvalidInput` when the moment until which they might start is over and no other deadline is given.
    """
    change = _Change(model, parameters or {})
    with store.snapshot() as connection:
        batch = find_batch(connection, batch_name)
        began_at = connection.execute(select(now_seconds())).scalar_one()
        if not {"deadline_seconds", "deadline_at"} & change.parameters.keys():
            refuse_past(connection, batch.id, _failed(kinds, began_at))
    reopened = 0
    while failed := store.run(lambda connection: _reopen_some(connection, batch, began_at, kinds, change)):
        reopened += failed
    return reopened


def _reopen_some(
    connection: Connection,
    batch: BatchHeader,
    began_at: float,
    kinds: Sequence[FailureKind],
    change: _Change,
) -> int:
    lock_batch(connection, batch.id)
    forget_same_failure(connection, batch.id)
    chosen = list(
        connection.execute(
            select(jobs.c.id)
            .where(jobs.c.batch_id == batch.id, _failed(kinds, began_at))
            .order_by(jobs.c.id)
            .limit(LIST_LENGTH)
        ).scalars()
    )
    failed = [job.id for job in lock_jobs(connection, chosen).values() if job.state == JobState.FAILED]
    _change_round(connection, failed, change)
    followers = _open_next_round(connection, failed)
    place_jobs(connection, batch.id, jobs.c.id.in_(failed), count=len(failed))
    connection.execute(update(batches).where(batches.c.id == batch.id).values(cancelled_at=None))
    return len(failed) + followers


def reopen_rejected(connection: Connection, job_ids: Collection[str]) -> int:
    """Open another round for those of these jobs whose last one ended `rejected_request`: it was not their fault.

    Only in batches that go on: nobody expects further requests for one that was cancelled, has ended, or waits for
    somebody's word. Returns how many jobs were reopened, followers not counted.
    """
    if not job_ids:
        return 0
    rejected = connection.execute(
        select(jobs.c.id, jobs.c.batch_id)
        .join(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            jobs.c.id.in_(job_ids),
            jobs.c.state == JobState.FAILED,
            jobs.c.prompt != "",
            batches.c.cancelled_at.is_(None),
            outcomes.c.failure_kind == str(FailureKind.REJECTED_REQUEST),
        )
    ).all()
    going_on = {batch_id for batch_id in sorted({row.batch_id for row in rejected}) if _goes_on(connection, batch_id)}
    locked = lock_jobs(connection, [row.id for row in rejected if row.batch_id in going_on])
    failed = [job.id for job in locked.values() if job.state == JobState.FAILED]
    _open_next_round(connection, failed)
    return len(failed)


def _goes_on(connection: Connection, batch_id: int) -> bool:
    """Locks the batch."""
    lock_batch(connection, batch_id)
    unfinished = select(jobs.c.id).where(jobs.c.batch_id == batch_id, IS_UNFINISHED).limit(1)
    closed = select(batch_gates.c.batch_id).where(
        batch_gates.c.batch_id == batch_id, batch_gates.c.closed_at.is_not(None)
    )
    return connection.execute(unfinished).first() is not None and connection.execute(closed).first() is None


def _open_next_round(connection: Connection, job_ids: Sequence[str]) -> int:
    """Of locked jobs that have failed; returns how many followers begin another round with them."""
    connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_ids))
        .values(
            state=JobState.READY,
            round=jobs.c.round + 1,
            published_at=None,
            lane=None,
            snoozes=0,
            lost_claims=0,
            finished_at=None,
            deadline_at=NEW_DEADLINE,
        )
    )
    return reopen_followers(connection, job_ids)


def _failed(kinds: Sequence[FailureKind], before: float) -> ColumnElement[bool]:
    """Jobs that another round may be opened for; their present one ended `before`, as one of these kinds or any."""
    wanted = outcomes.c.failure_kind.in_([str(kind) for kind in kinds]) if kinds else true()
    ended = exists().where(
        outcomes.c.job_id == jobs.c.id, outcomes.c.round == jobs.c.round, outcomes.c.finished_at <= before, wanted
    )
    return and_(
        jobs.c.state == JobState.FAILED,
        jobs.c.leader_id.is_(None),  # followers go with their leader
        jobs.c.prompt != "",  # neither purged nor left out
        ended,
    )


def _change_round(connection: Connection, job_ids: Sequence[str], change: _Change) -> None:
    """Content hashes stay: they are of what was enqueued, so the same command finds its jobs again."""
    if change.model is not None:
        connection.execute(update(jobs).where(jobs.c.id.in_(job_ids)).values(model=change.model))
    if change.parameters:
        for row in connection.execute(select(jobs.c.id, jobs.c.parameters).where(jobs.c.id.in_(job_ids))).all():
            changed = {**row.parameters, **change.parameters}
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(parameters=changed))


def cancel_batch(store: Store, batch_name: str) -> tuple[int, int]:
    """Cancel what has not finished: waiting jobs end `cancelled` now, running ones are asked to stop.

    A waiting job that has a paid answer already ends with it and is in neither number. Returns (cancelled now, asked to
    stop). A success that still arrives from a running job is kept.
    """
    with store.snapshot() as connection:
        batch = find_batch(connection, batch_name)
    cancelled = asked = 0
    while some := store.run(lambda connection: _cancel_some(connection, batch)):
        cancelled += some[0]
        asked += some[1]
    return cancelled, asked


def _cancel_some(connection: Connection, batch: BatchHeader) -> tuple[int, int] | None:
    """(cancelled, asked) of some hundred jobs; None when nothing is left to cancel."""
    lock_batch(connection, batch.id)
    chosen = connection.execute(
        select(jobs.c.id)
        .where(jobs.c.batch_id == batch.id, IS_UNFINISHED, ~jobs.c.cancel_requested, IS_OPENED)
        .limit(LIST_LENGTH)
    ).scalars()
    locked = lock_jobs(connection, list(chosen))
    if not locked:
        connection.execute(update(batches).where(batches.c.id == batch.id).values(cancelled_at=now_seconds()))
        return None
    ready = {job.id: job for job in locked.values() if job.state == JobState.READY}
    answered = end_with_kept_answers(connection, ready)
    waiting = [job for job in ready.values() if job.id not in answered]
    running = [job.id for job in locked.values() if job.state == JobState.RUNNING]
    if waiting:
        asked = read_asked_only(connection, [job.id for job in waiting])
        connection.execute(
            insert(outcomes).values(finished_at=now_seconds()),
            [_cancelled_outcome(job, asked[job.id]) for job in waiting],
        )
    for ids, values in (
        ([job.id for job in waiting], {"state": JobState.FAILED, "finished_at": now_seconds(), **_NOTHING_WAITS}),
        (running, {"cancel_requested": True}),
    ):
        if ids:
            connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(values))
    carried = end_followers(connection, [job.id for job in waiting])
    return len(waiting) + carried, len(running) + count_following(connection, running)


_NOTHING_WAITS = {"not_before": None, "lane": None, "kept_answer": None}


def _cancelled_outcome(job: LockedJob, asked: dict[str, object]) -> dict[str, object]:
    return {
        "job_id": job.id,
        "round": job.round,
        "batch_id": job.batch_id,
        "claim": job.claim,
        "failure_kind": str(FailureKind.CANCELLED),
        "failure_message": "cancelled before it started",
        "is_standin": False,
        "provenance": asked,
    }
