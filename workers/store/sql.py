"""What several files of the store share: ids, conditions, locks."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, literal_column, or_, select, union

from workers.contract.outcome import JobState
from workers.store.bulk import among_given, given_list
from workers.store.compiled import Compiled
from workers.store.control_tables import pauses
from workers.store.tables import batch_gates, batches, day_gates, jobs, now_seconds, parks, pilot_jobs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Select, Table
    from sqlalchemy.dialects import postgresql, sqlite


_RANDOM_BYTES = 10
_TIME_DIGITS = 12
_HOUR_MILLISECONDS = 3_600_000


def new_id() -> str:
    """32 hex digits: 48 bits of milliseconds, 80 bits of chance (the layout of UUID version 7, without its marks)."""
    return f"{time.time_ns() // 1_000_000:0{_TIME_DIGITS}x}{secrets.token_hex(_RANDOM_BYTES)}"


def earlier_id(made: str) -> str:
    """An id below all that the same host made after this one, though its clock was set back by an hour."""
    try:
        return f"{max(0, int(made[:_TIME_DIGITS], 16) - _HOUR_MILLISECONDS):0{_TIME_DIGITS}x}"
    except ValueError:  # no id of ours: everything may be after it
        return ""


def _literal(state: JobState) -> ColumnElement[str]:
    return literal_column(f"'{state}'")


# Literals, not bound parameters: SQLite takes a partial index only when it can prove the condition when preparing.
IS_READY: ColumnElement[bool] = jobs.c.state == _literal(JobState.READY)
IS_RUNNING: ColumnElement[bool] = jobs.c.state == _literal(JobState.RUNNING)
IS_UNFINISHED: ColumnElement[bool] = jobs.c.state.in_([_literal(JobState.READY), _literal(JobState.RUNNING)])
IS_FOLLOWING: ColumnElement[bool] = jobs.c.state == _literal(JobState.FOLLOWING)
"""It takes the outcome of another job, its leader (see `twins`): nobody publishes or claims it."""
IS_UNPUBLISHED: ColumnElement[bool] = IS_READY & jobs.c.published_at.is_(None)
IS_WAITING: ColumnElement[bool] = IS_READY & jobs.c.published_at.is_not(None)
IS_DUE: ColumnElement[bool] = or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now_seconds())
IS_SUSPECT: ColumnElement[bool] = IS_READY & (jobs.c.lost_claims > literal_column("1"))
"""Two workers died while they held it in this round: it runs alone."""
MOST_TRUSTED_LOSSES = 1
IS_OPENED: ColumnElement[bool] = jobs.c.position < (
    select(batches.c.opened).where(batches.c.id == jobs.c.batch_id).correlate(jobs).scalar_subquery()
)
"""The job's enqueue is complete; staging jobs are invisible to publishers and workers."""
PARKED_ACCOUNTS = union(
    select(parks.c.account),
    select(day_gates.c.provider).where(day_gates.c.closed_at.is_not(None), day_gates.c.ends_at > now_seconds()),
)
"""Accounts of which nothing starts: the provider refuses them, or what may be spent in a day is spent."""
PROBE_JOBS = select(parks.c.probe_job_id).where(parks.c.probe_job_id.is_not(None))
"""The one job of each parked account that may run, to find out whether the others may."""


def _paused(scope: str) -> Select[tuple[str]]:
    return select(pauses.c.name).where(pauses.c.scope == scope)


IS_BATCH_OPEN: ColumnElement[bool] = and_(
    batches.c.name.not_in(_paused("batch")),
    batches.c.provider.not_in(_paused("account")),
    batches.c.queue.not_in(_paused("queue")),
)
"""Nobody paused the batch, its account or its queue."""
IS_MODEL_OPEN: ColumnElement[bool] = jobs.c.model.not_in(_paused("model"))
"""Nobody paused the job's model."""
CLOSED_BATCHES = select(batch_gates.c.batch_id).where(batch_gates.c.closed_at.is_not(None))
_PILOTS = select(batch_gates.c.batch_id).where(batch_gates.c.pilot_since.is_not(None))
IS_IN_PILOT: ColumnElement[bool] = exists(
    select(pilot_jobs.c.job_id).where(pilot_jobs.c.job_id == jobs.c.id).correlate(jobs)
)
PASSES_GATE: ColumnElement[bool] = and_(
    jobs.c.batch_id.not_in(CLOSED_BATCHES), or_(jobs.c.batch_id.not_in(_PILOTS), IS_IN_PILOT)
)
"""Its batch waits for nobody's word: neither closed, nor a pilot that the job is no part of."""
LIST_LENGTH = 500
"""Values per IN list: well below every limit of bound parameters, and few different statements to prepare."""


class LockedJob(NamedTuple):
    """A job's state that nobody can change before this transaction ends."""

    id: str
    batch_id: int
    round: int
    claim: int
    state: str
    worker_id: str | None
    cancel_requested: bool
    lost_claims: int

    def is_held_by(self, claim: int) -> bool:
        """True while this claim is the current one."""
        return self.state == JobState.RUNNING and self.claim == claim


def lock_jobs(connection: Connection, job_ids: Collection[str], *, skip_locked: bool = False) -> dict[str, LockedJob]:
    """Lock these jobs and read their state; those that do not exist are absent.

    `skip_locked`: absent, too, are those that somebody else has locked, who may be a process that was stopped.
    """
    if not job_ids:
        return {}
    found = _locking(connection.dialect.name, skip_locked).execute(
        connection, {"job_ids": given_list(connection, sorted(job_ids))}
    )
    return {row[0]: LockedJob._make(row) for row in found}


@cache
def _locking(dialect_name: str, skip_locked: bool) -> Compiled:  # noqa: FBT001
    columns = [jobs.c[name] for name in LockedJob._fields]
    chosen = select(*columns).where(among_given(jobs.c.id, bindparam("job_ids"), dialect_name))
    return Compiled(in_id_order(chosen, skip_locked=skip_locked))


def in_id_order(statement: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
    """Lock the rows in one order everywhere, so that two transactions cannot wait for each other (PostgreSQL)."""
    # NO KEY UPDATE: a ledger row inserted meanwhile checks its foreign key without waiting for us
    return statement.order_by(jobs.c.id).with_for_update(of=jobs, key_share=True, skip_locked=skip_locked)


def in_lists(values: Collection[str]) -> Iterator[list[str]]:
    """The values, as many at a time as an IN list may hold."""
    remaining = iter(values)
    while some := list(islice(remaining, LIST_LENGTH)):
        yield some


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say what happens when the row exists; the caller names the conflict's columns.

    The dialects are imported here: PostgreSQL's costs 20 ms, and who only reads needs neither.
    """
    if is_sqlite(connection):
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - see above

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert(table)


def upsert(
    connection: Connection,
    table: Table,
    *,
    key: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    where: ColumnElement[bool] | None = None,
) -> sqlite.Insert | postgresql.Insert:
    """A row by its key: inserted with `values` and `new`, or, where it exists, given `values` alone (none: it is kept).

    The conflict's target is the key's columns, never "any constraint". `where`: an existing row is changed only if
    that holds of it. The caller executes it, with RETURNING if it asks whether anything was written.
    """
    insertion = insert_into(connection, table).values(**key, **(values or {}), **(new or {}))
    if values:
        return insertion.on_conflict_do_update(index_elements=list(key), set_=values, where=where)
    return insertion.on_conflict_do_nothing(index_elements=list(key))


def is_sqlite(connection: Connection) -> bool:
    """True on SQLite, False on PostgreSQL."""
    return connection.dialect.name == "sqlite"


@contextmanager
def in_pages(connection: Connection) -> Iterator[None]:
    """Within it, PostgreSQL joins a page's rows by index, one by one.

    It cannot know that another page follows, and may find it cheaper to read a whole table: once for each page.
    """
    if is_sqlite(connection):
        yield
        return
    names = ("enable_hashjoin", "enable_mergejoin")
    before = connection.execute(select(*[func.current_setting(name) for name in names])).one()
    connection.execute(select(*[func.set_config(name, "off", True) for name in names]))  # noqa: FBT003 - SQL's own
    yield
    # not where the reader stops early or fails: its transaction, which alone this concerns, ends there
    connection.execute(select(*[func.set_config(name, value, True) for name, value in zip(names, before, strict=True)]))  # noqa: FBT003


def fetch_plain(connection: Connection, statement: Select[Any]) -> Sequence[Any]:
    """The rows as tuples of what the driver gives, in half the time: no names, and no types of ours are applied."""
    with connection.execute(statement) as found:
        return found.cursor.fetchall()


PAGE = 500
"""Rows fetched at a time, so that a hundred thousand results are never in memory together."""


def lock_batch(connection: Connection, batch_id: int) -> None:
    """Enqueue, cancel and retry of one batch take turns; taken before any of its jobs is locked."""
    connection.execute(select(batches.c.id).where(batches.c.id == batch_id).with_for_update(key_share=True))
