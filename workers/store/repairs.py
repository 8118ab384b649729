"""Which answers were invalid at first and were repaired. Read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.store.ledger import Purpose
from workers.store.tables import attempts, batches, jobs

if TYPE_CHECKING:
    from sqlalchemy import Connection


def repaired_items(connection: Connection, batch: str) -> frozenset[str]:
    """Item ids of the batch whose present round sent a repair."""
    rows = connection.execute(
        select(jobs.c.item_id)
        .join(attempts, (attempts.c.job_id == jobs.c.id) & (attempts.c.round == jobs.c.round))
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(batches.c.name == batch, attempts.c.purpose == str(Purpose.REPAIR))
        .distinct()
    )
    return frozenset(rows.scalars())
