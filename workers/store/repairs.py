"""Which answers were invalid at first and were repaired. Read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal_column, select

from workers.store.tables import attempts, batches, jobs

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

IS_REPAIR: ColumnElement[bool] = attempts.c.purpose == literal_column("'repair'")
"""A literal, as an index of repairs alone is used for no other condition."""


def is_repaired() -> ColumnElement[bool]:
    """Of a job: its present round sent a repair."""
    sent = select(attempts.c.id).where(
        attempts.c.batch_id == jobs.c.batch_id,
        attempts.c.job_id == jobs.c.id,
        attempts.c.round == jobs.c.round,
        IS_REPAIR,
    )
    return sent.correlate(jobs).exists()


def repaired_items(connection: Connection, batch: str) -> frozenset[str]:
    """Item ids of the batch whose present round sent a repair."""
    rows = connection.execute(
        select(jobs.c.item_id)
        .join(attempts, (attempts.c.job_id == jobs.c.id) & (attempts.c.round == jobs.c.round))
        .join(batches, batches.c.id == attempts.c.batch_id)
        .where(batches.c.name == batch, IS_REPAIR)
        .distinct()
    )
    return frozenset(rows.scalars())
