"""A worker's hold on a job: claim, release, give everything back.

A claim is (worker_id, claim number). It moves a published, due job from ready to running, and nothing else does;
requests, releases and failures need the current claim, so a late or second worker can do no harm. A claim that ends
takes a job that was to be cancelled, or that was left in flight ten times, to its end instead of back to the queue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, Integer, bindparam, func, select, update

from workers.contract.job import JobParameters
from workers.contract.outcome import AttemptEnding, Failure, FailureKind
from workers.store.ledger import JobEnding, close_as_unknown, finish_jobs, unknown_attempts
from workers.store.rows import (
    IS_DUE,
    IS_READY,
    IS_RUNNING,
    IS_WAITING,
    PARKED_ACCOUNTS,
    in_id_order,
    in_lists,
    lock_jobs,
)
from workers.store.tables import attempts, batches, contexts, jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from workers.store.rows import LockedJob

MOST_UNKNOWN_ATTEMPTS = 10
"""A job that was left in flight so often in one round is likelier to kill its workers than to be unlucky."""
CANCELLED = Failure(kind=FailureKind.CANCELLED, message="cancelled while it ran")
DEADLY = Failure(
    kind=FailureKind.INTERNAL,
    message=f"{MOST_UNKNOWN_ATTEMPTS} workers died or were stopped while they worked on this job",
)
SPENT = (str(AttemptEnding.ANSWERED), str(AttemptEnding.FAILED))
"""The endings that count against max_retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """All that a worker needs to complete a job; prompt and context never leave its process but to the provider."""

    id: str
    batch_id: int
    item_id: str
    round: int
    claim: int
    schema_name: str
    schema_fingerprint: str
    prompt: str = field(repr=False)
    model: str
    parameters: JobParameters
    context: Mapping[str, object] | None = field(default=None, repr=False)
    spent: Mapping[str, int]
    """Attempts of this round that count against max_retries, by purpose (see `AttemptOpening`)."""
    snoozes: int
    seconds_to_deadline: float | None
    """None without a deadline; may be negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDue:
    """The job is ready, but its `not_before` lies ahead by the database's clock."""

    after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give a claim back. With `after_seconds` the job is snoozed; `message_follows` says that a message will come."""

    job_id: str
    claim: int
    after_seconds: float | None = None
    message_follows: bool = False


def claim_jobs(connection: Connection, job_ids: Sequence[str], *, worker_id: str) -> dict[str, ClaimedJob]:
    """Claim what is ready, due and not parked; the others are absent from the answer, and their messages are done."""
    startable = in_id_order(
        select(jobs.c.id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            jobs.c.id.in_(job_ids),
            IS_READY,
            IS_DUE,
            jobs.c.position < batches.c.opened,
            jobs.c.publish_number > 0,
            batches.c.provider.not_in(PARKED_ACCOUNTS),
        )
    )
    claimed = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(startable.scalar_subquery()))
        .values(state="running", worker_id=worker_id, claim=jobs.c.claim + 1, claimed_at=now_seconds(), not_before=None)
        .returning(
            jobs.c.id, jobs.c.batch_id, jobs.c.item_id, jobs.c.round, jobs.c.claim, jobs.c.schema_name,
            jobs.c.schema_fingerprint, jobs.c.prompt, jobs.c.model, jobs.c.parameters, jobs.c.context_hash,
            jobs.c.snoozes,
            (jobs.c.deadline_at - now_seconds()).label("seconds_to_deadline"),
        )
    ).all()  # fmt: skip
    if len(claimed) < len(job_ids):
        _unpublish_parked(connection, job_ids)
    spent = _attempts_spent(connection, [row.id for row in claimed])
    found_contexts = _contexts(connection, {row.context_hash for row in claimed if row.context_hash})
    return {
        row.id: ClaimedJob(
            id=row.id,
            batch_id=row.batch_id,
            item_id=row.item_id,
            round=row.round,
            claim=row.claim,
            schema_name=row.schema_name,
            schema_fingerprint=row.schema_fingerprint,
            prompt=row.prompt,
            model=row.model,
            parameters=JobParameters(**row.parameters),
            context=found_contexts.get(row.context_hash),
            spent=spent.get(row.id, {}),
            snoozes=row.snoozes,
            seconds_to_deadline=row.seconds_to_deadline,
        )
        for row in claimed
    }


def not_due_yet(connection: Connection, job_ids: Sequence[str]) -> dict[str, NotDue]:
    """Those whose message came before their time: a countdown ends by the clock of one host, and clocks differ."""
    rows = connection.execute(
        select(jobs.c.id, (jobs.c.not_before - now_seconds()).label("after_seconds")).where(
            jobs.c.id.in_(job_ids), IS_WAITING, jobs.c.not_before > now_seconds()
        )
    )
    return {row.id: NotDue(after_seconds=max(row.after_seconds, 0.0)) for row in rows}


def _unpublish_parked(connection: Connection, job_ids: Sequence[str]) -> None:
    """A parked job's message is dropped: the feeder publishes it again once the account is resumed."""
    parked_batches = select(batches.c.id).where(batches.c.provider.in_(PARKED_ACCOUNTS))
    connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_ids), IS_READY, jobs.c.batch_id.in_(parked_batches))
        .values(published_at=None)
    )


def _attempts_spent(connection: Connection, job_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    if not job_ids:
        return {}
    rows = connection.execute(
        select(attempts.c.job_id, attempts.c.purpose, func.count().label("spent"))
        .join(jobs, (jobs.c.id == attempts.c.job_id) & (jobs.c.round == attempts.c.round))
        .where(attempts.c.job_id.in_(job_ids), attempts.c.ending.in_(SPENT))
        .group_by(attempts.c.job_id, attempts.c.purpose)
    )
    spent: dict[str, dict[str, int]] = {}
    for row in rows:
        spent.setdefault(row.job_id, {})[row.purpose] = row.spent
    return spent


def _contexts(connection: Connection, hashes: set[str]) -> dict[str, Mapping[str, object]]:
    if not hashes:
        return {}
    rows = connection.execute(select(contexts.c.hash, contexts.c.content).where(contexts.c.hash.in_(hashes)))
    return {row.hash: row.content for row in rows}


def release_jobs(
    connection: Connection, releases: Sequence[Release], *, locked: Mapping[str, LockedJob] | None = None
) -> None:
    """Give claims back; one that is no longer current changes nothing. What was to be cancelled ends so."""
    locked = lock_jobs(connection, {release.job_id for release in releases}) if locked is None else locked
    current = [
        release for release in releases if release.job_id in locked and locked[release.job_id].is_held_by(release.claim)
    ]
    held = [locked[release.job_id] for release in current]
    ended = _end(connection, [job for job in held if job.cancel_requested], CANCELLED)
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
        state="ready",
        worker_id=None,
        not_before=func.nullif(_snoozed * (now_seconds() + bindparam("after")), 0),
        published_at=func.nullif(_follows * now_seconds(), 0),
        snoozes=jobs.c.snoozes + _snoozed,
    )
)


def release_all(connection: Connection, *, worker_id: str) -> list[str]:
    """A stopping worker frees every claim it still holds; returns the ids of the jobs that wait again."""
    held = connection.execute(select(jobs.c.id).where(jobs.c.worker_id == worker_id, IS_RUNNING)).scalars()
    return free_claims(connection, list(held), worker_ids={worker_id})


def free_claims(connection: Connection, job_ids: Collection[str], *, worker_ids: Collection[str]) -> list[str]:
    """Take jobs from these workers: ready again, their requests in flight `unknown` in the ledger.

    Returns the ids of the jobs that wait again. What another worker has claimed meanwhile is left alone.
    """
    locked = lock_jobs(connection, job_ids)
    held = [job for job in locked.values() if job.state == "running" and job.worker_id in worker_ids]
    if not held:
        return []
    close_as_unknown(connection, [job.id for job in held])
    ended = _end(connection, [job for job in held if job.cancel_requested], CANCELLED)
    unknown = unknown_attempts(connection, [job.id for job in held])
    deadly = [job for job in held if job.id not in ended and unknown.get(job.id, 0) >= MOST_UNKNOWN_ATTEMPTS]
    ended |= _end(connection, deadly, DEADLY)
    freed = [job.id for job in held if job.id not in ended]
    for some in in_lists(freed):
        connection.execute(
            update(jobs)
            .where(jobs.c.id.in_(some))
            .values(state="ready", worker_id=None, published_at=None, not_before=None)
        )
    return freed


def _end(connection: Connection, held: Sequence[LockedJob], outcome: Failure) -> set[str]:
    endings = [
        JobEnding(
            job_id=job.id,
            batch_id=job.batch_id,
            round=job.round,
            claim=job.claim,
            outcome=outcome,
            model_answered=None,
            is_standin=False,
        )
        for job in held
    ]
    return finish_jobs(connection, endings, locked={job.id: job for job in held}) if endings else set()
