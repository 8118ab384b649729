"""Weights of batches: how those of one queue share what may start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.contract.errors import InvalidInput
from workers.store.control_tables import batch_weights
from workers.store.sql import upsert
from workers.store.tables import batches

if TYPE_CHECKING:
    from sqlalchemy import Connection

LEAST, MOST = 0.01, 100.0


def check_weight(weight: float) -> None:
    """Raise `InvalidInput` for what is no weight."""
    if not (math.isfinite(weight) and LEAST <= weight <= MOST):
        raise InvalidInput(f"a weight must be between {LEAST:g} and {MOST:g}")


def set_weight(connection: Connection, batch_id: int, weight: float) -> None:
    """Share the queue so from the next round of the feeder on."""
    check_weight(weight)
    connection.execute(upsert(connection, batch_weights, key={"batch_id": batch_id}, values={"weight": weight}))


def read_weight(connection: Connection, batch: str) -> float:
    """The weight of the batch of this name; 1 when none was set."""
    query = (
        select(batch_weights.c.weight)
        .join(batches, batches.c.id == batch_weights.c.batch_id)
        .where(batches.c.name == batch)
    )
    weight = connection.execute(query).scalar()
    return 1.0 if weight is None else float(weight)
