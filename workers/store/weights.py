"""Weights of batches: how those of one queue share what may start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.contract.errors import InvalidInput
from workers.store.control_tables import batch_weights
from workers.store.sql import upsert

if TYPE_CHECKING:
    from collections.abc import Collection

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


def read_weights(connection: Connection, batch_ids: Collection[int]) -> dict[int, float]:
    """The weights of these batches by id; one that has none of its own, which counts as 1, is absent."""
    query = select(batch_weights.c.batch_id, batch_weights.c.weight).where(batch_weights.c.batch_id.in_(batch_ids))
    return {batch_id: float(weight) for batch_id, weight in connection.execute(query)}
