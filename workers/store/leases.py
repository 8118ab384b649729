"""Leases: a name that one holder has for a while, by the database's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, or_
from sqlalchemy.dialects import postgresql, sqlite

from workers.store.tables import leases, now_seconds

if TYPE_CHECKING:
    from sqlalchemy import Connection


def take_lease(connection: Connection, name: str, *, holder: str, seconds: float) -> bool:
    """Take or renew a lease; true when this holder has it for so long from now."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    taken = connection.execute(
        dialect.insert(leases)
        .values(name=name, holder=holder, expires_at=now_seconds() + seconds)
        .on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": holder, "expires_at": now_seconds() + seconds},
            where=or_(leases.c.holder == holder, leases.c.expires_at < now_seconds()),
        )
        .returning(leases.c.holder)
    )
    return taken.scalar() == holder


def drop_lease(connection: Connection, name: str, *, holder: str) -> None:
    """A holder that is done lets the next one in at once."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))
