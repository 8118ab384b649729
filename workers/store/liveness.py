"""Heartbeats: one row per worker process, so that a thousand running jobs cost one update.

A worker whose heartbeat stands still is dead; its claims are freed and its requests in flight become `unknown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from workers.store.claims import free_claims
from workers.store.rows import IS_RUNNING
from workers.store.tables import jobs, now_seconds, workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection


def register_worker(connection: Connection, *, worker_id: str, hostname: str, pid: int, queues: str) -> None:
    """Make the row of a starting worker process. The id is new per process, never used again."""
    connection.execute(
        insert(workers).values(
            id=worker_id,
            hostname=hostname,
            pid=pid,
            queues=queues,
            started_at=now_seconds(),
            heartbeat_at=now_seconds(),
        )
    )


def beat(connection: Connection, *, worker_id: str, budgets: Sequence[Mapping[str, object]] | None = None) -> list[str]:
    """Renew the heartbeat; returns the ids of this worker's jobs whose cancellation was asked for.

    `budgets` is what the worker sees of the provider's limits; None keeps what it last saw.
    """
    seen = {} if budgets is None else {"budgets": list(budgets)}
    connection.execute(update(workers).where(workers.c.id == worker_id).values(heartbeat_at=now_seconds(), **seen))
    return list(
        connection.execute(
            select(jobs.c.id).where(jobs.c.worker_id == worker_id, IS_RUNNING, jobs.c.cancel_requested)
        ).scalars()
    )


def latest_budgets(connection: Connection, *, within_seconds: float) -> list[dict[str, object]]:
    """The provider's limits per account and model, as the worker that looked last in this time saw them."""
    rows = connection.execute(
        select(workers.c.budgets)
        .where(workers.c.budgets.is_not(None), workers.c.heartbeat_at > now_seconds() - within_seconds)
        .order_by(workers.c.heartbeat_at)
    ).scalars()
    latest = {(row["account"], row["model"]): row for budgets in rows for row in budgets}
    return [latest[key] for key in sorted(latest)]


def running_of(connection: Connection, *, worker_id: str) -> set[str]:
    """The jobs this worker holds according to the store; more than it remembers are stranded claims."""
    return set(connection.execute(select(jobs.c.id).where(jobs.c.worker_id == worker_id, IS_RUNNING)).scalars())


def mark_stopped(connection: Connection, *, worker_id: str) -> None:
    """A worker that stops in order is not dead: nobody needs to wait for its heartbeat."""
    connection.execute(update(workers).where(workers.c.id == worker_id).values(stopped_at=now_seconds()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The heartbeat of one worker that holds jobs, as one round of the sweeper reads it."""

    heartbeat_at: float
    age_seconds: float
    """By the database's clock."""


def read_pulses(connection: Connection) -> dict[str, Pulse]:
    """Worker id -> pulse, of every worker that holds jobs."""
    holding = select(jobs.c.worker_id).where(IS_RUNNING).distinct()
    rows = connection.execute(
        select(workers.c.id, workers.c.heartbeat_at, (now_seconds() - workers.c.heartbeat_at).label("age")).where(
            workers.c.id.in_(holding)
        )
    )
    return {row.id: Pulse(heartbeat_at=row.heartbeat_at, age_seconds=row.age) for row in rows}


def free_dead(connection: Connection, dead: Mapping[str, float], *, at_most: int) -> list[str]:
    """Free claims of workers whose heartbeat is still the given one; returns the job ids that wait again.

    At most so many: the next round finds the rest.
    """
    still_dead = [
        row.id
        for row in connection.execute(
            select(workers.c.id, workers.c.heartbeat_at)
            .where(workers.c.id.in_(list(dead)))
            .order_by(workers.c.id)
            .with_for_update()
        )
        if row.heartbeat_at == dead[row.id]
    ]
    held = connection.execute(
        select(jobs.c.id).where(jobs.c.worker_id.in_(still_dead), IS_RUNNING).order_by(jobs.c.id).limit(at_most)
    ).scalars()
    return free_claims(connection, list(held), worker_ids=still_dead)
