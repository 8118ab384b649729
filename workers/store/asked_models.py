"""Which models jobs ask, those they fall back to included. Read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.store.sql import IS_UNFINISHED
from workers.store.tables import batches, jobs

if TYPE_CHECKING:
    from sqlalchemy import Connection

_FALLBACK = jobs.c.parameters["fallback_model"].as_string()


def models_of(connection: Connection, batch_id: int, *, unfinished_only: bool = False) -> list[str]:
    """Every model that jobs of a batch ask, or that its unfinished jobs do."""
    which = (jobs.c.batch_id == batch_id, *((IS_UNFINISHED,) if unfinished_only else ()))
    rows = connection.execute(select(jobs.c.model, _FALLBACK).where(*which).distinct())
    return sorted({model for row in rows for model in row if model is not None})


def models_awaited(connection: Connection, provider: str) -> dict[str, list[str]]:
    """Model -> names of the provider's batches whose unfinished jobs ask it, oldest first. Reads those jobs' rows."""
    rows = connection.execute(
        select(batches.c.id, batches.c.name, jobs.c.model, _FALLBACK.label("fallback"))
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(batches.c.provider == provider, IS_UNFINISHED)
        .distinct()
        .order_by(batches.c.id)
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        for model in filter(None, (row.model, row.fallback)):
            if row.name not in found.setdefault(model, []):
                found[model].append(row.name)
    return found
