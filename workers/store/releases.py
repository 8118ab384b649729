"""How a claim ends without an outcome of its own: released, snoozed, or freed because its worker stopped or died.

A claim that ends takes a job that was to be cancelled, that several workers died of, or that was left in flight ten
times, to its end instead of back to the queue. Releases need the current claim, so a late or second worker can do no
harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, Integer, bindparam, func, select, update

from workers.contract.outcome import Failure, FailureKind, JobState
from workers.store.bulk import among
from workers.store.kept import end_with_kept_answers
from workers.store.ledger import JobEnding, close_as_unknown, finish_jobs, unknown_attempts
from workers.store.provenance import read_asked_only
from workers.store.sql import IS_RUNNING, LockedJob, in_lists, lock_jobs
from workers.store.tables import jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection


MOST_UNKNOWN_ATTEMPTS = 10
"""A job that was left in flight so often in one round is likelier to kill its workers than to be unlucky."""
MOST_DEATHS = 4
"""Workers that died while this job's request was out; at the last two of them no other request was."""
MOST_LOST_CLAIMS = 20
"""One that kills its workers before its request is in the ledger leaves no such attempt, but it was held each time. A
job that only waited beside such a one is held too: so the bound is higher."""
CANCELLED = Failure(kind=FailureKind.CANCELLED, message="cancelled while it ran")
DEADLY = Failure(
    kind=FailureKind.INTERNAL,
    message=f"{MOST_DEATHS} workers or more died or were stopped while they worked on this job",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give a claim back. With `after_seconds` the job is snoozed; `message_follows` says that a message will come."""

    job_id: str
    claim: int
    after_seconds: float | None = None
    message_follows: bool = False


def release_jobs(
    connection: Connection, releases: Sequence[Release], *, locked: Mapping[str, LockedJob] | None = None
) -> None:
    """Give claims back; one that is no longer current changes nothing. What was to be cancelled ends so."""
    locked = lock_jobs(connection, {release.job_id for release in releases}) if locked is None else locked
    current = [
        release for release in releases if release.job_id in locked and locked[release.job_id].is_held_by(release.claim)
    ]
    held = [locked[release.job_id] for release in current]
    ended = end_jobs(connection, [job for job in held if job.cancel_requested], CANCELLED)
    if rows := [_release_row(release) for release in current if release.job_id not in ended]:
        connection.execute(_RELEASE, rows)


def _release_row(release: Release) -> dict[str, object]:
    return {
        "job": release.job_id,
        "held": release.claim,
        "after": release.after_seconds or 0.0,
        "snoozed": int(release.after_seconds is not None),
        "follows": int(release.message_follows),
    }


_follows: BindParameter[int] = bindparam("follows", type_=Integer)
_snoozed: BindParameter[int] = bindparam("snoozed", type_=Integer)
_RELEASE = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.claim == bindparam("held"), IS_RUNNING)
    .values(
        state=JobState.READY,
        worker_id=None,
        lane=None,
        not_before=func.nullif(_snoozed * (now_seconds() + bindparam("after")), 0),
        published_at=func.nullif(_follows * now_seconds(), 0),
        snoozes=jobs.c.snoozes + _snoozed,
    )
)


def release_all(connection: Connection, *, worker_id: str) -> list[str]:
    """A stopping worker frees every claim it still holds; returns the ids of the jobs that wait again."""
    held = connection.execute(select(jobs.c.id).where(jobs.c.worker_id == worker_id, IS_RUNNING)).scalars()
    return free_claims(connection, list(held), worker_ids={worker_id})


def free_claims(
    connection: Connection, job_ids: Collection[str], *, worker_ids: Collection[str], have_died: bool = False
) -> list[str]:
    """Take jobs from these workers: ready again, their requests in flight `unknown` in the ledger.

    Returns the ids of the jobs that wait again. What another worker has claimed meanwhile is left alone. `have_died`
    counts against the jobs (see `ClaimedJob.runs_alone`) and leaves those locked by somebody else to a later call.
    """
    locked = lock_jobs(connection, job_ids, skip_locked=have_died)
    held = [job for job in locked.values() if job.state == JobState.RUNNING and job.worker_id in worker_ids]
    if not held:
        return []
    close_as_unknown(connection, [job.id for job in held])
    ended = end_jobs(connection, [job for job in held if job.cancel_requested], CANCELLED)
    unknown = unknown_attempts(connection, [job.id for job in held])
    losses = int(have_died)
    deadly = [
        job
        for job in held
        if job.id not in ended
        and (
            unknown.get(job.id, 0) >= MOST_UNKNOWN_ATTEMPTS
            or (have_died and job.lost_claims + losses >= MOST_LOST_CLAIMS)
            or (have_died and min(job.lost_claims + losses, unknown.get(job.id, 0)) >= MOST_DEATHS)
        )
    ]
    ended |= end_jobs(connection, deadly, DEADLY)
    freed = [job.id for job in held if job.id not in ended]
    for some in in_lists(freed):
        connection.execute(
            update(jobs)
            .where(among(connection, jobs.c.id, some))
            .values(
                state=JobState.READY,
                worker_id=None,
                published_at=None,
                not_before=None,
                lost_claims=jobs.c.lost_claims + losses,
            )
        )
    return freed


def end_jobs(connection: Connection, held: Sequence[LockedJob], outcome: Failure) -> set[str]:
    """Finish these claimed jobs with this failure, or with a paid answer that they keep; returns the ids of all."""
    if not held:
        return set()
    locked = {job.id: job for job in held}
    answered = end_with_kept_answers(connection, locked)
    asked = read_asked_only(connection, [job.id for job in held if job.id not in answered])
    endings = [
        JobEnding(
            job_id=job.id,
            batch_id=job.batch_id,
            round=job.round,
            claim=job.claim,
            outcome=outcome,
            model_answered=None,
            is_standin=False,
            provenance=asked[job.id],
        )
        for job in held
        if job.id not in answered
    ]
    return answered | (finish_jobs(connection, endings, locked=locked) if endings else set())
