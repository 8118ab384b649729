"""What migrations added and existing rows must fill: in chunks, each a short transaction, beside other writers.

A backfill's place is kept with each chunk, so that one that was broken off goes on where it stopped. It may meet rows
that are filled already, because new ones are written complete.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import bindparam, select, tuple_, update

from workers.contract.headline import headline
from workers.store.control_tables import backfills
from workers.store.tables import now_seconds, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from workers.store.engine import Store

CHUNK_ROWS = 500
Fill: TypeAlias = "Callable[[Connection, str], str | None]"
"""Fills the next rows behind a place, '' at first; returns the place reached, None when there are no more rows."""


def fill_points(connection: Connection, place: str) -> str | None:
    """The number that summarises a result, for results of releases that did not keep it."""
    key = tuple_(outcomes.c.job_id, outcomes.c.round)
    behind = key > tuple_(*json.loads(place)) if place else outcomes.c.job_id > ""
    page = connection.execute(
        select(outcomes.c.job_id, outcomes.c.round, outcomes.c.result, outcomes.c.points)
        .where(behind)
        .order_by(outcomes.c.job_id, outcomes.c.round)
        .limit(CHUNK_ROWS)
    ).all()
    found = [
        {"job": row.job_id, "at": row.round, "found": headline(json.loads(row.result))}
        for row in page
        if row.result is not None and row.points is None
    ]
    if found:
        of_round = (outcomes.c.job_id == bindparam("job")) & (outcomes.c.round == bindparam("at"))
        # a purge may have taken the result meanwhile
        statement = update(outcomes).where(of_round, outcomes.c.result.is_not(None)).values(points=bindparam("found"))
        connection.execute(statement, found)
    return json.dumps([page[-1].job_id, page[-1].round]) if page else None


FILLS: Mapping[str, Fill] = {"points": fill_points}
"""By name. The migration that needs one puts its name into the table `backfills`."""


def waiting_backfills(connection: Connection) -> list[str]:
    """Names of those that are not complete."""
    return list(
        connection.execute(
            select(backfills.c.name).where(backfills.c.done_at.is_(None)).order_by(backfills.c.name)
        ).scalars()
    )


def run_backfills(store: Store) -> None:
    """Complete all of them; who else does the same at the same time takes turns with us."""
    with store.snapshot() as connection:
        waiting = waiting_backfills(connection)
    for name in waiting:
        while store.run(partial(_next_chunk, name=name)):
            pass


def _next_chunk(connection: Connection, *, name: str) -> bool:
    """False when there is nothing more to do."""
    is_this = backfills.c.name == name
    place = connection.execute(
        select(backfills.c.place).where(is_this, backfills.c.done_at.is_(None)).with_for_update()
    ).scalar_one_or_none()
    if place is None:
        return False
    reached = FILLS[name](connection, place)
    values = {"done_at": now_seconds()} if reached is None else {"place": reached}
    connection.execute(update(backfills).where(is_this).values(values))
    return reached is not None
