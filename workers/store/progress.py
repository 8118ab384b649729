"""The progress of batches: counts, spending, pace. Read-only."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, literal, literal_column, select

from workers.contract.outcome import ENDED_STATES, AttemptEnding, FailureKind, JobState, Usage
from workers.contract.wire import broker_queue
from workers.store.counted import (
    Findings,
    Spending,
    Tallied,
    count_deferred,
    count_findings,
    count_jobs,
    read_tallied,
    sum_spending,
)
from workers.store.identity import read_store_id
from workers.store.lane_tables import batch_lanes
from workers.store.lanes.overview import LaneLook, read_lanes
from workers.store.sql import IS_READY
from workers.store.tables import attempts, batches, jobs, now_seconds, outcomes
from workers.store.tallies import attempt_tallies, finding_tallies, job_tallies
from workers.store.worker_reports import queues_now

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

    from workers.contract.flag import FlagKind


PACE_SECONDS = 60.0
"""The pace is that of the last minute: long enough for slow models, short enough to notice a stall."""
MOST_PACED = 500
"""Of one batch's ends in that minute the newest count: more add nothing, and cost more the faster a batch moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a batch moves now."""

    jobs_per_second: float | None
    """None until two jobs finished within the last minute."""
    live_workers: int
    """Worker processes that serve the batch's queue."""
    next_due_seconds: float | None
    """Until the first deferred job is due; None when none is deferred."""


def read_paces(connection: Connection, rows: Sequence[Row[Any]], deferred: Collection[int]) -> dict[int, Pace]:
    """How these rows of `batches` move now, by batch id.

    Three queries, and one for each of those that have deferred jobs, whose ids are `deferred`.
    """
    now = connection.execute(select(now_seconds())).scalar_one()
    served = queues_now(connection, now)
    store_id = read_store_id(connection)
    recent = {batch_id: (finished, first) for batch_id, finished, first in connection.execute(_ends(rows, now))}
    paces = {}
    for row in rows:
        finished, first = recent.get(row.id, (0, now))
        next_due = _next_due(connection, row.id, now) if row.id in deferred else None
        paces[row.id] = Pace(
            jobs_per_second=(finished - 1) / (now - first) if finished > 1 and now > first else None,
            live_workers=served.count(broker_queue(row.queue, row.provider, store_id)),
            next_due_seconds=None if next_due is None else next_due - now,
        )
    return paces


def _ends(rows: Sequence[Row[Any]], now: float) -> Select[Any]:
    """Batch id, number of ends in the last minute and the first of them; of one batch, of its newest ends."""
    if len(rows) == 1:
        newest = newest_ends(rows[0].id, now).subquery()
        return select(literal(rows[0].id), func.count(), func.min(newest.c.finished_at)).having(func.count() > 0)
    return (
        select(outcomes.c.batch_id, func.count(), func.min(outcomes.c.finished_at))
        .where(outcomes.c.batch_id.in_([row.id for row in rows]), outcomes.c.finished_at > now - PACE_SECONDS)
        .group_by(outcomes.c.batch_id)
    )


def newest_ends(batch_id: int, now: float) -> Select[Any]:
    """When the jobs of a batch ended, in the last minute: the newest, as many as its pace needs."""
    return (
        select(outcomes.c.finished_at)
        .where(outcomes.c.batch_id == batch_id, outcomes.c.finished_at > now - PACE_SECONDS)
        .order_by(outcomes.c.finished_at.desc())
        .limit(MOST_PACED)
    )


def _next_due(connection: Connection, batch_id: int, now: float) -> float | None:
    due: float | None = connection.execute(
        select(func.min(jobs.c.not_before)).where(
            jobs.c.batch_id == batch_id, IS_READY, jobs.c.not_before > now, jobs.c.lane.is_(None)
        )
    ).scalar()
    return due


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What was paid for twice, or may have been: the price of at-least-once."""

    repeated: int
    """Requests sent although an earlier claim's request of the same round had been answered, or left unknown."""
    repeated_cost_usd: float | None
    """Of these; None when one of their prices is unknown."""
    unknown: int
    """Requests whose worker died or was stopped: each may have been billed."""
    unknown_cost_usd: float | None
    """Estimated, at the mean cost of the batch's answers; None when that is unknown."""
    unknown_most_usd: float | None = 0.0
    """The most that these can have cost: what is due lies between nothing and this; None when a price is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Where a batch stands, in counts. `waiting` holds the deferred jobs too."""

    batch: str
    provider: str
    queue: str
    total: int
    waiting: int
    deferred: int
    running: int
    succeeded: int
    failed: int
    failures: Mapping[FailureKind, int]
    flags: Mapping[FlagKind, int]
    """Jobs that carry each kind of flag in their current round."""
    followers: int
    """Jobs whose work another job of the batch has too: they take its outcome, and are counted above with it."""
    attempts: Mapping[str, int]
    """Requests by ending; `open` are in flight."""
    usage: Usage
    cost_usd: float | None
    """None when the price of one answer at least is unknown."""
    created_at: float

    @property
    def finished(self) -> int:
        """Jobs with an outcome in their current round."""
        return self.succeeded + self.failed

    @property
    def is_finished(self) -> bool:
        """True when nothing of the batch waits or runs."""
        return self.finished == self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Counts):
    """The counts, and what was paid for twice."""

    repeats: Repeats
    lanes: tuple[LaneLook, ...] = ()
    """Where its jobs are that may wait for a cheaper answer, the slowest lane first."""


def read_progress(connection: Connection, name: str) -> Progress | None:
    """Where the batch of this name stands now, or None when there is none."""
    batch = connection.execute(select(batches).where(batches.c.name == name)).one_or_none()
    return None if batch is None else read_each_progress(connection, [batch])[0]


def read_each_progress(connection: Connection, rows: Sequence[Row[Any]]) -> list[Progress]:
    """Where these rows of `batches`, at most `LIST_LENGTH`, stand now.

    Five queries, and a few for each that has lanes, deferred jobs or an enqueue under way.
    """
    tallied = _Tallies.read(connection, rows)
    repeated = _read_repeated(connection, list(tallied.jobs))
    with_lanes = set(
        connection.execute(
            select(batch_lanes.c.batch_id).where(batch_lanes.c.batch_id.in_(list(tallied.jobs)))
        ).scalars()
    )
    found = []
    for row in rows:
        counts, _findings, spending = _counts(connection, row, tallied)
        shared = {each.name: getattr(counts, each.name) for each in fields(Counts)}
        lanes = read_lanes(connection, row.id, row.name, row.provider) if row.id in with_lanes else ()
        found.append(Progress(**shared, repeats=_repeats(repeated.get(row.id), spending), lanes=lanes))
    return found


def read_counts(connection: Connection, batch: Row[Any]) -> tuple[Counts, Findings, Spending]:
    """The counts of this row of `batches`, with the findings and the spending that they were made of."""
    return _counts(connection, batch, _Tallies.read(connection, [batch]))


@dataclass(frozen=True, slots=True)
class _Tallies:
    jobs: Tallied
    attempts: Tallied
    findings: Tallied

    @classmethod
    def read(cls, connection: Connection, rows: Sequence[Row[Any]]) -> _Tallies:
        ids = [row.id for row in rows]
        return cls(*(read_tallied(connection, each, ids) for each in (job_tallies, attempt_tallies, finding_tallies)))


def _counts(connection: Connection, batch: Row[Any], tallied: _Tallies) -> tuple[Counts, Findings, Spending]:
    jobs_now = count_jobs(connection, batch.id, batch.opened, rows=tallied.jobs[batch.id])
    findings = count_findings(connection, batch.id, batch.opened, jobs_now, tallied.findings[batch.id])
    spending = sum_spending(tallied.attempts[batch.id])
    counts = Counts(
        batch=batch.name,
        provider=batch.provider,
        queue=batch.queue,
        total=jobs_now.total,
        waiting=jobs_now.waiting,
        deferred=count_deferred(connection, batch.id, jobs_now),
        running=jobs_now.by_state.get(JobState.RUNNING, 0),
        succeeded=jobs_now.by_state.get(JobState.SUCCEEDED, 0),
        failed=jobs_now.by_state.get(JobState.FAILED, 0),
        failures=findings.failures,
        flags=findings.flags,
        followers=jobs_now.followers,
        attempts=spending.requests,
        usage=spending.usage,
        cost_usd=spending.cost_usd,
        created_at=batch.created_at,
    )
    return counts, findings, spending


def _read_repeated(connection: Connection, batch_ids: Collection[int]) -> dict[int, Row[Any]]:
    """Requests of a second claim and later ones, which an index of their own finds, by batch id."""
    earlier = attempts.alias("earlier")
    paid_before = exists(
        select(earlier.c.id).where(
            earlier.c.job_id == attempts.c.job_id,
            earlier.c.round == attempts.c.round,
            earlier.c.claim < attempts.c.claim,
            earlier.c.ending.in_((str(AttemptEnding.ANSWERED), str(AttemptEnding.UNKNOWN))),
        )
    )
    answered = attempts.c.ending == str(AttemptEnding.ANSWERED)
    rows = connection.execute(
        select(
            attempts.c.batch_id,
            func.count().label("repeated"),
            func.count().filter(answered).label("answered"),
            func.count(attempts.c.cost_usd).filter(answered).label("priced"),
            func.coalesce(func.sum(attempts.c.cost_usd), 0.0).label("cost_usd"),
        )
        .where(attempts.c.batch_id.in_(batch_ids), attempts.c.claim > literal_column("1"), paid_before)
        .group_by(attempts.c.batch_id)
    )
    return {row.batch_id: row for row in rows}


def _repeats(row: Row[Any] | None, spending: Spending) -> Repeats:
    unknown = spending.may_be_billed
    answers = spending.requests.get(AttemptEnding.ANSWERED, 0)
    mean_usd = spending.cost_usd / answers if spending.cost_usd is not None and answers else None
    is_priced = row is None or row.priced == row.answered
    return Repeats(
        repeated=0 if row is None else row.repeated,
        repeated_cost_usd=None if not is_priced else 0.0 if row is None else row.cost_usd,
        unknown=unknown,
        unknown_cost_usd=0.0 if not unknown else None if mean_usd is None else unknown * mean_usd,
        unknown_most_usd=spending.most_usd_of_these,
    )


LATE_SECONDS = 60.0
"""No transaction of ours stays open for so long: what ended longer ago has been visible since."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has ended, in the round in which it did."""

    position: int
    job_id: str
    round: int
    finished_at: float


def ended_jobs(connection: Connection, name: str, *, since: float | None, after: int = -1, at_most: int) -> list[Ended]:
    """The next jobs that have ended, in input order, behind the position `after`.

    All, or those of which that became visible after a look at `since`; some from before it are among them.
    """
    statement = (
        select(jobs.c.position, jobs.c.id, jobs.c.round, outcomes.c.finished_at)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .join(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .where(
            batches.c.name == name,
            jobs.c.state.in_(ENDED_STATES),
            jobs.c.position < batches.c.opened,
            jobs.c.position > after,
        )
        .order_by(jobs.c.position)
        .limit(at_most)
    )
    if since is not None:
        of_batch = select(batches.c.id).where(batches.c.name == name).scalar_subquery()
        statement = statement.where(outcomes.c.batch_id == of_batch, outcomes.c.finished_at > since - LATE_SECONDS)
    return [Ended(*row) for row in connection.execute(statement).all()]
