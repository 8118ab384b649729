"""The first jobs of a batch: how many of them may run until one succeeds, and which batches wait for that.

at first    `FIRST_JOBS`, until the provider has taken a request of the batch: its headers came with status 200
heard       more, in growing steps up to `MOST_HEARD`: nobody has read an answer yet, and each is paid for
proven      all: one has succeeded
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, func, or_, select

from workers.store.gates import FIRST_JOBS
from workers.store.sql import IS_RUNNING, IS_UNPUBLISHED, IS_WAITING
from workers.store.tables import attempts, batch_gates, jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Connection

FIRST_HEARD = 8 * FIRST_JOBS
STEP_SECONDS = 0.5
"""Doubled so often: as fast as a limit of 3,000 a minute, and an error in place of an answer comes sooner."""
HEARD_STEPS = 4
MOST_HEARD = FIRST_HEARD * 2**HEARD_STEPS
"""Of answers that nobody has read. A smaller batch does not wait for its first; of a larger one no more than these are
paid for when all of them are cut off at their token limit."""
MOST_UNREAD_USD = 10.0
"""What those answers can cost together, each at its upper bound: no more run than this allows."""
_DEAREST_USD = (
    select(func.max(attempts.c.held_usd))
    .where(attempts.c.batch_id == batch_gates.c.batch_id)
    .correlate(batch_gates)
    .scalar_subquery()
)
"""The most that one request of a batch can cost; null without a price."""
_IS_STARTED = or_(IS_RUNNING, IS_WAITING)
_ITS_JOBS = jobs.c.batch_id == batch_gates.c.batch_id
_IS_HELD_BACK = (
    batch_gates.c.proven_at.is_(None),
    batch_gates.c.closed_at.is_(None),
    exists().where(_ITS_JOBS, IS_UNPUBLISHED),
)


def first_jobs_allowed(heard_seconds: float | None, *, dearest_usd: float | None = None) -> int:
    """How many jobs of a batch may run until one succeeds, so long after the provider took one; None: it took none.

    `dearest_usd` is the most that one of its requests can cost; None where the model has no price.
    """
    if heard_seconds is None:
        return FIRST_JOBS
    steps = min(max(0, int(heard_seconds / STEP_SECONDS)), HEARD_STEPS)
    affordable = int(MOST_UNREAD_USD / dearest_usd) if dearest_usd else MOST_HEARD
    return max(FIRST_JOBS, min(FIRST_HEARD << steps, affordable))


def first_jobs_room(connection: Connection, unproven: Collection[int]) -> dict[int, int]:
    """How many more jobs of each of these batches may start, which no success has proven yet."""
    if not unproven:
        return {}
    started = connection.execute(
        select(jobs.c.batch_id, func.count().label("jobs"))
        .where(jobs.c.batch_id.in_(unproven), _IS_STARTED)
        .group_by(jobs.c.batch_id)
    )
    running = {row.batch_id: row.jobs for row in started}
    allowed = _allowed(connection, batch_gates.c.batch_id.in_(unproven))
    return {batch_id: count - running.get(batch_id, 0) for batch_id, count in allowed.items()}


def batches_held_back(connection: Connection) -> dict[int, int]:
    """The batches that have jobs to publish and no success yet; how many of their jobs may run now."""
    return _allowed(connection, *_IS_HELD_BACK)


def batches_let_go(connection: Connection, batch_ids: Collection[int]) -> set[int]:
    """Those of these that have had a success and still have jobs to publish."""
    if not batch_ids:
        return set()
    gates = select(batch_gates.c.batch_id).where(
        batch_gates.c.batch_id.in_(batch_ids),
        batch_gates.c.proven_at.is_not(None),
        exists().where(_ITS_JOBS, IS_UNPUBLISHED),
    )
    return set(connection.execute(gates).scalars())


def batches_waiting_for_first_jobs(connection: Connection) -> dict[int, int]:
    """Those of them whose first jobs have started: any moment may let more of them follow."""
    return _allowed(connection, *_IS_HELD_BACK, exists().where(_ITS_JOBS, _IS_STARTED))


def _allowed(connection: Connection, *which: ColumnElement[bool]) -> dict[int, int]:
    heard_seconds = (now_seconds() - batch_gates.c.heard_at).label("heard_seconds")
    gates = select(batch_gates.c.batch_id, heard_seconds, _DEAREST_USD.label("usd")).where(*which)
    return {
        row.batch_id: first_jobs_allowed(row.heard_seconds, dearest_usd=row.usd) for row in connection.execute(gates)
    }
