"""The scale that a batch's grades are on. Read-only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from workers.store.pages import read_in_turn
from workers.store.sql import PAGE
from workers.store.tables import jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row


def read_scale(connection: Connection, batch_id: int) -> float:
    """The most points of a grade; where results do not say, the highest grade less the lowest one, 0.0 without any.

    Reads the results that say it, a page in memory at a time.
    """
    present = (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round)
    stating = (
        select(jobs.c.position, outcomes.c.result)
        .join(outcomes, present)
        .where(jobs.c.batch_id == batch_id, outcomes.c.result.contains('"max_points"'))
        .order_by(jobs.c.position)
    )

    def read(last: Row[Any] | None, most: int) -> Sequence[Any]:
        behind = stating if last is None else stating.where(jobs.c.position > last.position)
        return connection.execute(behind.limit(most)).all()

    each = (_stated(row.result) for page in read_in_turn(read, size=PAGE) for row in page)
    stated = max((most for most in each if most is not None), default=None)
    if stated is not None:
        return stated
    points = select(func.min(outcomes.c.points), func.max(outcomes.c.points)).select_from(jobs).join(outcomes, present)
    lowest, highest = connection.execute(points.where(jobs.c.batch_id == batch_id)).one()
    return 0.0 if highest is None else float(highest - lowest)


def _stated(result: str) -> float | None:
    found = json.loads(result)
    most = found.get("max_points") if isinstance(found, dict) else None
    return float(most) if isinstance(most, int | float) else None
