"""The first jobs of a batch, until one succeeds: how many more of them may start, and which batches wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, func, or_, select

from workers.store.gates import FIRST_JOBS
from workers.store.sql import IS_RUNNING, IS_UNPUBLISHED, IS_WAITING
from workers.store.tables import batch_gates, jobs

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

_IS_STARTED = or_(IS_RUNNING, IS_WAITING)


def first_jobs_room(connection: Connection, unproven: Collection[int]) -> dict[int, int]:
    """How many more jobs of each of these batches may start, which no success has proven yet."""
    if not unproven:
        return {}
    started = connection.execute(
        select(jobs.c.batch_id, func.count().label("jobs"))
        .where(jobs.c.batch_id.in_(unproven), _IS_STARTED)
        .group_by(jobs.c.batch_id)
    )
    return dict.fromkeys(unproven, FIRST_JOBS) | {row.batch_id: FIRST_JOBS - row.jobs for row in started}


def batches_waiting_for_first_jobs(connection: Connection) -> frozenset[int]:
    """The batches whose other jobs wait until one of the first, which have started, succeeds."""
    its_jobs = jobs.c.batch_id == batch_gates.c.batch_id
    rows = connection.execute(
        select(batch_gates.c.batch_id).where(
            batch_gates.c.proven_at.is_(None),
            batch_gates.c.closed_at.is_(None),
            exists().where(its_jobs, _IS_STARTED),
            exists().where(its_jobs, IS_UNPUBLISHED),
        )
    )
    return frozenset(rows.scalars())
