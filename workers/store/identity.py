"""What distinguishes this store from others that use the same broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.store.tables import store_identity

if TYPE_CHECKING:
    from sqlalchemy import Connection


def read_store_id(connection: Connection) -> str:
    """Twelve hex digits, drawn once, when the store was made; every process reads the same."""
    found: str = connection.execute(select(store_identity.c.id)).scalar_one()
    return found
