"""Conditions, locks and records that several files of the store share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, literal_column, or_, select

from workers.store.tables import batches, jobs, now_seconds, parks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Connection, Select

# Literals, not bound parameters: SQLite takes a partial index only when it can prove the condition when preparing.
IS_READY: ColumnElement[bool] = jobs.c.state == literal_column("'ready'")
IS_RUNNING: ColumnElement[bool] = jobs.c.state == literal_column("'running'")
IS_UNFINISHED: ColumnElement[bool] = jobs.c.state.in_([literal_column("'ready'"), literal_column("'running'")])
IS_UNPUBLISHED: ColumnElement[bool] = IS_READY & jobs.c.published_at.is_(None)
IS_WAITING: ColumnElement[bool] = IS_READY & jobs.c.published_at.is_not(None)
IS_DUE: ColumnElement[bool] = or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now_seconds())
IS_OPENED: ColumnElement[bool] = jobs.c.position < (
    select(batches.c.opened).where(batches.c.id == jobs.c.batch_id).correlate(jobs).scalar_subquery()
)
"""The job's enqueue is complete; the others are staging and nobody's business."""

PARKED_ACCOUNTS = select(parks.c.account)
LIST_LENGTH = 500
"""Values per IN list: well below every limit of bound parameters, and few different statements to prepare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedJob:
    """A job's state that nobody can change before this transaction ends."""

    id: str
    batch_id: int
    round: int
    claim: int
    state: str
    worker_id: str | None
    cancel_requested: bool

    def is_held_by(self, claim: int) -> bool:
        """True while this claim is the current one."""
        return self.state == "running" and self.claim == claim


def lock_jobs(connection: Connection, job_ids: Collection[str]) -> dict[str, LockedJob]:
    """Lock these jobs and read their state; those that do not exist are absent."""
    columns = (
        jobs.c.id, jobs.c.batch_id, jobs.c.round, jobs.c.claim, jobs.c.state, jobs.c.worker_id, jobs.c.cancel_requested
    )  # fmt: skip
    locked: dict[str, LockedJob] = {}
    for some in in_lists(sorted(job_ids)):
        rows = connection.execute(in_id_order(select(*columns).where(jobs.c.id.in_(some))))
        locked.update((row.id, LockedJob(**row._mapping)) for row in rows)  # noqa: SLF001 - a Row's public view
    return locked


def in_id_order(statement: Select[Any]) -> Select[Any]:
    """Lock the rows in one order everywhere, so that two transactions cannot wait for each other (PostgreSQL)."""
    # NO KEY UPDATE: a ledger row inserted meanwhile checks its foreign key without waiting for us
    return statement.order_by(jobs.c.id).with_for_update(of=jobs, key_share=True)


def in_lists(values: Collection[str]) -> Iterator[list[str]]:
    """The values, as many at a time as an IN list may hold."""
    remaining = iter(values)
    while some := list(islice(remaining, LIST_LENGTH)):
        yield some
