"""What an outcome's provenance says of a round that no answer decided, ended by a worker or by the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.store.sql import in_lists
from workers.store.tables import jobs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection


def asked_only(
    *, effort: str | None, instructions_hash: str | None, context_hash: str | None, pseudonyms: Mapping[str, str]
) -> dict[str, object]:
    """What was to be asked; the peer's part is None."""
    return {
        "request_id": None,
        "system_fingerprint": None,
        "service_tier": None,
        "effort": effort,
        "parameters_sent": None,
        "instructions_hash": instructions_hash,
        "rubric_hash": context_hash,
        **({"pseudonyms": len(pseudonyms)} if pseudonyms else {}),
    }


def read_asked_only(connection: Connection, job_ids: Collection[str]) -> dict[str, dict[str, object]]:
    """Job id -> provenance of a round that the store ends without an answer."""
    found: dict[str, dict[str, object]] = {}
    columns = (jobs.c.id, jobs.c.parameters, jobs.c.instructions_hash, jobs.c.context_hash, jobs.c.pseudonyms)
    for some in in_lists(job_ids):
        for row in connection.execute(select(*columns).where(jobs.c.id.in_(some))):
            found[row.id] = asked_only(
                # what a newer producer wrote may have another shape
                effort=row.parameters.get("effort") if isinstance(row.parameters, dict) else None,
                instructions_hash=row.instructions_hash,
                context_hash=row.context_hash,
                pseudonyms=row.pseudonyms or {},
            )
    return found
