"""What all requests of an account may cost in one day (UTC), by the day on which a request was opened.

A day's row is made by the first request that a worker with a cap opens on it, from what the ledger holds already. A day
that is closed opens by itself when it is over; deadlines move by the time that its jobs waited.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import func, literal, select, update

from workers.store.parks import shift_deadlines
from workers.store.sql import upsert
from workers.store.tables import attempts, batches, day_gates, now_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from workers.store import Store

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class DayGate:
    """What was spent of a provider's cap today (UTC)."""

    provider: str
    day: str
    max_usd: float
    held_usd: float
    closed_at: float | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCaps:
    """What one worker keeps: a cap of a day for each account that it serves, US dollars, None for none.

    `total_usd` holds for all of them together; None where one account has it to itself, or nobody set any.
    """

    by_account: Mapping[str, float | None] = field(default_factory=dict)
    total_usd: float | None = None


NO_DAY_CAPS = DayCaps()
"""Of who opens no request: whatever any worker keeps is counted on."""


def day_of(seconds: float) -> str:
    """The day (UTC) of a time in seconds since the epoch: `2026-11-27`."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def make_day(connection: Connection, provider: str, now: float, max_usd: float) -> None:
    """Today's row where there is none, with what the ledger holds of today already."""
    today = day_of(now)
    key = (day_gates.c.provider == provider, day_gates.c.day == today)
    if connection.execute(select(literal(1)).where(*key)).scalar() is not None:
        return
    begins_at = now - now % DAY_SECONDS
    connection.execute(
        upsert(
            connection,
            day_gates,
            key={"provider": provider, "day": today},
            new={
                "ends_at": begins_at + DAY_SECONDS,
                "max_usd": max_usd,
                "held_usd": held_since(connection, provider, begins_at),
            },
        )
    )


def held_since(connection: Connection, provider: str, begins_at: float) -> float:
    """What the ledger's requests to a provider count for that were opened since then (seconds, database clock)."""
    of_provider = select(batches.c.id).where(batches.c.provider == provider)
    total = select(func.coalesce(func.sum(attempts.c.held_usd), 0.0)).where(
        attempts.c.batch_id.in_(of_provider), attempts.c.opened_at >= begins_at
    )
    return float(connection.execute(total).scalar_one())


def recount_days(store: Store, *, lock_seconds: float) -> int:
    """Count again what is held against every cap of today; returns how many counts were wrong (see `recount_caps`)."""
    with store.snapshot() as connection:
        providers = [each.provider for each in read_days(connection)]
    return sum(store.run(partial(_recount, provider=each), lock_seconds=lock_seconds) for each in providers)


def is_same_usd(one: float, other: float) -> bool:
    """But for the rounding of sums."""
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def _recount(connection: Connection, *, provider: str) -> bool:
    row = connection.execute(
        select(day_gates)
        .where(day_gates.c.provider == provider, day_gates.c.ends_at > now_seconds())
        .order_by(day_gates.c.day)
        .limit(1)
        .with_for_update()
    ).one_or_none()
    if row is None:  # midnight
        return False
    held_usd = held_since(connection, provider, row.ends_at - DAY_SECONDS)
    if is_same_usd(row.held_usd, held_usd):
        return False
    connection.execute(
        update(day_gates).where(day_gates.c.provider == provider, day_gates.c.day == row.day).values(held_usd=held_usd)
    )
    return True


def read_days(connection: Connection) -> list[DayGate]:
    """Every provider's cap of today, where one is kept."""
    rows = connection.execute(
        select(day_gates).where(day_gates.c.ends_at > now_seconds()).order_by(day_gates.c.provider)
    )
    return [
        DayGate(
            provider=row.provider,
            day=row.day,
            max_usd=row.max_usd,
            held_usd=row.held_usd,
            closed_at=row.closed_at,
            message=row.message or "",
        )
        for row in rows
    ]


def resume_days(connection: Connection, provider: str | None = None) -> list[str]:
    """Open closed days again, of one provider or of all; a spent cap closes its day again with the next request."""
    days = [each for each in read_days(connection) if provider in {None, each.provider}]
    closed = [each for each in days if each.closed_at is not None]
    for each in closed:
        _open_day(connection, each.provider, each.day, since=each.closed_at)
    return [each.provider for each in closed]


def raise_days(connection: Connection, caps: DayCaps) -> None:
    """A worker starts with these caps: where one is higher than the one that closed a day, that day is open again."""
    for each in read_days(connection):
        max_usd = caps.by_account.get(each.provider)
        if each.closed_at is None or max_usd is None:
            continue
        total_usd = math.inf if caps.total_usd is None else caps.total_usd
        was_total = each.max_usd > max_usd  # all accounts together had spent theirs
        if min(max_usd, total_usd) > each.max_usd or (was_total and each.max_usd < total_usd < math.inf):
            _open_day(connection, each.provider, each.day, since=each.closed_at)


def end_days(connection: Connection) -> list[str]:
    """Days that were closed and are over: what waited for the next one may start. Returns their providers."""
    over = connection.execute(
        select(day_gates.c.provider, day_gates.c.day, day_gates.c.closed_at).where(*_ENDED_DAYS)
    ).all()
    for row in over:
        _open_day(connection, row.provider, row.day, since=row.closed_at)
    return [row.provider for row in over]


def has_ended_days(connection: Connection) -> bool:
    """Whether `end_days` has something to do."""
    return connection.execute(select(day_gates.c.day).where(*_ENDED_DAYS).limit(1)).scalar() is not None


_ENDED_DAYS = (day_gates.c.closed_at.is_not(None), day_gates.c.ends_at <= now_seconds())


def _open_day(connection: Connection, provider: str, day: str, *, since: float | None) -> None:
    if since is not None:
        shift_deadlines(connection, provider=provider, since=since)
    connection.execute(
        update(day_gates)
        .where(day_gates.c.provider == provider, day_gates.c.day == day)
        .values(closed_at=None, message=None)
    )
