"""Accounts that wait: billing and auth answers park them, the operator resumes them. No job fails for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import case, delete, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from workers.contract.outcome import AccountState
from workers.store.rows import IS_UNFINISHED
from workers.store.tables import batches, jobs, now_seconds, parks

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """One parked account. `parked_at` is seconds since the epoch, database clock."""

    account: str
    state: AccountState
    message: str
    parked_at: float


def park_account(connection: Connection, *, account: str, state: AccountState, message: str) -> None:
    """Park an account; parking it twice changes nothing."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        dialect.insert(parks)
        .values(account=account, state=str(state), message=message, parked_at=now_seconds())
        .on_conflict_do_nothing()
    )


def resume_account(connection: Connection, account: str | None = None) -> list[str]:
    """Lift one park, or all; returns the accounts that were parked. Deadlines move by the time their jobs waited."""
    lifted = [park for park in parked_accounts(connection) if account is None or park.account == account]
    for park in lifted:
        shift_deadlines(connection, provider=park.account, since=park.parked_at)
    names = [park.account for park in lifted]
    connection.execute(delete(parks).where(parks.c.account.in_(names)))
    return names


def shift_deadlines(connection: Connection, *, provider: str, since: float, model: str | None = None) -> None:
    """Waiting that was not the jobs' own, from `since` (database clock) to now, does not count towards deadlines."""
    allowed = jobs.c.parameters["deadline_seconds"].as_float()
    began_at = jobs.c.deadline_at - allowed  # of the round, moved by the waits that ended before this one
    waited = now_seconds() - case((began_at > since, began_at), else_=since)
    of_provider = select(batches.c.id).where(batches.c.provider == provider)
    connection.execute(
        update(jobs)
        .where(
            jobs.c.batch_id.in_(of_provider),
            IS_UNFINISHED,
            jobs.c.deadline_at.is_not(None),
            literal(value=True) if model is None else jobs.c.model == model,
        )
        .values(deadline_at=jobs.c.deadline_at + waited)
    )


def parked_accounts(connection: Connection) -> list[Park]:
    """Every parked account, by name."""
    return [
        Park(account=row.account, state=AccountState(row.state), message=row.message, parked_at=row.parked_at)
        for row in connection.execute(select(parks).order_by(parks.c.account))
    ]
