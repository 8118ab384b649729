"""The attempts ledger and the outcomes: every request that was sent, and what became of each job.

A request is opened here just before it is sent and closed when it ends. An outcome is written once per (job, round):
a success is accepted from any claim while the round is unfinished, because it was paid for; a failure needs the
current claim. A late answer closes its ledger row all the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, or_, select, update

from workers.contract.headline import headline
from workers.contract.lane import Lane
from workers.contract.outcome import ENDED_STATES, UNFINISHED_STATES, AttemptEnding, Failure, JobState, Success, Usage
from workers.store.bulk import among, given_rows, selected
from workers.store.fitting import fit_attempt, fit_outcome, result_json
from workers.store.flags import write_flags
from workers.store.sql import in_lists, insert_into, is_sqlite, lock_jobs
from workers.store.tables import attempts, jobs, now_seconds, outcomes
from workers.store.twins import end_followers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection, Row, Table

    from workers.contract.flag import Flag
    from workers.contract.outcome import Outcome
    from workers.store.sql import LockedJob

NO_USAGE = Usage()
USAGE_SUMS = (
    func.sum(attempts.c.prompt_tokens).label("prompt_tokens"),
    func.sum(attempts.c.completion_tokens).label("completion_tokens"),
    func.sum(attempts.c.cached_tokens).label("cached_tokens"),
    func.sum(attempts.c.cache_write_tokens).label("cache_write_tokens"),
    func.sum(attempts.c.reasoning_tokens).label("reasoning_tokens"),
    func.sum(attempts.c.cost_usd).label("cost_usd"),
    func.count(attempts.c.cost_usd).label("priced"),
)
"""Labelled sums over ledger rows; `usage_of` reads them."""


class Purpose(StrEnum):
    """Why a request was sent."""

    GRADE = "grade"
    FALLBACK = "fallback"
    REPAIR = "repair"
    REPEAT = "repeat"
    """Measures the model's scatter; counts as `grade` within its job."""
    COUNTERFACTUAL = "counterfactual"
    """The same work without the passages that seem to address the grader; its answer decides no grade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOpening:
    """A request that is about to be sent."""

    attempt_id: str
    job_id: str
    batch_id: int
    account: str
    """Its batch's (see `workers.contract.account`)."""
    round: int
    claim: int
    worker_id: str
    purpose: Purpose
    model: str
    most_usd: float | None = None
    """The most that it can cost; None where the model has no price."""
    lane: Lane = Lane.LIVE
    submission_id: str | None = None
    """What it is handed over with; None for a live call."""


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
    service_tier: str | None = None
    usage: Usage = NO_USAGE
    cost_usd: float | None = None
    surcharge_usd: float | None = None
    """Part of the cost that is due because the prompt was long."""
    may_be_billed: bool = False
    """Nothing says whether the provider answered it: it counts at the most that it can cost."""


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
    flags: tuple[Flag, ...] = ()
    provenance: Mapping[str, object] | None = field(default=None, repr=False)
    """How this outcome came about, beside what the job's row says; ready for JSON."""


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
            "held_usd": opening.most_usd,
            "lane": None if opening.lane is Lane.LIVE else str(opening.lane),
            "submission_id": opening.submission_id,
        }
        for opening in openings
        if opening.job_id in locked and locked[opening.job_id].is_held_by(opening.claim)
    ]
    if rows:
        # tried again after a commit whose answer was lost with the connection: the rows may be there
        _insert(connection, attempts, rows, at="opened_at", may_exist=True)
    return {str(row["id"]) for row in rows}


def close_attempts(connection: Connection, closings: Sequence[AttemptClosing]) -> None:
    """Close requests; one taken for `unknown` meanwhile is corrected, one closed otherwise stays as it is."""
    rows = [fit_attempt(_closing_row(closing)) for closing in closings]
    if is_sqlite(connection) or len({row["attempt"] for row in rows}) < len(rows):
        connection.execute(_CLOSE, rows)
        return
    values = given_rows(attempts, rows, key="attempt")
    attempt, held = values.pop("attempt"), values.pop("held_usd")
    connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt, IS_CORRECTED)
        .values(closed_at=now_seconds(), held_usd=func.coalesce(held, attempts.c.held_usd), **values)
    )


def _closing_row(closing: AttemptClosing) -> dict[str, object]:
    return {
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
        "cache_write_tokens": closing.usage.cache_write_tokens,
        "service_tier": closing.service_tier,
        "cost_usd": closing.cost_usd,
        "surcharge_usd": closing.surcharge_usd,
        "held_usd": counted_usd(closing),
    }


def counted_usd(closing: AttemptClosing) -> float | None:
    """What a request that ended so counts for; None leaves its upper bound: its cost is not known, or may be due."""
    if closing.cost_usd is not None:
        return closing.cost_usd
    if closing.may_be_billed or closing.ending in _COST_UNKNOWN:
        return None
    return 0.0


_COST_UNKNOWN = frozenset({AttemptEnding.ANSWERED, AttemptEnding.UNKNOWN, AttemptEnding.TIMED_OUT})
IS_CORRECTED = or_(attempts.c.ending.is_(None), attempts.c.ending == str(AttemptEnding.UNKNOWN))
_CLOSE = (
    update(attempts)
    .where(attempts.c.id == bindparam("attempt"), IS_CORRECTED)
    .values(
        {
            name: bindparam(name)
            for name in (
                "ending", "status_code", "message", "wait_seconds", "parameters_sent", "request_id", "model_answered",
                "system_fingerprint", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens",
                "cache_write_tokens", "service_tier", "cost_usd", "surcharge_usd",
            )
        }
        | {"closed_at": now_seconds(), "held_usd": func.coalesce(bindparam("held_usd"), attempts.c.held_usd)}
    )
)  # fmt: skip


def close_as_unknown(connection: Connection, job_ids: Collection[str]) -> None:
    """Nobody will report how these jobs' requests in flight ended; each may have been billed."""
    for some in in_lists(job_ids):
        connection.execute(
            update(attempts)
            .where(among(connection, attempts.c.job_id, some), attempts.c.ending.is_(None))
            .values(ending=str(AttemptEnding.UNKNOWN), closed_at=now_seconds())
        )


def unknown_attempts(connection: Connection, job_ids: Collection[str]) -> dict[str, int]:
    """How many requests of each job's present round were left unknown; jobs without one are absent."""
    counts: dict[str, int] = {}
    for some in in_lists(job_ids):
        rows = connection.execute(
            select(attempts.c.job_id, func.count().label("unknown"))
            .join(jobs, (jobs.c.id == attempts.c.job_id) & (jobs.c.round == attempts.c.round))
            .where(among(connection, attempts.c.job_id, some), attempts.c.ending == str(AttemptEnding.UNKNOWN))
            .group_by(attempts.c.job_id)
        )
        counts.update((row.job_id, row.unknown) for row in rows)
    return counts


def usage_of(row: Row[Any]) -> Usage:
    """The tokens in a row of `USAGE_SUMS`."""
    return Usage(
        prompt_tokens=int(row.prompt_tokens or 0),
        completion_tokens=int(row.completion_tokens or 0),
        cached_tokens=int(row.cached_tokens or 0),
        cache_write_tokens=int(row.cache_write_tokens or 0),
        reasoning_tokens=int(row.reasoning_tokens or 0),
    )


def finish_jobs(
    connection: Connection, endings: Sequence[JobEnding], *, locked: Mapping[str, LockedJob] | None = None
) -> set[str]:
    """Store outcomes and end their jobs with their followers; returns the ids whose outcome was accepted.

    Happening twice is harmless.
    """
    locked = lock_jobs(connection, {ending.job_id for ending in endings}) if locked is None else locked
    accepted: dict[str, JobEnding] = {}
    for ending in endings:
        job = locked.get(ending.job_id)
        if job is None or job.round != ending.round or job.state not in UNFINISHED_STATES:
            continue
        if isinstance(ending.outcome, Failure) and not job.is_held_by(ending.claim):
            continue
        accepted.setdefault(ending.job_id, ending)
    if accepted:
        _insert(connection, outcomes, [*map(_outcome_row, accepted.values())], at="finished_at")
        write_flags(connection, accepted.values())
        for ended in ENDED_STATES:
            _finish(connection, [job_id for job_id, ending in accepted.items() if _ended(ending) == ended], ended)
        end_followers(connection, accepted)
    return set(accepted)


def _finish(connection: Connection, job_ids: Sequence[str], ended: str) -> None:
    for some in in_lists(job_ids):
        connection.execute(
            update(jobs)
            .where(among(connection, jobs.c.id, some))
            .values(
                state=ended,
                worker_id=None,
                not_before=None,
                cancel_requested=False,
                kept_answer=None,
                finished_at=now_seconds(),
            )
        )


def _insert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, at: str, may_exist: bool = False
) -> None:
    insertion = insert_into(connection, table)
    if may_exist:
        insertion = insertion.on_conflict_do_nothing(index_elements=list(table.primary_key))
    if is_sqlite(connection):
        connection.execute(insertion.values(**{at: now_seconds()}), rows)
        return
    names, query = selected(given_rows(table, rows), **{at: now_seconds()})
    connection.execute(insertion.from_select(names, query))


def _ended(ending: JobEnding) -> str:
    return JobState.SUCCEEDED if isinstance(ending.outcome, Success) else JobState.FAILED


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
        "provenance": ending.provenance,
        "points": None,
    }
    match ending.outcome:
        case Success() as success:
            row["result"] = written = result_json(success)
            row["points"] = headline(json.loads(written))
        case Failure() as failure:
            row["failure_kind"] = str(failure.kind)
            row["failure_message"] = failure.message
            row["raw_output"] = failure.raw_output
            row["validation_errors"] = [dict(error) for error in failure.validation_errors] or None
            row["refusal"] = failure.refusal
    return fit_outcome(row)
