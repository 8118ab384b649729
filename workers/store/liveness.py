"""Heartbeats: one row per worker process, so that a thousand running jobs cost one update.

A worker whose heartbeat has stopped is dead; its claims are freed and its requests in flight become `unknown`. What a
stopped process has locked is left to a later round, so that it holds up nobody.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, or_, select, update

from workers.contract.outcome import AttemptEnding
from workers.store.control_tables import worker_accounts
from workers.store.releases import free_claims
from workers.store.sql import IS_RUNNING, earlier_id, in_lists
from workers.store.tables import attempts, jobs, now_seconds, workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountServed:
    """One account that a worker serves: through which broker queue, and the cap of a day that it keeps, if any."""

    account: str
    queue: str
    max_usd_per_day: float | None = None


def register_worker(
    connection: Connection,
    *,
    worker_id: str,
    hostname: str,
    pid: int,
    queues: str,
    provider: str | None = None,
    max_usd_per_day: float | None = None,
    others: Sequence[AccountServed] = (),
) -> None:
    """Make the rows of a starting worker process. The id is new per process, never used again.

    `max_usd_per_day`: the cap of `provider` that it keeps; None for none. `others`: accounts beside `provider`.
    """
    connection.execute(
        insert(workers).values(
            id=worker_id,
            hostname=hostname,
            pid=pid,
            queues=queues,
            provider=provider,
            max_usd_per_day=max_usd_per_day,
            started_at=now_seconds(),
            heartbeat_at=now_seconds(),
        )
    )
    if others:
        connection.execute(insert(worker_accounts), [{"worker_id": worker_id, **asdict(each)} for each in others])


def beat(connection: Connection, *, worker_id: str, budgets: Sequence[Mapping[str, object]] | None = None) -> list[str]:
    """Renew the heartbeat; returns the ids of this worker's jobs whose cancellation was asked for.

    `budgets` is what the worker sees of the provider's limits; None keeps what it last saw.
    """
    seen = {} if budgets is None else {"budgets": list(budgets)}
    connection.execute(
        # not stopped: who was taken for dead, and only slept, lives
        update(workers).where(workers.c.id == worker_id).values(heartbeat_at=now_seconds(), stopped_at=None, **seen)
    )
    return list(
        connection.execute(
            select(jobs.c.id).where(jobs.c.worker_id == worker_id, IS_RUNNING, jobs.c.cancel_requested)
        ).scalars()
    )


def running_of(connection: Connection, *, worker_id: str) -> set[str]:
    """The jobs this worker holds according to the store; more than it remembers are stranded claims."""
    return set(connection.execute(select(jobs.c.id).where(jobs.c.worker_id == worker_id, IS_RUNNING)).scalars())


def mark_stopped(connection: Connection, *, worker_id: str) -> None:
    """A worker that stops in order is not dead: nobody needs to wait for its heartbeat."""
    _close_left_open(connection, [worker_id])
    connection.execute(update(workers).where(workers.c.id == worker_id).values(stopped_at=now_seconds()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The heartbeat of one worker that holds jobs, as one round of the sweeper reads it."""

    heartbeat_at: float
    age_seconds: float
    """By the database's clock."""


def read_pulses(connection: Connection) -> dict[str, Pulse]:
    """Worker id -> pulse, of every worker that holds jobs or has not stopped."""
    holding = select(jobs.c.worker_id).where(IS_RUNNING).distinct()
    rows = connection.execute(
        select(workers.c.id, workers.c.heartbeat_at, (now_seconds() - workers.c.heartbeat_at).label("age")).where(
            or_(workers.c.stopped_at.is_(None), workers.c.id.in_(holding))
        )
    )
    return {row.id: Pulse(heartbeat_at=row.heartbeat_at, age_seconds=row.age) for row in rows}


def free_dead(connection: Connection, dead: Mapping[str, float], *, at_most: int) -> list[str]:
    """Free claims of workers whose heartbeat is still the given one; returns the job ids that wait again.

    At most so many: the next round finds the rest. A worker that holds nothing any more is marked stopped, and what it
    left open in the ledger is closed: requests for jobs that somebody else has finished meanwhile.
    """
    still_dead = [
        row.id
        for row in connection.execute(
            select(workers.c.id, workers.c.heartbeat_at)
            .where(workers.c.id.in_(list(dead)))
            .order_by(workers.c.id)
            .with_for_update(skip_locked=True)
        )
        if row.heartbeat_at == dead[row.id]
    ]
    held = connection.execute(
        select(jobs.c.id).where(jobs.c.worker_id.in_(still_dead), IS_RUNNING).order_by(jobs.c.id).limit(at_most)
    ).scalars()
    freed = free_claims(connection, list(held), worker_ids=still_dead, have_died=True)
    holding = set(
        connection.execute(
            select(jobs.c.worker_id).where(jobs.c.worker_id.in_(still_dead), IS_RUNNING).distinct()
        ).scalars()
    )
    if gone := [worker_id for worker_id in still_dead if worker_id not in holding]:
        _close_left_open(connection, gone)
        connection.execute(update(workers).where(workers.c.id.in_(gone)).values(stopped_at=now_seconds()))
    return freed


def declare_dead(connection: Connection, worker_id: str, *, at_most: int) -> int:
    """As `free_dead`, for a worker of which somebody has seen the end; returns how many jobs were taken from it.

    Nothing for one that was never registered. Call it again until it returns 0.
    """
    heartbeat_at = connection.execute(select(workers.c.heartbeat_at).where(workers.c.id == worker_id)).scalar()
    if heartbeat_at is None:
        return 0
    before = running_of(connection, worker_id=worker_id)
    free_dead(connection, {worker_id: heartbeat_at}, at_most=at_most)
    return len(before - running_of(connection, worker_id=worker_id))


def _close_left_open(connection: Connection, worker_ids: Sequence[str]) -> None:
    """By the ledger's key, which begins with the time, and with no index of its own: once in a worker's life."""
    left_open = connection.execute(
        select(attempts.c.id)
        .where(
            attempts.c.id >= min(map(earlier_id, worker_ids)),
            attempts.c.worker_id.in_(worker_ids),
            attempts.c.ending.is_(None),
        )
        .with_for_update(skip_locked=True)
    ).scalars()
    for some in in_lists(list(left_open)):
        connection.execute(
            update(attempts)
            .where(attempts.c.id.in_(some), attempts.c.ending.is_(None))
            .values(ending=str(AttemptEnding.UNKNOWN), closed_at=now_seconds())
        )
