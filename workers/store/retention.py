"""Forgetting: prompts, answers and metadata of jobs that ended long ago go; counts, costs and hashes stay.

Only finished jobs are touched. What is removed is removed from the file as well, as far as the database can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from workers.contract.flag import FlagKind
from workers.contract.outcome import ENDED_STATES
from workers.store.bulk import among
from workers.store.control_tables import outliers
from workers.store.sql import IS_UNFINISHED, LIST_LENGTH, in_lists, lock_jobs
from workers.store.tables import batches, decisions, flags, jobs, now_seconds, outcomes, standings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import ColumnElement, Connection

    from workers.store.engine import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Aged:
    """What is older than a given age."""

    finished: int
    """Jobs that ended before it and still hold their prompt: what a purge removes."""
    unfinished: int
    """Jobs enqueued before it that have not ended: a purge leaves them alone."""


STRETCH = 10_000
"""Jobs looked at by one statement, at most twice as many: a second of a disk that has none of them in memory."""


def count_aged(connection: Connection, *, older_than_seconds: float) -> Aged:
    """What a purge would meet now."""
    cutoff = _cutoff(connection, older_than_seconds)
    is_old = IS_UNFINISHED & (jobs.c.enqueued_at < cutoff)
    finished = unfinished = 0
    for stretch in _stretches(connection, cutoff):
        row = connection.execute(
            select(func.count().filter(_is_purgeable(cutoff)), func.count().filter(is_old)).where(stretch)
        ).one()
        finished, unfinished = finished + row[0], unfinished + row[1]
    return Aged(finished=finished, unfinished=unfinished)


def purge(store: Store, *, older_than_seconds: float, on_chunk: Callable[[int], None] = lambda _purged: None) -> int:
    """Remove prompts, answers, raw outputs and metadata of jobs that ended so long ago; returns how many jobs.

    In transactions of `LIST_LENGTH` jobs, after each of which `on_chunk` is called with their number: nobody waits
    long, and one that breaks off is resumed by the next call.
    """
    with store.snapshot() as connection:
        cutoff = _cutoff(connection, older_than_seconds)
        stretches = list(_stretches(connection, cutoff))
    purged = 0
    for stretch in stretches:
        with store.snapshot() as connection:
            ids = connection.execute(select(jobs.c.id).where(stretch, _is_purgeable(cutoff))).scalars().all()
        for some in in_lists(ids):
            chunk = store.run(lambda connection, some=some: _purge_jobs(connection, some))  # type: ignore[misc]
            on_chunk(chunk)
            purged += chunk
    forget_for_good(store)
    return purged


def _cutoff(connection: Connection, older_than_seconds: float) -> float:
    cutoff: float = connection.execute(select(now_seconds() - older_than_seconds)).scalar_one()
    return cutoff


def _stretches(connection: Connection, cutoff: float) -> Iterator[ColumnElement[bool]]:
    """Conditions that divide the jobs of every batch that is old enough: several batches, or a part of a large one."""
    rows = select(batches.c.id, batches.c.opened).where(batches.c.created_at < cutoff).order_by(batches.c.id)
    some: list[int] = []
    length = 0
    for row in connection.execute(rows).all():
        if row.opened > STRETCH:
            firsts = range(0, row.opened, STRETCH)
            for first in firsts:
                # the last one has no end: what is staging has positions from `opened` on
                is_in = jobs.c.position >= first
                if first != firsts[-1]:
                    is_in &= jobs.c.position < first + STRETCH
                yield (jobs.c.batch_id == row.id) & is_in
            continue
        some.append(row.id)
        length += row.opened
        if length >= STRETCH or len(some) == LIST_LENGTH:
            yield jobs.c.batch_id.in_(some)
            some, length = [], 0
    if some:
        yield jobs.c.batch_id.in_(some)


def _is_purgeable(cutoff: ColumnElement[float] | float) -> ColumnElement[bool]:
    return jobs.c.state.in_(ENDED_STATES) & (jobs.c.finished_at < cutoff) & jobs.c.prompt.is_not(None)


def _purge_jobs(connection: Connection, job_ids: list[str]) -> int:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # or the text stays in the file's free pages
    ended = [job.id for job in lock_jobs(connection, job_ids).values() if job.state in ENDED_STATES]
    connection.execute(
        update(jobs)
        .where(among(connection, jobs.c.id, ended))
        .values(prompt=None, metadata={}, pseudonyms=None, kept_answer=None)
    )
    connection.execute(
        update(outcomes)
        .where(among(connection, outcomes.c.job_id, ended))
        .values(result=None, raw_output=None, validation_errors=None, refusal=None, points=None)
    )
    _forget_differences(connection, ended)
    connection.execute(
        update(decisions).where(among(connection, decisions.c.job_id, ended)).values(result=None, reason="")
    )
    connection.execute(update(standings).where(among(connection, standings.c.job_id, ended)).values(points=None))
    connection.execute(delete(outliers).where(among(connection, outliers.c.job_id, ended)))
    return len(ended)


def _forget_differences(connection: Connection, job_ids: list[str]) -> None:
    """What a counterfactual showed is part of two answers."""
    rows = connection.execute(
        select(outcomes.c.job_id, outcomes.c.round, outcomes.c.provenance).where(
            among(connection, outcomes.c.job_id, job_ids), outcomes.c.provenance.is_not(None)
        )
    )
    for row in rows.all():
        if "counterfactual" in (row.provenance or {}):
            kept = {name: value for name, value in row.provenance.items() if name != "counterfactual"}
            of_round = (outcomes.c.job_id == row.job_id) & (outcomes.c.round == row.round)
            connection.execute(update(outcomes).where(of_round).values(provenance=kept))
            flagged = (flags.c.job_id == row.job_id) & (flags.c.round == row.round)
            is_about_it = flags.c.kind == str(FlagKind.INJECTION_SUSPECTED)
            connection.execute(update(flags).where(flagged, is_about_it).values(message=""))


def forget_for_good(store: Store) -> None:
    """Let the database drop what the rows held before: SQLite's log, PostgreSQL's dead rows. The end of every purge.

    Nobody waits for it; where nothing was purged since the last time, it is done at once.
    """
    statements = ["PRAGMA wal_checkpoint(TRUNCATE)"] if store.is_sqlite else [f"VACUUM {each}" for each in _FORGETTING]
    with store.without_transaction() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


_FORGETTING = ("jobs", "outcomes", "flags", "decisions", "standings", "outliers")
"""Tables that a purge changes."""
