"""Which gates a transaction's work goes through: locked where somebody is held back by them, which is rare."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, literal, or_, select

from workers.store.bulk import among, among_given, given_list
from workers.store.compiled import Compiled
from workers.store.day_caps import DAY_SECONDS, day_of, make_day
from workers.store.spend_cap import SpendCap
from workers.store.sql import in_lists
from workers.store.tables import attempts, batch_gates, day_gates, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Row

    from workers.store.day_caps import DayCaps


@dataclass(frozen=True, slots=True)
class LockedGates:
    """Locked until the transaction ends."""

    rows: dict[int, Row[Any]]
    """By batch."""
    days: dict[tuple[str, str], SpendCap]
    """By account and day."""
    today: str
    """Empty where no day has a cap."""
    closed_today: set[str]
    """Accounts whose day is over."""


def locked_gates(
    connection: Connection,
    day_caps: DayCaps,
    *,
    batch_ids: Collection[int],
    closing_ids: Collection[str],
    is_opening: bool,
) -> LockedGates:
    """Lock the gates of these batches, of the batches of these requests, and the days; before any job is locked."""
    gated = _gated(connection.dialect.name).execute(connection, {"batch_ids": given_list(connection, batch_ids)}).one()
    touched = set(batch_ids) | (_capped_batches(connection, closing_ids) if gated.caps else set())
    rows = _locked_batches(connection, touched) if gated.caps or gated.batches else {}
    has_day = gated.days or (is_opening and any(usd is not None for usd in day_caps.by_account.values()))
    days, today, closed = _locked_days(connection, day_caps, is_opening=is_opening) if has_day else ({}, "", set())
    return LockedGates(rows=rows, days=days, today=today, closed_today=closed)


@cache
def _gated(dialect_name: str) -> Compiled:
    """Whether there is anything to lock at all, which is rare: one statement instead of three."""
    caps = select(batch_gates.c.batch_id).where(batch_gates.c.max_usd.is_not(None))
    among_them = among_given(batch_gates.c.batch_id, bindparam("batch_ids"), dialect_name)
    held_back = select(batch_gates.c.batch_id).where(among_them, _HOLDS_BACK)
    days = select(day_gates.c.day).where(_MAY_COUNT)
    return Compiled(select(exists(caps).label("caps"), exists(held_back).label("batches"), exists(days).label("days")))


_HOLDS_BACK = or_(
    batch_gates.c.proven_at.is_(None), batch_gates.c.max_usd.is_not(None), batch_gates.c.closed_at.is_not(None)
)
_MAY_COUNT = day_gates.c.ends_at > now_seconds() - DAY_SECONDS
"""A request ends a day later at the most."""


def _capped_batches(connection: Connection, closing_ids: Collection[str]) -> set[int]:
    found: set[int] = set()
    capped = select(batch_gates.c.batch_id).where(batch_gates.c.max_usd.is_not(None))
    for some in in_lists(closing_ids):
        of_them = among(connection, attempts.c.id, some)
        query = select(attempts.c.batch_id).where(of_them, attempts.c.batch_id.in_(capped)).distinct()
        found.update(connection.execute(query).scalars())
    return found


def _locked_batches(connection: Connection, batch_ids: Collection[int]) -> dict[int, Row[Any]]:
    """Those gates that somebody is still held back by; most batches are proven and have no cap."""
    if not batch_ids:
        return {}
    rows = connection.execute(
        select(batch_gates)
        .where(batch_gates.c.batch_id.in_(batch_ids), _HOLDS_BACK)
        .order_by(batch_gates.c.batch_id)
        .with_for_update()
    )
    return {row.batch_id: row for row in rows}


def _locked_days(
    connection: Connection, kept: DayCaps, *, is_opening: bool
) -> tuple[dict[tuple[str, str], SpendCap], str, set[str]]:
    """Caps by account and day, today's name (empty where there is no cap), and the accounts whose day is closed."""
    served = kept.by_account
    capped = [(account, usd) for account, usd in sorted(served.items()) if usd is not None] if is_opening else []
    if capped:
        now = connection.execute(select(now_seconds())).scalar_one()
        for account, max_usd in capped:
            make_day(connection, account, now, max_usd)
    rows = connection.execute(
        select(day_gates, now_seconds().label("now"))
        .where(
            _MAY_COUNT,
            day_gates.c.provider.in_(served) if served else literal(value=True),
        )
        .order_by(day_gates.c.provider, day_gates.c.day)
        .with_for_update()
    ).all()
    if not rows:
        return {}, "", set()
    today = day_of(rows[0].now)
    accounts = {
        (row.provider, row.day): SpendCap(served.get(row.provider) or row.max_usd, row.held_usd) for row in rows
    }
    return accounts, today, {row.provider for row in rows if row.day == today and row.closed_at is not None}
