"""Accounts that wait: billing and auth answers park them, the operator or a probe resumes them. No job fails for it.

A probe is one waiting job of the account that may run all the same: after some minutes, then less and less often.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import case, delete, func, or_, select, update

from workers.contract.notification import Happening
from workers.contract.outcome import AccountState
from workers.store.deadlines import SPAN
from workers.store.outbox import note_account
from workers.store.sql import (
    IS_BATCH_OPEN,
    IS_DUE,
    IS_MODEL_OPEN,
    IS_READY,
    IS_UNFINISHED,
    PASSES_GATE,
    upsert,
)
from workers.store.tables import batches, jobs, now_seconds, parks

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

LONGEST_SPACING_SECONDS = 1800.0
"""An account that was filled in the night is found within half an hour; `gradequeue resume` does it at once."""
PROBE_CANDIDATES = 200
"""One of the first waiting jobs is drawn, so that not one and the same is refused each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedAccount:
    """One parked account. `parked_at` is seconds since the epoch, database clock."""

    account: str
    state: AccountState
    message: str
    parked_at: float


def park_account(connection: Connection, *, account: str, state: AccountState, message: str) -> None:
    """Park an account and notify the operator; parking it twice changes nothing but that its probe is over."""
    new = {"state": str(state), "message": message, "parked_at": now_seconds()}
    added = connection.execute(upsert(connection, parks, key={"account": account}, new=new).returning(parks.c.account))
    if added.scalar() is not None:
        note_account(connection, Happening.ACCOUNT_PARKED, account, reason=str(state))
    else:
        connection.execute(update(parks).where(parks.c.account == account).values(probe_job_id=None))


def resume_account(
    connection: Connection, account: str | None = None, *, state: AccountState | None = None
) -> list[str]:
    """Lift one park, or all, or those of one state; returns the accounts that were parked.

    Deadlines move by the time their jobs waited.
    """
    lifted = [
        park for park in parked_accounts(connection) if account in {None, park.account} and state in {None, park.state}
    ]
    for park in lifted:
        shift_deadlines(connection, provider=park.account, since=park.parked_at)
    names = [park.account for park in lifted]
    connection.execute(delete(parks).where(parks.c.account.in_(names)))
    return names


def begin_probes(connection: Connection, *, every_seconds: float) -> list[str]:
    """Choose a job for each parked account whose last probe is long enough ago; returns their ids.

    The first after `every_seconds`, then as long after the last one as that came after the park, so each pause is twice
    the one before; half an hour at most.
    """
    last_tried = func.coalesce(parks.c.probed_at, parks.c.parked_at)
    grown = last_tried - parks.c.parked_at
    longest = max(every_seconds, LONGEST_SPACING_SECONDS)
    spacing = case((grown < every_seconds, every_seconds), (grown > longest, longest), else_=grown)
    due = connection.execute(select(parks.c.account).where(last_tried < now_seconds() - spacing)).scalars()
    return [job_id for account in list(due) if (job_id := _begin_probe(connection, account)) is not None]


def _begin_probe(connection: Connection, account: str) -> str | None:
    waiting = connection.execute(
        select(jobs.c.id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            batches.c.provider == account,
            IS_READY,
            or_(IS_DUE, jobs.c.lane.is_not(None)),
            jobs.c.position < batches.c.opened,
            PASSES_GATE,
            IS_BATCH_OPEN,
            IS_MODEL_OPEN,
        )
        .order_by(jobs.c.batch_id, jobs.c.position)
        .limit(PROBE_CANDIDATES)
    ).scalars()
    candidates = list(waiting)
    job_id = random.choice(candidates) if candidates else None  # noqa: S311 - any of them
    values: dict[str, object] = {"probe_job_id": job_id}
    if job_id is not None:  # without a job that waits nothing was tried: the next one that comes tries at once
        values["probed_at"] = now_seconds()
        # one that waited for another lane tries it live
        connection.execute(
            update(jobs).where(jobs.c.id == job_id, jobs.c.lane.is_not(None)).values(lane=None, not_before=None)
        )
    connection.execute(update(parks).where(parks.c.account == account).values(values))
    return job_id


def shift_deadlines(
    connection: Connection,
    *,
    since: float,
    provider: str | None = None,
    batch_id: int | None = None,
    which: ColumnElement[bool] | None = None,
) -> None:
    """Waiting that was not the jobs' own, from `since` (database clock) to now, does not count towards deadlines.

    Of a provider's jobs, of a batch's, or of `which` (a condition on `jobs`). A moment that a person named stays.
    """
    began_at = jobs.c.deadline_at - SPAN  # of the round, moved by the waits that ended before this one
    waited = now_seconds() - case((began_at > since, began_at), else_=since)
    if which is None:
        chosen = batches.c.id == batch_id if batch_id is not None else batches.c.provider == provider
        which = jobs.c.batch_id.in_(select(batches.c.id).where(chosen))
    connection.execute(
        update(jobs)
        .where(
            which,
            IS_UNFINISHED,
            jobs.c.deadline_at.is_not(None),
            SPAN.is_not(None),
        )
        .values(deadline_at=jobs.c.deadline_at + waited)
    )


def parked_accounts(connection: Connection) -> list[ParkedAccount]:
    """Every parked account, by name."""
    return [
        ParkedAccount(account=row.account, state=AccountState(row.state), message=row.message, parked_at=row.parked_at)
        for row in connection.execute(select(parks).order_by(parks.c.account))
    ]
