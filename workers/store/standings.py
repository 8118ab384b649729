"""What follows from the decisions about an item, kept so that lists need not replay them.

A row is written in the transaction that appends the decision. The decisions are the truth, and `rebuild_standings`
makes the rows again, after a release that knew no standings has decided meanwhile.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from workers.contract.headline import headline
from workers.store.sql import LIST_LENGTH, in_lists, insert_into
from workers.store.tables import jobs, standings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from workers.contract.decision import Official


def write_standings(connection: Connection, batch_id: int, officials: Mapping[str, Official]) -> None:
    """Keep what holds for these items, by item id."""
    job_ids: dict[str, str] = {}
    for some in in_lists(list(officials)):
        found = connection.execute(
            select(jobs.c.item_id, jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.item_id.in_(some))
        )
        job_ids.update((row.item_id, row.id) for row in found)
    rows = iter([_row(batch_id, job_ids[item_id], official) for item_id, official in officials.items()])
    while some_rows := list(islice(rows, LIST_LENGTH)):
        insertion = insert_into(connection, standings)
        replaced = {name: insertion.excluded[name] for name in some_rows[0] if name != "job_id"}
        connection.execute(insertion.on_conflict_do_update(index_elements=["job_id"], set_=replaced), some_rows)


def _row(batch_id: int, job_id: str, official: Official) -> dict[str, Any]:
    decision = official.decision
    return {
        "job_id": job_id,
        "batch_id": batch_id,
        "last_id": official.last_id,
        "state": str(official.state),
        "decided_by": decision.by if decision else None,
        "round": decision.round if decision else None,
        "points": headline(official.result),
        "released": official.released,
        "changed": official.changed_since_release,
    }
