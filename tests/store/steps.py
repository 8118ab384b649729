"""The steps of a job's life as tests take them, one transaction each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import RootModel
from sqlalchemy import func, select, text, update

from workers.contract.job import JobParameters, JobSpec
from workers.contract.outcome import AttemptEnding, Failure, FailureKind, Success, Usage
from workers.store.admission import lock_gates
from workers.store.claims import ClaimedJob, claim_jobs
from workers.store.enqueue import EnqueueReport, NewJob, add_jobs, open_batch
from workers.store.feed import Feed, due_jobs, mark_published
from workers.store.job_update import JobUpdate, apply_updates
from workers.store.ledger import AttemptClosing, AttemptOpening, JobEnding, Purpose, open_attempts
from workers.store.liveness import register_worker
from workers.store.sql import lock_jobs, new_id
from workers.store.tables import attempts, jobs, outcomes, workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Row

    from workers.contract.flag import Flag
    from workers.store import Store
    from workers.store.releases import Release

FEED = Feed("bulk", "p")


class Answer(RootModel[dict[str, int]]):
    """Any validated answer."""


def new_job(item_id: str, *, prompt: str = "grade this", twin_key: str | None = None, **parameters: Any) -> NewJob:
    spec = JobSpec(id=item_id, prompt=prompt, schema="s", model="m", parameters=JobParameters(**parameters))
    return NewJob(spec=spec, schema_fingerprint="f", twin_key=twin_key)


def enqueue(store: Store, new_jobs: Iterable[NewJob] | int, *, name: str = "b", provider: str = "p") -> EnqueueReport:
    batch = open_batch(store, name=name, provider=provider, queue="bulk")
    if isinstance(new_jobs, int):
        new_jobs = [new_job(f"{name}{number}") for number in range(new_jobs)]
    return add_jobs(store, batch, new_jobs)


def publish(store: Store, *, at_most: int = 1000, feed: Feed = FEED) -> list[str]:
    """Mark due rows published, in order."""
    with store.snapshot() as connection:
        chosen = due_jobs(connection, feed, at_most=at_most)
    marked = store.run(lambda connection: mark_published(connection, chosen))
    return [publication.job_id for publication in marked]


def claim(store: Store, job_ids: Sequence[str], worker: str = "w1") -> dict[str, ClaimedJob]:
    return store.run(lambda connection: claim_jobs(connection, job_ids, worker_id=worker))


def claimed(store: Store, count: int = 1, worker: str = "w1", **parameters: Any) -> list[ClaimedJob]:
    """New jobs, enqueued, published and claimed."""
    enqueue(store, [new_job(new_id(), **parameters) for _ in range(count)])
    ids = publish(store)
    found = claim(store, ids, worker)
    return [found[job_id] for job_id in ids]


def register(store: Store, worker: str, *, silent_seconds: float = 0.0) -> None:
    """A worker whose last heartbeat lies so far back."""
    with store.transaction() as connection:
        register_worker(connection, worker_id=worker, hostname="h", pid=1, queues="bulk")
        connection.execute(
            update(workers).where(workers.c.id == worker).values(heartbeat_at=workers.c.heartbeat_at - silent_seconds)
        )


def opening(job: ClaimedJob, worker: str = "w1", *, most_usd: float | None = None) -> AttemptOpening:
    return AttemptOpening(
        attempt_id=new_id(),
        job_id=job.id,
        batch_id=job.batch_id,
        account=job.account,
        round=job.round,
        claim=job.claim,
        worker_id=worker,
        purpose=Purpose.GRADE,
        model=job.model,
        most_usd=most_usd,
    )


def send(store: Store, job: ClaimedJob, worker: str = "w1", *, most_usd: float | None = None) -> str | None:
    """Open a request in the ledger; None when the claim was lost."""
    sent = opening(job, worker, most_usd=most_usd)
    opened = store.run(lambda connection: open_attempts(connection, [sent]))
    return sent.attempt_id if sent.attempt_id in opened else None


def answered(attempt_id: str, *, cost_usd: float | None = 0.5) -> AttemptClosing:
    usage = Usage(prompt_tokens=10, completion_tokens=5)
    return AttemptClosing(attempt_id=attempt_id, ending=AttemptEnding.ANSWERED, usage=usage, cost_usd=cost_usd)


def success(job: ClaimedJob, grade: int = 1, *, flags: tuple[Flag, ...] = ()) -> JobEnding:
    return replace(_ending(job, Success(Answer({"grade": grade}))), flags=flags)


def failure(job: ClaimedJob, kind: FailureKind = FailureKind.REFUSED) -> JobEnding:
    return _ending(job, Failure(kind=kind, message="no"))


def _ending(job: ClaimedJob, outcome: Success | Failure) -> JobEnding:
    return JobEnding(
        job_id=job.id,
        batch_id=job.batch_id,
        round=job.round,
        claim=job.claim,
        outcome=outcome,
        model_answered="m",
        is_standin=False,
    )


def persist(
    store: Store,
    *,
    closing: AttemptClosing | None = None,
    ending: JobEnding | None = None,
    release: Release | None = None,
    kept: JobEnding | None = None,
    heard_batch: int | None = None,
) -> bool:
    """Store the end of an attempt; true when its outcome was accepted."""
    update = JobUpdate(closing=closing, ending=ending, release=release, kept=kept, heard_batch=heard_batch)
    return bool(store.run(lambda connection: _apply(connection, update)))


def _apply(connection: Connection, update: JobUpdate) -> set[str]:
    closings = [update.closing] if update.closing else []
    heard = [] if update.heard_batch is None else [update.heard_batch]
    gates = lock_gates(connection, closings=closings, endings=[update.ending] if update.ending else [], heard=heard)
    locked = lock_jobs(connection, update.job_ids)
    accepted = apply_updates(connection, [update], locked=locked, gates=gates)
    gates.write()
    return accepted


def job_row(store: Store, job_id: str) -> Row[Any]:
    with store.snapshot() as connection:
        return connection.execute(select(jobs).where(jobs.c.id == job_id)).one()


def states(store: Store) -> dict[str, int]:
    with store.snapshot() as connection:
        rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
        return {state: count for state, count in rows}  # noqa: C416 - a Row is no pair to the type checker


def endings(store: Store) -> dict[str | None, int]:
    """Requests in the ledger by ending."""
    with store.snapshot() as connection:
        rows = connection.execute(select(attempts.c.ending, func.count()).group_by(attempts.c.ending))
        return {ending: count for ending, count in rows}  # noqa: C416


def outcome_rows(store: Store) -> list[Row[Any]]:
    with store.snapshot() as connection:
        return list(connection.execute(select(outcomes).order_by(outcomes.c.job_id, outcomes.c.round)))


def move_clock(store: Store, table: str, column: str, seconds: float) -> None:
    """Let a stored time lie so many seconds further back, as if they had passed."""
    with store.transaction() as connection:
        connection.execute(text(f"UPDATE {table} SET {column} = {column} - {seconds}"))
