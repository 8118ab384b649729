"""The attempts ledger and the outcomes: every request that was sent, and what became of each job.

A request is opened here just before it is sent and closed when it ends. An outcome is written once per (job, round):
a success is accepted from any claim while the round is unfinished, because it was paid for; a failure needs the
current claim. A late answer closes its ledger row all the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, func, null, or_, select, update

from workers.contract.headline import headline
from workers.contract.lane import Lane
from workers.contract.outcome import ENDED_STATES, UNFINISHED_STATES, AttemptEnding, Failure, JobState, Success, Usage
from workers.store.bulk import among, among_given, given_columns, given_list, insert_columns, parameters, varying
from workers.store.compiled import Compiled
from workers.store.fitting import fitted_columns, result_json
from workers.store.flags import write_flags
from workers.store.sql import in_lists, is_sqlite, lock_jobs
from workers.store.tables import attempts, jobs, now_seconds, outcomes
from workers.store.twins import end_followers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection, Row

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
    kept = [each for each in openings if each.job_id in locked and locked[each.job_id].is_held_by(each.claim)]
    if not kept:
        return set()
    columns: dict[str, list[Any]] = {
        "id": [each.attempt_id for each in kept],
        "job_id": [each.job_id for each in kept],
        "batch_id": [each.batch_id for each in kept],
        "round": [each.round for each in kept],
        "claim": [each.claim for each in kept],
        "worker_id": [each.worker_id for each in kept],
        "purpose": [str(each.purpose) for each in kept],
        "model": [each.model for each in kept],
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"), [0] * len(kept)),
        "held_usd": [each.most_usd for each in kept],
        "lane": [None if each.lane is Lane.LIVE else str(each.lane) for each in kept],
        "submission_id": [each.submission_id for each in kept],
    }
    # tried again after a commit whose answer was lost with the connection: the rows may be there
    insert_columns(connection, attempts, columns, at="opened_at", may_exist=True)
    return set(columns["id"])


def close_attempts(connection: Connection, closings: Sequence[AttemptClosing]) -> None:
    """Close requests; one taken for `unknown` meanwhile is corrected, one closed otherwise stays as it is."""
    ids = [each.attempt_id for each in closings]
    if not is_sqlite(connection) and len(set(ids)) < len(ids):  # each one by itself: the first known end holds
        for closing in closings:
            close_attempts(connection, [closing])
        return
    usages = [each.usage for each in closings]
    columns = {"attempt": ids} | fitted_columns(
        attempts,
        {
            "ending": [str(each.ending) for each in closings],
            "status_code": [each.status_code for each in closings],
            "message": [each.message for each in closings],
            "wait_seconds": [each.wait_seconds for each in closings],
            "parameters_sent": [each.parameters_sent and dict(each.parameters_sent) for each in closings],
            "request_id": [each.request_id for each in closings],
            "model_answered": [each.model_answered for each in closings],
            "system_fingerprint": [each.system_fingerprint for each in closings],
            "prompt_tokens": [each.prompt_tokens for each in usages],
            "completion_tokens": [each.completion_tokens for each in usages],
            "cached_tokens": [each.cached_tokens for each in usages],
            "reasoning_tokens": [each.reasoning_tokens for each in usages],
            "cache_write_tokens": [each.cache_write_tokens for each in usages],
            "service_tier": [each.service_tier for each in closings],
            "cost_usd": [each.cost_usd for each in closings],
            "surcharge_usd": [each.surcharge_usd for each in closings],
            "held_usd": [*map(counted_usd, closings)],
        },
    )
    if is_sqlite(connection):
        _closing(tuple(columns), None).execute_many(connection, columns)
        return
    several = varying(columns)
    _closing(tuple(columns), several).execute(connection, parameters(columns, several))


@cache
def _closing(names: tuple[str, ...], several: tuple[str, ...] | None) -> Compiled:
    """Of one row (SQLite), or of those in which these columns differ (PostgreSQL)."""
    if several is None:
        values: dict[str, Any] = {name: bindparam(f"all_{name}", type_=_sent_as(name)) for name in names}
    else:
        values = given_columns(attempts, names, several, key="attempt")
    attempt, held = values.pop("attempt"), values.pop("held_usd")
    return Compiled(
        update(attempts)
        .where(attempts.c.id == attempt, IS_CORRECTED)
        .values(closed_at=now_seconds(), held_usd=func.coalesce(held, attempts.c.held_usd), **values)
    )


def _sent_as(name: str) -> Any:
    return Text() if name in {"attempt", "parameters_sent"} else attempts.c[name].type


def counted_usd(closing: AttemptClosing) -> float | None:
    """What a request that ended so counts for; None leaves its upper bound: its cost is not known, or may be due."""
    if closing.cost_usd is not None:
        return closing.cost_usd
    if closing.may_be_billed or closing.ending in _COST_UNKNOWN:
        return None
    return 0.0


_COST_UNKNOWN = frozenset({AttemptEnding.ANSWERED, AttemptEnding.UNKNOWN, AttemptEnding.TIMED_OUT})
IS_CORRECTED = or_(attempts.c.ending.is_(None), attempts.c.ending == str(AttemptEnding.UNKNOWN))


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
        insert_columns(connection, outcomes, _outcome_columns([*accepted.values()]), at="finished_at")
        write_flags(connection, accepted.values())
        for ended in ENDED_STATES:
            _finish(connection, [job_id for job_id, ending in accepted.items() if _ends_as(ending) == ended], ended)
        end_followers(connection, accepted)
    return set(accepted)


def _finish(connection: Connection, job_ids: Sequence[str], ended: str) -> None:
    if job_ids:
        _ended(connection.dialect.name).execute(
            connection, {"ended": ended, "job_ids": given_list(connection, job_ids)}
        )


@cache
def _ended(dialect_name: str) -> Compiled:
    return Compiled(
        update(jobs)
        .where(among_given(jobs.c.id, bindparam("job_ids"), dialect_name))
        .values(
            state=bindparam("ended"),
            worker_id=None,
            not_before=None,
            cancel_requested=False,
            kept_answer=null(),
            finished_at=now_seconds(),
        )
    )


def _ends_as(ending: JobEnding) -> str:
    return str(JobState.SUCCEEDED if isinstance(ending.outcome, Success) else JobState.FAILED)


def _outcome_columns(endings: Sequence[JobEnding]) -> dict[str, list[Any]]:
    failures = [each.outcome if isinstance(each.outcome, Failure) else None for each in endings]
    results = [result_json(each.outcome) if isinstance(each.outcome, Success) else None for each in endings]
    plain: dict[str, list[Any]] = {
        "job_id": [each.job_id for each in endings],
        "round": [each.round for each in endings],
        "batch_id": [each.batch_id for each in endings],
        "claim": [each.claim for each in endings],
        "result": results,
    }
    return plain | fitted_columns(
        outcomes,
        {
            "failure_kind": [each and str(each.kind) for each in failures],
            "failure_message": [each and each.message for each in failures],
            "raw_output": [each and each.raw_output for each in failures],
            "validation_errors": [each and ([*map(dict, each.validation_errors)] or None) for each in failures],
            "refusal": [each and each.refusal for each in failures],
            "model_answered": [each.model_answered for each in endings],
            "is_standin": [each.is_standin for each in endings],
            "provenance": [each.provenance for each in endings],
            "points": [None if each is None else headline(json.loads(each)) for each in results],
        },
    )
