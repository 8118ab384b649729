"""The progress of batches with what the rest of each waits for: of one, or of all, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from producer.terminal.gate_notices import closed_notice
from producer.terminal.notices import RECENT_SECONDS, hold_notices, pause_notices
from producer.terminal.waiting import why_jobs_wait
from workers.store.day_caps import read_days
from workers.store.gates import BatchGate, read_gates
from workers.store.pages import Key, is_beyond, read_in_turn
from workers.store.parks import parked_accounts
from workers.store.pauses import BatchPauses, holding_back, read_pauses
from workers.store.progress import Pace, Progress, read_each_progress, read_paces
from workers.store.sql import LIST_LENGTH
from workers.store.tables import batches
from workers.store.worker_reports import latest_budgets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row

    from workers.store import Store
    from workers.store.day_caps import DayGate
    from workers.store.parks import ParkedAccount
    from workers.store.pauses import Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress(Progress):
    """Counts, pace, and what the rest of a batch waits for."""

    jobs_per_second: float | None
    """Over the last minute; None when unknown."""
    seconds_left: float | None
    """At that pace; None when unknown, 0 when nothing is left."""
    live_workers: int = 0
    """Of its queue and provider."""
    waiting_for: tuple[str, ...]
    """Why waiting jobs wait, in sentences; empty when nothing waits."""
    gate: BatchGate
    """Its pilot and its spend cap."""
    closed: str | None
    """Why no more of its jobs start, and the command that resumes them; None while jobs may start."""
    park: ParkedAccount | None
    """Why the batch's account receives no requests; None while it does."""
    paused: BatchPauses
    """What a person paused of it."""
    holds: tuple[str, ...]
    """A sentence per model of this account that is held now."""


def progress_of(connection: Connection, name: str) -> BatchProgress | None:
    """Of the batch of this name; None when there is none."""
    rows = connection.execute(select(batches).where(batches.c.name == name)).all()
    return next(iter(_progress_of(connection, rows)), None)


_BY_ID = (Key(batches.c.id),)


def progress_of_every(store: Store) -> Iterator[BatchProgress]:
    """Of every batch, the oldest first: a snapshot and the same few queries for each page of `LIST_LENGTH`."""

    def read(last: _BatchRow | None, most: int) -> Sequence[_BatchRow]:
        rows = select(batches).order_by(batches.c.id).limit(most)
        with store.snapshot() as connection:
            found = connection.execute(rows if last is None else rows.where(is_beyond(_BY_ID, (last.id,)))).all()
            return [_BatchRow(row.id, each) for row, each in zip(found, _progress_of(connection, found), strict=True)]

    for page in read_in_turn(read, size=LIST_LENGTH):
        yield from (row.progress for row in page)


@dataclass(frozen=True, slots=True)
class _BatchRow:
    """A batch's place in the list, and its progress."""

    id: int
    progress: BatchProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outside:
    """What holds back jobs of several batches."""

    parks: Sequence[ParkedAccount]
    budgets: Sequence[dict[str, Any]]
    days: Sequence[DayGate]
    pauses: Sequence[Pause]


def _progress_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[BatchProgress]:
    if not rows:
        return []
    found = read_each_progress(connection, rows)
    deferred = [row.id for row, each in zip(rows, found, strict=True) if each.deferred]
    paces = read_paces(connection, rows, deferred)
    gates = read_gates(connection, {row.id: row.name for row in rows})
    outside = _Outside(
        parks=parked_accounts(connection),
        budgets=latest_budgets(connection, within_seconds=RECENT_SECONDS),
        days=read_days(connection),
        pauses=read_pauses(connection),
    )
    made = []
    for row, each in zip(rows, found, strict=True):
        paused = BatchPauses()
        if outside.pauses:
            paused = holding_back(connection, row, outside.pauses, has_waiting=bool(each.waiting))
        made.append(_with_reasons(each, paces[row.id], gates[row.id], paused, outside))
    return made


def _with_reasons(
    progress: Progress, pace: Pace, gate: BatchGate, paused: BatchPauses, outside: _Outside
) -> BatchProgress:
    park = next((park for park in outside.parks if park.account == progress.provider), None)
    holds = tuple(hold_notices(outside.budgets, account=progress.provider))
    left = progress.total - progress.finished
    rate = pace.jobs_per_second
    closed = closed_notice(gate, progress, outside.days, paused) if progress.waiting else None
    return BatchProgress(
        **{each.name: getattr(progress, each.name) for each in fields(Progress)},
        jobs_per_second=rate,
        seconds_left=0.0 if not left else left / rate if rate else None,
        gate=gate,
        closed=closed,
        live_workers=pace.live_workers,
        waiting_for=why_jobs_wait(progress, pace, park, closed=closed, holds=(*pause_notices(paused), *holds)),
        park=park,
        paused=paused,
        holds=holds,
    )
