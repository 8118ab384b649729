"""Which jobs of a batch run first, when only some are to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from workers.store.lanes.placing import send_live
from workers.store.sql import lock_batch
from workers.store.tables import jobs, pilot_jobs

if TYPE_CHECKING:
    from sqlalchemy import Connection


def choose_pilot(connection: Connection, batch_id: int, count: int) -> None:
    """Choose so many jobs for the pilot, spread over the input; choosing again adds only what is missing to `count`.

    What takes another job's outcome is not chosen. Somebody waits for a pilot: it goes live.
    """
    lock_batch(connection, batch_id)
    chosen = select(pilot_jobs.c.job_id).where(pilot_jobs.c.batch_id == batch_id)
    missing = count - len(connection.execute(chosen).all())
    if missing <= 0:
        return
    others = list(
        connection.execute(
            select(jobs.c.id)
            .where(jobs.c.batch_id == batch_id, jobs.c.leader_id.is_(None), jobs.c.id.not_in(chosen))
            .order_by(jobs.c.position)
        ).scalars()
    )
    missing = min(missing, len(others))
    if missing:
        # the middle of each of so many equal parts: the first and the last rows of a list are often the odd ones
        spread = [others[(2 * part + 1) * len(others) // (2 * missing)] for part in range(missing)]
        connection.execute(insert(pilot_jobs), [{"job_id": job_id, "batch_id": batch_id} for job_id in spread])
    all_chosen = select(pilot_jobs.c.job_id).where(pilot_jobs.c.batch_id == batch_id)
    send_live(connection, (jobs.c.batch_id == batch_id) & jobs.c.id.in_(all_chosen))
