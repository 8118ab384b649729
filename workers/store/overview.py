"""Batches from afar: the list of them, how fast one moves, and who is there to move it. Read-only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import case, func, select

from workers.contract.wire import broker_queue
from workers.store.rows import IS_READY
from workers.store.tables import batches, jobs, now_seconds, outcomes, workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Row

PACE_SECONDS = 60.0
"""The pace is that of the last minute: long enough for slow models, short enough to notice a stall."""
SILENT_SECONDS = 45.0
"""A worker not heard of for so long is not counted on; heartbeats come every 10 s by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOverview:
    """One batch in a list. `created_at` is seconds since the epoch, database clock."""

    name: str
    provider: str
    queue: str
    created_at: float
    origin: Mapping[str, object] = field(repr=False)
    total: int
    succeeded: int
    failed: int

    @property
    def is_finished(self) -> bool:
        """True when nothing of the batch waits or runs, and there was something."""
        return 0 < self.total == self.succeeded + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a batch moves now."""

    jobs_per_second: float | None
    """None until two jobs finished within the last minute."""
    live_workers: int
    """Worker processes that serve the batch's queue."""
    next_due_seconds: float | None
    """Until the first deferred job is due; None when none is deferred."""


def count_batches(connection: Connection) -> int:
    """How many batches there are."""
    return connection.execute(select(func.count()).select_from(batches)).scalar_one()


def list_overviews(connection: Connection, *, at_most: int | None, skip: int = 0) -> list[BatchOverview]:
    """The newest batches behind the first `skip`, newest first, in one query; None lists all. No other is counted."""
    rows = connection.execute(
        select(batches, *_COUNTS)
        .outerjoin(jobs, (jobs.c.batch_id == batches.c.id) & (jobs.c.position < batches.c.opened))
        .where(batches.c.id.in_(select(batches.c.id).order_by(batches.c.id.desc()).limit(at_most).offset(skip)))
        .group_by(batches.c.id)
        .order_by(batches.c.id.desc())
    )
    return [_overview(row) for row in rows]


def find_overview(connection: Connection, name: str) -> BatchOverview | None:
    """The batch of this name, or None."""
    row = connection.execute(
        select(batches, *_COUNTS)
        .outerjoin(jobs, (jobs.c.batch_id == batches.c.id) & (jobs.c.position < batches.c.opened))
        .where(batches.c.name == name)
        .group_by(batches.c.id)
    ).one_or_none()
    return None if row is None else _overview(row)


def read_pace(connection: Connection, name: str) -> Pace | None:
    """How the batch of this name moves now, or None when there is none."""
    batch = connection.execute(select(batches).where(batches.c.name == name)).one_or_none()
    if batch is None:
        return None
    now = connection.execute(select(now_seconds())).scalar_one()
    finished, first = connection.execute(
        select(func.count(), func.min(outcomes.c.finished_at)).where(
            outcomes.c.batch_id == batch.id, outcomes.c.finished_at > now - PACE_SECONDS
        )
    ).one()
    next_due = connection.execute(
        select(func.min(jobs.c.not_before)).where(jobs.c.batch_id == batch.id, IS_READY, jobs.c.not_before > now)
    ).scalar()
    return Pace(
        jobs_per_second=(finished - 1) / (now - first) if finished > 1 and now > first else None,
        live_workers=_live_workers(connection, broker_queue(batch.queue, batch.provider), now),
        next_due_seconds=None if next_due is None else next_due - now,
    )


def is_worker_alive(connection: Connection, *, hostname: str, queue: str) -> bool:
    """Whether a worker of this host serves the broker queue, for a health check."""
    now = connection.execute(select(now_seconds())).scalar_one()
    return queue in _queues_served(connection, now, hostname=hostname)


_COUNTS = (
    func.count(jobs.c.id).label("total"),
    func.sum(case((jobs.c.state == "succeeded", 1), else_=0)).label("succeeded"),
    func.sum(case((jobs.c.state == "failed", 1), else_=0)).label("failed"),
)


def _overview(row: Row[tuple[object, ...]]) -> BatchOverview:
    return BatchOverview(
        name=row.name,
        provider=row.provider,
        queue=row.queue,
        created_at=row.created_at,
        origin=row.origin or {},
        total=row.total,
        succeeded=int(row.succeeded or 0),
        failed=int(row.failed or 0),
    )


def _live_workers(connection: Connection, queue: str, now: float) -> int:
    return _queues_served(connection, now).count(queue)


def _queues_served(connection: Connection, now: float, *, hostname: str | None = None) -> list[str]:
    alive = select(workers.c.queues).where(
        workers.c.stopped_at.is_(None), workers.c.heartbeat_at > now - SILENT_SECONDS
    )
    if hostname is not None:
        alive = alive.where(workers.c.hostname == hostname)
    return [queue for queues in connection.execute(alive).scalars() for queue in queues.split(",")]
