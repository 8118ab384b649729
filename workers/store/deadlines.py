"""Until when a job may start: a time span from its enqueue, or a moment that a person named.

A span moves with the waits that are not the job's own (`parks.shift_deadlines`); a moment never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import case, func, or_, select, update

from workers.contract.errors import InvalidInput
from workers.store.sql import IS_FOLLOWING, IS_UNFINISHED, in_lists, lock_jobs
from workers.store.tables import jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Connection

    from workers.contract.job import JobParameters

SPAN: ColumnElement[float] = jobs.c.parameters["deadline_seconds"].as_float()
"""Seconds; null for a job without one."""
_MOMENT: ColumnElement[float] = jobs.c.parameters["deadline_at"].as_float()
_HAS_NOT_ENDED = or_(IS_UNFINISHED, IS_FOLLOWING)  # a follower may lead one day
NEW_DEADLINE: ColumnElement[float] = case((_MOMENT.is_not(None), _MOMENT), else_=now_seconds() + SPAN)
"""Of a job whose round begins now; null without a deadline."""


def deadline_of(parameters: JobParameters) -> ColumnElement[float] | float | None:
    """What `jobs.deadline_at` becomes when a round with these parameters begins now."""
    if parameters.deadline_seconds is not None:
        return now_seconds() + parameters.deadline_seconds
    return parameters.deadline_at


def move_deadlines(connection: Connection, batch_id: int, moments: Mapping[str, float]) -> int:
    """Give jobs that have not ended, by item id, another moment; returns how many that changed."""
    moved = 0
    for some in in_lists(list(moments)):
        found = connection.execute(
            select(jobs.c.id, jobs.c.item_id, jobs.c.parameters).where(
                jobs.c.batch_id == batch_id, jobs.c.item_id.in_(some), _HAS_NOT_ENDED
            )
        ).all()
        other = [row for row in found if row.parameters.get("deadline_at") != moments[row.item_id]]
        lock_jobs(connection, [row.id for row in other])
        for row in other:
            moment = moments[row.item_id]
            connection.execute(
                update(jobs)
                .where(jobs.c.id == row.id, _HAS_NOT_ENDED)
                .values(deadline_at=moment, parameters={**row.parameters, "deadline_at": moment})
            )
        moved += len(other)
    return moved


def refuse_past(connection: Connection, batch_id: int, which: ColumnElement[bool]) -> None:
    """Raise `InvalidInput` when jobs `which` of the batch had a moment that is over: they would end as they begin."""
    query = select(func.count()).where(jobs.c.batch_id == batch_id, which, now_seconds() >= _MOMENT)
    if count := connection.execute(query).scalar_one():
        raise InvalidInput(
            f"the time until which {count} of these jobs might start is over; give another with --by or --deadline"
        )
