"""Leases: a name that one holder has for a while, by the database's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select

from workers.store.sql import upsert
from workers.store.tables import leases, now_seconds

if TYPE_CHECKING:
    from sqlalchemy import Connection


LONGEST_SECONDS = 120.0
"""No lease is taken for longer, so one that ends later was written before the database's clock was set back."""


def take_lease(connection: Connection, name: str, *, holder: str, seconds: float) -> bool:
    """Take or renew a lease; true when this holder has it for so long from now, at most `LONGEST_SECONDS`."""
    seconds = min(seconds, LONGEST_SECONDS)
    taken = connection.execute(
        upsert(
            connection,
            leases,
            key={"name": name},
            values={"holder": holder, "expires_at": now_seconds() + seconds},
            where=or_(
                leases.c.holder == holder,
                leases.c.expires_at < now_seconds(),
                leases.c.expires_at > now_seconds() + LONGEST_SECONDS,
            ),
        ).returning(leases.c.holder)
    )
    return taken.scalar() == holder


def drop_lease(connection: Connection, name: str, *, holder: str) -> None:
    """A holder that is done lets the next one in at once."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def lease_holder(connection: Connection, name: str) -> str | None:
    """Who has the lease, or had it last."""
    return connection.execute(select(leases.c.holder).where(leases.c.name == name)).scalar()
