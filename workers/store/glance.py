"""A batch at a glance: everything that its page refreshes, in a fixed number of queries whatever its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, cast, func, literal, null, select, union_all

from workers.contract.decision import ReleaseRule, ReviewState
from workers.contract.origin import BatchOrigin
from workers.contract.wire import broker_queue
from workers.store.control_tables import pauses
from workers.store.gates import BatchGate, ClosedBy, Pilot
from workers.store.lane_tables import batch_lanes
from workers.store.progress import Counts, Pace, newest_ends, read_counts
from workers.store.sql import IS_READY, IS_UNFINISHED
from workers.store.tables import (
    batch_gates,
    batches,
    day_gates,
    decisions,
    jobs,
    now_seconds,
    pilot_jobs,
    standings,
    store_identity,
    workers,
)
from workers.store.worker_reports import SILENT_SECONDS, queues_served

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Row


_NO_NUMBER = cast(null(), Double)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewCounts:
    """How far the review of a batch is."""

    states: Mapping[ReviewState, int]
    """Items by what people decided; those nobody decided about are missing here."""
    released: int
    changed: int
    """Released items whose official grade is another one now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a page needs to know of a batch."""

    batch_id: int
    counts: Counts
    origin: BatchOrigin
    rule: ReleaseRule
    gate: BatchGate
    pace: Pace
    review: ReviewCounts
    are_standings_behind: bool
    """An earlier release decided about items of it: make the standings again before they are listed."""
    has_days: bool
    """A provider's cap of today is kept: the reason why jobs wait depends on it."""
    has_pauses: bool
    """Something is paused, this batch or another."""
    has_lanes: bool
    """Its jobs may wait for a cheaper lane."""


def read_glance(connection: Connection, name: str) -> Glance | None:
    """A fixed number of queries, whatever the batch's size; None when there is no such batch."""
    batch = connection.execute(_batch(name)).one_or_none()
    if batch is None:
        return None
    counts, findings, _spending = read_counts(connection, batch)
    return Glance(
        batch_id=batch.id,
        counts=counts,
        origin=BatchOrigin.from_json(batch.origin or {}),
        rule=ReleaseRule(batch.release_rule or ReleaseRule.ALL),
        gate=_gate(batch),
        pace=_pace(connection, batch),
        review=ReviewCounts(states=findings.standings, released=findings.released, changed=findings.changed),
        are_standings_behind=batch.newest_decision != batch.newest_standing,
        has_days=bool(batch.has_days),
        has_pauses=bool(batch.has_pauses),
        has_lanes=bool(batch.has_lanes),
    )


def _batch(name: str) -> Any:
    of_pilot = (
        select(func.count())
        .select_from(pilot_jobs)
        .join(jobs, jobs.c.id == pilot_jobs.c.job_id)
        .where(pilot_jobs.c.batch_id == batches.c.id)
        .correlate(batches)
    )
    return (
        select(
            batches,
            batch_gates.c.pilot_since, batch_gates.c.max_usd, batch_gates.c.held_usd, batch_gates.c.closed_by,
            batch_gates.c.message,
            now_seconds().label("now"),
            select(store_identity.c.id).scalar_subquery().label("store_id"),
            of_pilot.scalar_subquery().label("pilot_jobs"),
            of_pilot.where(~IS_UNFINISHED).scalar_subquery().label("pilot_finished"),
            select(day_gates.c.day).where(day_gates.c.ends_at > now_seconds()).exists().label("has_days"),
            select(pauses.c.name).exists().label("has_pauses"),
            select(batch_lanes.c.batch_id).where(batch_lanes.c.batch_id == batches.c.id).exists().label("has_lanes"),
            _newest(decisions.c.id, decisions.c.batch_id).label("newest_decision"),
            _newest(standings.c.last_id, standings.c.batch_id).label("newest_standing"),
        )
        .outerjoin(batch_gates, batch_gates.c.batch_id == batches.c.id)
        .where(batches.c.name == name)
    )  # fmt: skip


def _newest(number: Any, of_batch: Any) -> Any:
    return select(func.max(number)).where(of_batch == batches.c.id).correlate(batches).scalar_subquery()


def _pace(connection: Connection, batch: Row[Any]) -> Pace:
    """Workers that serve it, what ended within the last minute, when the first of those that wait is due."""
    queues = queues_served(
        workers.c.stopped_at.is_(None), workers.c.heartbeat_at > batch.now - SILENT_SECONDS
    ).subquery()
    alive = select(literal("worker").label("what"), queues.c.queues.label("queues"), _NO_NUMBER, _NO_NUMBER)
    newest = newest_ends(batch.id, batch.now).subquery()
    recent = select(literal("recent"), literal(""), func.count(), func.min(newest.c.finished_at))
    due = select(literal("due"), literal(""), literal(0), func.min(jobs.c.not_before)).where(
        jobs.c.batch_id == batch.id, IS_READY, jobs.c.not_before > batch.now, jobs.c.lane.is_(None)
    )
    found = connection.execute(union_all(alive, recent, due)).all()
    served = [queue for row in found if row[0] == "worker" for queue in row[1].split(",")]
    _, _, finished, first = next(row for row in found if row[0] == "recent")
    next_due = next(row[3] for row in found if row[0] == "due")
    is_known = finished > 1 and first is not None and batch.now > first
    return Pace(
        jobs_per_second=(finished - 1) / (batch.now - first) if is_known else None,
        live_workers=served.count(broker_queue(batch.queue, batch.provider, batch.store_id)),
        next_due_seconds=None if next_due is None else next_due - batch.now,
    )


def _gate(batch: Row[Any]) -> BatchGate:
    pilot = Pilot(jobs=batch.pilot_jobs, finished=batch.pilot_finished)
    return BatchGate(
        batch=batch.name,
        max_usd=batch.max_usd,
        held_usd=batch.held_usd or 0.0,
        pilot=pilot if batch.pilot_since is not None else None,
        closed_by=None if batch.closed_by is None else ClosedBy(batch.closed_by),
        message=batch.message or "",
    )
