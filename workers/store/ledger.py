"""The attempts ledger and the outcomes: every request that was sent, and what became of each job.

A request is opened here just before it is sent and closed when it ends. An outcome is written once per (job, round):
a success is accepted from any claim while the round is unfinished, because it was paid for; a failure needs the
current claim. A late answer closes its ledger row all the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from workers.contract.outcome import AttemptEnding, Failure, Success, Usage
from workers.store.rows import in_lists, lock_jobs
from workers.store.tables import attempts, jobs, now_seconds, outcomes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from workers.contract.outcome import Outcome
    from workers.store.rows import LockedJob

NO_USAGE = Usage()


class Purpose(StrEnum):
    """Why a request was sent."""

    GRADE = "grade"
    FALLBACK = "fallback"
    REPAIR = "repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOpening:
    """A request that is about to be sent."""

    attempt_id: str
    job_id: str
    batch_id: int
    round: int
    claim: int
    worker_id: str
    purpose: Purpose
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptClosing:
    """How a request ended. `message` is safe to show: it holds neither prompt nor answer."""

    attempt_id: str
    ending: AttemptEnding
    status_code: int | None = None
    message: str | None = None
    wait_seconds: float | None = None
    parameters_sent: Mapping[str, object] | None = None
    request_id: str | None = None
    model_answered: str | None = None
    system_fingerprint: str | None = None
    usage: Usage = NO_USAGE
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnding:
    """The outcome of one job's round, as one claim of it saw it."""

    job_id: str
    batch_id: int
    round: int
    claim: int
    outcome: Outcome = field(repr=False)
    model_answered: str | None
    is_standin: bool


def open_attempts(
    connection: Connection, openings: Sequence[AttemptOpening], *, locked: Mapping[str, LockedJob] | None = None
) -> set[str]:
    """Write the rows of requests about to be sent, in one statement; returns the ids of those that may be sent.

    A claim that was lost meanwhile may send nothing: its job is somebody else's, who would pay for it again.
    """
    locked = lock_jobs(connection, {opening.job_id for opening in openings}) if locked is None else locked
    rows = [
        {
            "id": opening.attempt_id,
            "job_id": opening.job_id,
            "batch_id": opening.batch_id,
            "round": opening.round,
            "claim": opening.claim,
            "worker_id": opening.worker_id,
            "purpose": str(opening.purpose),
            "model": opening.model,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "cached_tokens": 0,
            "reasoning_tokens": 0,
        }
        for opening in openings
        if opening.job_id in locked and locked[opening.job_id].is_held_by(opening.claim)
    ]
    if rows:
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        # tried again after a commit whose answer was lost with the connection: the rows may be there
        statement = dialect.insert(attempts).values(opened_at=now_seconds()).on_conflict_do_nothing()
        connection.execute(statement, rows)
    return {str(row["id"]) for row in rows}


def close_attempts(connection: Connection, closings: Sequence[AttemptClosing]) -> None:
    """Close requests; one taken for `unknown` meanwhile is corrected, one closed otherwise stays as it is."""
    connection.execute(
        _CLOSE,
        [
            {
                "attempt": closing.attempt_id,
                "ending": str(closing.ending),
                "status_code": closing.status_code,
                "message": closing.message,
                "wait_seconds": closing.wait_seconds,
                "parameters_sent": dict(closing.parameters_sent) if closing.parameters_sent is not None else None,
                "request_id": closing.request_id,
                "model_answered": closing.model_answered,
                "system_fingerprint": closing.system_fingerprint,
                "prompt_tokens": closing.usage.prompt_tokens,
                "completion_tokens": closing.usage.completion_tokens,
                "cached_tokens": closing.usage.cached_tokens,
                "reasoning_tokens": closing.usage.reasoning_tokens,
                "cost_usd": closing.cost_usd,
            }
            for closing in closings
        ],
    )


_CLOSE = (
    update(attempts)
    .where(
        attempts.c.id == bindparam("attempt"),
        or_(attempts.c.ending.is_(None), attempts.c.ending == str(AttemptEnding.UNKNOWN)),
    )
    .values(closed_at=now_seconds())
)


def close_as_unknown(connection: Connection, job_ids: Collection[str]) -> None:
    """Nobody will tell how these jobs' requests in flight ended; each may have been billed."""
    for some in in_lists(job_ids):
        connection.execute(
            update(attempts)
            .where(attempts.c.job_id.in_(some), attempts.c.ending.is_(None))
            .values(ending=str(AttemptEnding.UNKNOWN), closed_at=now_seconds())
        )


def unknown_attempts(connection: Connection, job_ids: Collection[str]) -> dict[str, int]:
    """How many requests of each job's present round were left unknown; jobs without one are absent."""
    counts: dict[str, int] = {}
    for some in in_lists(job_ids):
        rows = connection.execute(
            select(attempts.c.job_id, func.count().label("unknown"))
            .join(jobs, (jobs.c.id == attempts.c.job_id) & (jobs.c.round == attempts.c.round))
            .where(attempts.c.job_id.in_(some), attempts.c.ending == str(AttemptEnding.UNKNOWN))
            .group_by(attempts.c.job_id)
        )
        counts.update((row.job_id, row.unknown) for row in rows)
    return counts


def finish_jobs(
    connection: Connection, endings: Sequence[JobEnding], *, locked: Mapping[str, LockedJob] | None = None
) -> set[str]:
    """Store outcomes and end their jobs; returns the ids whose outcome was accepted. Happening twice is harmless."""
    locked = lock_jobs(connection, {ending.job_id for ending in endings}) if locked is None else locked
    accepted: dict[str, JobEnding] = {}
    for ending in endings:
        job = locked.get(ending.job_id)
        if job is None or job.round != ending.round or job.state not in {"ready", "running"}:
            continue
        if isinstance(ending.outcome, Failure) and not job.is_held_by(ending.claim):
            continue
        accepted.setdefault(ending.job_id, ending)
    if accepted:
        connection.execute(insert(outcomes).values(finished_at=now_seconds()), [*map(_outcome_row, accepted.values())])
        connection.execute(_FINISH, [*map(_finish_row, accepted.values())])
    return set(accepted)


_FINISH = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(
        state=bindparam("ended"), worker_id=None, not_before=None, cancel_requested=False, finished_at=now_seconds()
    )
)


def _finish_row(ending: JobEnding) -> dict[str, object]:
    return {"job": ending.job_id, "ended": "succeeded" if isinstance(ending.outcome, Success) else "failed"}


def _outcome_row(ending: JobEnding) -> dict[str, object]:
    row: dict[str, object] = {
        "job_id": ending.job_id,
        "round": ending.round,
        "batch_id": ending.batch_id,
        "claim": ending.claim,
        "result": None,
        "failure_kind": None,
        "failure_message": None,
        "raw_output": None,
        "validation_errors": None,
        "refusal": None,
        "model_answered": ending.model_answered,
        "is_standin": ending.is_standin,
    }
    match ending.outcome:
        case Success(value):
            row["result"] = json.dumps(value.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
        case Failure() as failure:
            row["failure_kind"] = str(failure.kind)
            row["failure_message"] = failure.message
            row["raw_output"] = failure.raw_output
            row["validation_errors"] = [dict(error) for error in failure.validation_errors] or None
            row["refusal"] = failure.refusal
    return row
