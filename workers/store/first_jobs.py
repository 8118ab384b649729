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
from workers.store.tables import batch_gates, jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

FIRST_HEARD = 4 * FIRST_JOBS
STEP_SECONDS = 0.5
"""Doubled so often: as fast as a limit of 3,000 a minute, and an error in place of an answer comes sooner."""
HEARD_STEPS = 5
MOST_HEARD = FIRST_HEARD * 2**HEARD_STEPS
"""Of answers that nobody has read. A smaller batch does not wait for its first; of a larger one no more than these are
paid for when all of them are cut off at their token limit."""
_IS_STARTED = or_(IS_RUNNING, IS_WAITING)


def first_jobs_allowed(heard_seconds: float | None) -> int:
    """How many jobs of a batch may run until one succeeds, so long after the provider took one; None: it took none."""
    if heard_seconds is None:
        return FIRST_JOBS
    steps = min(max(0, int(heard_seconds / STEP_SECONDS)), HEARD_STEPS)
    return FIRST_HEARD << steps


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
    heard = connection.execute(
        select(batch_gates.c.batch_id, (now_seconds() - batch_gates.c.heard_at).label("seconds")).where(
            batch_gates.c.batch_id.in_(unproven)
        )
    )
    return {row.batch_id: first_jobs_allowed(row.seconds) - running.get(row.batch_id, 0) for row in heard}


def batches_waiting_for_first_jobs(connection: Connection) -> dict[int, int]:
    """The batches whose other jobs wait until one of the first, which have started, succeeds; how many may run now."""
    its_jobs = jobs.c.batch_id == batch_gates.c.batch_id
    rows = connection.execute(
        select(batch_gates.c.batch_id, (now_seconds() - batch_gates.c.heard_at).label("seconds")).where(
            batch_gates.c.proven_at.is_(None),
            batch_gates.c.closed_at.is_(None),
            exists().where(its_jobs, _IS_STARTED),
            exists().where(its_jobs, IS_UNPUBLISHED),
        )
    )
    return {row.batch_id: first_jobs_allowed(row.seconds) for row in rows}
