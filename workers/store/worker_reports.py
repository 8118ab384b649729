"""What living workers say: the queues they serve, the limits they see, the day caps they keep. Read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, union_all

from workers.store.control_tables import worker_accounts
from workers.store.tables import now_seconds, workers

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, CompoundSelect, Connection

SILENT_SECONDS = 45.0
"""A worker without a heartbeat for so long is not counted on; heartbeats come every 10 s by default."""


def latest_budgets(connection: Connection, *, within_seconds: float) -> list[dict[str, object]]:
    """The provider's limits per account and model, as the worker that looked last in this time saw them."""
    rows = connection.execute(
        select(workers.c.budgets)
        .where(workers.c.budgets.is_not(None), workers.c.heartbeat_at > now_seconds() - within_seconds)
        .order_by(workers.c.heartbeat_at)
    ).scalars()
    latest = {(row["account"], row["model"]): row for budgets in rows for row in budgets}
    return [latest[key] for key in sorted(latest)]


def day_caps_kept(connection: Connection) -> dict[str, dict[float | None, int]]:
    """Provider -> spend cap per day in US dollars, None for none -> living worker processes that keep it.

    Where there are several, settings differ: what a worker spends counts for all of them, and each stops at its own.
    """
    alive = (workers.c.stopped_at.is_(None), workers.c.heartbeat_at > now_seconds() - SILENT_SECONDS)
    served = union_all(
        select(workers.c.provider, workers.c.max_usd_per_day).where(workers.c.provider.is_not(None), *alive),
        select(worker_accounts.c.account, worker_accounts.c.max_usd_per_day)
        .join(workers, workers.c.id == worker_accounts.c.worker_id)
        .where(*alive),
    ).subquery()
    cap = served.c.max_usd_per_day
    rows = connection.execute(
        select(served.c.provider, cap, func.count().label("processes"))
        .group_by(served.c.provider, cap)
        .order_by(served.c.provider, cap.is_(None), cap)
    )
    kept: dict[str, dict[float | None, int]] = {}
    for row in rows:
        kept.setdefault(row.provider, {})[row.max_usd_per_day] = row.processes
    return kept


def is_worker_alive(
    connection: Connection, *, hostname: str, queue: str, silent_seconds: float = SILENT_SECONDS
) -> bool:
    """Whether a worker of this host serves the broker queue, for a health check; silent for longer it is not well."""
    now = connection.execute(select(now_seconds())).scalar_one()
    return queue in queues_now(connection, now, hostname=hostname, silent_seconds=silent_seconds)


def queues_now(
    connection: Connection, now: float, *, hostname: str | None = None, silent_seconds: float = SILENT_SECONDS
) -> list[str]:
    """The broker queues that living workers serve, each as often as a process serves it."""
    alive = [workers.c.stopped_at.is_(None), workers.c.heartbeat_at > now - silent_seconds]
    if hostname is not None:
        alive.append(workers.c.hostname == hostname)
    return [queue for queues in connection.execute(queues_served(*alive)).scalars() for queue in queues.split(",")]


def queues_served(*which: ColumnElement[bool]) -> CompoundSelect[Any]:
    """`queues` of those workers, comma-separated broker queues; a row for each account that they serve."""
    return union_all(
        select(workers.c.queues).where(*which),
        select(worker_accounts.c.queue).join(workers, workers.c.id == worker_accounts.c.worker_id).where(*which),
    )
