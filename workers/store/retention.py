"""Forgetting: prompts, answers and metadata of jobs that ended long ago go; counts, costs and hashes stay.

Only finished jobs are touched. What is removed is removed from the file as well, as far as the database can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from workers.contract.flag import FlagKind
from workers.contract.outcome import ENDED_STATES
from workers.store.bulk import among
from workers.store.pages import is_behind, read_in_turn
from workers.store.sql import IS_UNFINISHED, LIST_LENGTH, lock_jobs
from workers.store.tables import batches, decisions, flags, jobs, now_seconds, outcomes, standings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from workers.store.engine import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Aged:
    """What is older than a given age."""

    finished: int
    """Jobs that ended before it and still hold their prompt: what a purge removes."""
    unfinished: int
    """Jobs enqueued before it that have not ended: a purge leaves them alone."""


def count_aged(connection: Connection, *, older_than_seconds: float) -> Aged:
    """What a purge would meet now."""
    cutoff = now_seconds() - older_than_seconds
    finished = select(func.count()).where(_is_purgeable(cutoff))
    unfinished = select(func.count()).where(IS_UNFINISHED, jobs.c.enqueued_at < cutoff)
    return Aged(
        finished=connection.execute(finished).scalar_one(), unfinished=connection.execute(unfinished).scalar_one()
    )


def purge(store: Store, *, older_than_seconds: float) -> int:
    """Remove prompts, answers, raw outputs and metadata of jobs that ended so long ago; returns how many jobs.

    In transactions of a few hundred jobs; one that breaks off is gone on with by the next call.
    """
    with store.snapshot() as connection:
        cutoff = connection.execute(select(now_seconds() - older_than_seconds)).scalar_one()
        aged_batches = list(connection.execute(select(batches.c.id).where(batches.c.created_at < cutoff)).scalars())
    purged = sum(_purge_batch(store, batch_id, cutoff) for batch_id in aged_batches)
    _forget_for_good(store)
    return purged


def _purge_batch(store: Store, batch_id: int, cutoff: float) -> int:
    def read(last: Row[*tuple[Any, ...]] | None, most: int) -> Sequence[Row[*tuple[Any, ...]]]:
        with store.snapshot() as connection:
            rows = select(jobs.c.id, jobs.c.position).where(jobs.c.batch_id == batch_id, _is_purgeable(cutoff))
            return connection.execute(rows.where(is_behind(last)).order_by(jobs.c.position).limit(most)).all()

    purged = 0
    for page in read_in_turn(read, size=LIST_LENGTH):
        ids = [row.id for row in page]
        purged += store.run(lambda connection, ids=ids: _purge_jobs(connection, ids))  # type: ignore[misc]
    return purged


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


def _forget_for_good(store: Store) -> None:
    """Let the database drop what the rows held before: SQLite's log, PostgreSQL's dead rows."""
    statement = "PRAGMA wal_checkpoint(TRUNCATE)" if store.is_sqlite else "VACUUM jobs, outcomes, decisions"
    with store.without_transaction() as connection:
        connection.exec_driver_sql(statement)
