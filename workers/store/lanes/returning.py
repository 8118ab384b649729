"""Jobs that get no answer in a submission: they wait again, and their ledger rows say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from workers.contract.lane import Lane
from workers.contract.outcome import AttemptEnding, JobState
from workers.store.admission import lock_gates
from workers.store.lanes.placing import LONGEST_WAIT_SECONDS
from workers.store.ledger import AttemptClosing, close_attempts
from workers.store.releases import CANCELLED, end_jobs
from workers.store.sql import IS_RUNNING, in_lists, lock_jobs
from workers.store.tables import attempts, jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection


def least_time_left(connection: Connection, job_ids: Collection[str]) -> float | None:
    """Seconds to the first deadline of these jobs; None when none has one."""
    found = [
        connection.execute(
            select((func.min(jobs.c.deadline_at) - now_seconds()).label("left")).where(jobs.c.id.in_(some))
        ).scalar()
        for some in in_lists(job_ids)
    ]
    return min((left for left in found if left is not None), default=None)


def close_rest(connection: Connection, submission_id: str, *, message: str, at_most: int) -> int:
    """Close as not sent what the provider says it never ran, though it was taken for unknown; returns how many."""
    rows = connection.execute(
        select(attempts.c.id)
        .where(attempts.c.submission_id == submission_id, attempts.c.ending == str(AttemptEnding.UNKNOWN))
        .limit(at_most)
    ).scalars()
    closings = [AttemptClosing(attempt_id=each, ending=AttemptEnding.NOT_SENT, message=message) for each in rows]
    if closings:
        gates = lock_gates(connection, closings=closings)
        gates.count_costs(closings)
        close_attempts(connection, closings)
        gates.write()
    return len(closings)


def unanswered(connection: Connection, submission_id: str, *, at_most: int) -> list[str]:
    """Jobs that the submission still holds: nothing that the provider gave back was about them."""
    return list(
        connection.execute(
            select(jobs.c.id).where(jobs.c.worker_id == submission_id, IS_RUNNING).order_by(jobs.c.id).limit(at_most)
        ).scalars()
    )


def give_back(
    connection: Connection,
    submission_id: str,
    job_ids: Collection[str],
    *,
    lane: Lane,
    reserve_seconds: float,
    ending: AttemptEnding = AttemptEnding.NOT_SENT,
    message: str | None = None,
) -> int:
    """Let jobs that got no answer wait again, for this lane; what was to be cancelled ends so. Returns how many wait.

    Their requests close as `ending`: `not_sent` where the provider says that it did nothing, else `unknown`.
    """
    rows = connection.execute(
        select(attempts.c.id, attempts.c.batch_id).where(
            attempts.c.submission_id == submission_id, attempts.c.job_id.in_(job_ids), attempts.c.ending.is_(None)
        )
    ).all()
    closings = [AttemptClosing(attempt_id=row.id, ending=ending, message=message) for row in rows]
    gates = lock_gates(connection, closings=closings)
    locked = lock_jobs(connection, job_ids)
    if closings:
        gates.count_costs(closings)
        close_attempts(connection, closings)
    gates.write()
    held = [job for job in locked.values() if job.state == JobState.RUNNING and job.worker_id == submission_id]
    ended = end_jobs(connection, [job for job in held if job.cancel_requested], CANCELLED)
    freed = [job.id for job in held if job.id not in ended]
    values = _live() if lane is Lane.LIVE else _in_lane(lane, reserve_seconds)
    for some in in_lists(freed):
        connection.execute(
            update(jobs)
            .where(jobs.c.id.in_(some))
            .values(state=JobState.READY, worker_id=None, published_at=None, **values)
        )
    return len(freed)


def _live() -> dict[str, object]:
    return {"lane": None, "not_before": None}


def _in_lane(lane: Lane, reserve: float) -> dict[str, object]:
    live_at = func.coalesce(jobs.c.deadline_at - reserve, now_seconds() + LONGEST_WAIT_SECONDS)
    return {"lane": str(lane), "not_before": live_at}
