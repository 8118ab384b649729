"""Every account that the store knows of. Read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, union

from workers.store.control_tables import model_limits
from workers.store.tables import batches, parks

if TYPE_CHECKING:
    from sqlalchemy import Connection


def known_accounts(connection: Connection) -> set[str]:
    """Those of batches, of parks and of limits that a person set, as batches name them."""
    named = union(select(batches.c.provider), select(parks.c.account), select(model_limits.c.account)).subquery()
    return {name for name in connection.execute(select(named)).scalars() if name}
