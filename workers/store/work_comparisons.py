"""What comparing a batch's works with each other found: grades that differ from those of nearly the same work.

Comparing reads every work, so its findings are kept: they hold for the rounds they were made of, and whether anything
has ended since is known from two numbers. The order of reading counts what is kept here, wherever it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

from workers.contract.outcome import ENDED_STATES
from workers.store.control_tables import outliers, work_comparisons
from workers.store.pages import read_in_turn
from workers.store.sql import PAGE, insert_into
from workers.store.tables import batches, jobs, now_seconds, outcomes
from workers.store.tallies import job_tallies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row, ScalarSelect, Select

    from workers.store.engine import Store


@dataclass(frozen=True, slots=True)
class Outlier:
    """A grade that differs from those of works which are nearly the same."""

    expected: float
    """Median of the neighbours' grades."""
    neighbours: int
    share: float
    """Distance as a share of the scale, above 0 to 1."""


OUTLIER = (outliers.c.expected, outliers.c.neighbours, outliers.c.share)
"""Columns of a row in which `outlier_in` finds one."""
IS_OUTLIER = (outliers.c.job_id == jobs.c.id) & (outliers.c.round == jobs.c.round)
"""Of a job's present round."""


def outlier_in(row: Row[Any]) -> Outlier | None:
    """None where the row holds nothing in these columns."""
    return None if row.share is None else Outlier(row.expected, row.neighbours, row.share)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which outcomes a batch has. It differs after each one that came, or that a retry took the place from."""

    ended: int
    newest_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """When a batch's works were compared last. `compared_at` is seconds since the epoch, database clock, or None."""

    compared_at: float | None
    is_current: bool
    """No outcome has come since."""


@dataclass(frozen=True, slots=True)
class Work:
    """One work with a grade of its own."""

    position: int
    job_id: str
    round: int
    points: float
    text: str


def read_stamp(connection: Connection, batch_id: int) -> Stamp:
    """Costs the same whatever the batch's size."""
    row = connection.execute(_stamp(batch_id)).one()
    return Stamp(int(row.ended), row.newest_at)


def read_comparison(connection: Connection, batch_name: str, *, method: int) -> Comparison:
    """One query; nothing was compared where there is no such batch.

    `method`: the way of comparing that the caller knows; findings of another are out of date.
    """
    batch_id = select(batches.c.id).where(batches.c.name == batch_name).scalar_subquery()
    now, kept = _stamp(batch_id).subquery("now"), work_comparisons
    row = connection.execute(
        select(
            now, kept.c.compared_at, kept.c.method, kept.c.ended.label("then"), kept.c.newest_at.label("newest_then")
        )
        .select_from(now)
        .outerjoin(kept, kept.c.batch_id == batch_id)
    ).one()
    is_same = (row.then, row.newest_then, row.method) == (int(row.ended), row.newest_at, method)
    return Comparison(compared_at=row.compared_at, is_current=row.compared_at is not None and is_same)


def read_works(connection: Connection, batch_id: int) -> Iterator[Work]:
    """Every work with a grade of its own, in input order, a page in memory at a time; a twin's grade is another's."""
    graded = (
        select(jobs.c.position, jobs.c.id, jobs.c.round, outcomes.c.points, jobs.c.prompt)
        .join(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .where(
            jobs.c.batch_id == batch_id, outcomes.c.points.is_not(None), jobs.c.leader_id.is_(None),
            jobs.c.prompt.is_not(None),
        )
        .order_by(jobs.c.position)
    )  # fmt: skip

    def read(last: Row[Any] | None, most: int) -> Sequence[Any]:
        behind = graded if last is None else graded.where(jobs.c.position > last.position)
        return connection.execute(behind.limit(most)).all()

    for page in read_in_turn(read, size=PAGE):
        yield from (Work(*row) for row in page)


def read_outliers(connection: Connection, batch_id: int) -> dict[str, Outlier]:
    """By job id, of each job's present round."""
    rows = select(outliers.c.job_id, *OUTLIER).join(jobs, IS_OUTLIER).where(outliers.c.batch_id == batch_id)
    return {row.job_id: Outlier(row.expected, row.neighbours, row.share) for row in connection.execute(rows)}


def keep_outliers(
    store: Store, batch_id: int, found: Mapping[str, tuple[int, Outlier]], stamp: Stamp, *, method: int
) -> None:
    """Put these, by job id with the round they were found in, in place of what the last comparison found."""
    rows = [
        {
            "job_id": job_id, "batch_id": batch_id, "round": of_round,
            "expected": each.expected, "neighbours": each.neighbours, "share": each.share,
        }
        for job_id, (of_round, each) in found.items()
    ]  # fmt: skip

    def write(connection: Connection) -> None:
        made = insert_into(connection, work_comparisons).values(
            batch_id=batch_id, method=method, ended=stamp.ended, newest_at=stamp.newest_at, compared_at=now_seconds()
        )
        again = {name: made.excluded[name] for name in ("method", "ended", "newest_at", "compared_at")}
        # first, because its row is what two comparisons at once wait for
        connection.execute(made.on_conflict_do_update(index_elements=["batch_id"], set_=again))
        connection.execute(delete(outliers).where(outliers.c.batch_id == batch_id))
        if rows:
            connection.execute(insert(outliers), rows)

    store.run(write)


def _stamp(batch_id: int | ScalarSelect[int]) -> Select[tuple[int, float]]:
    ended = select(func.coalesce(func.sum(job_tallies.c.jobs), 0)).where(
        job_tallies.c.batch_id == batch_id, job_tallies.c.state.in_(ENDED_STATES)
    )
    newest = select(func.max(outcomes.c.finished_at)).where(outcomes.c.batch_id == batch_id)
    return select(ended.scalar_subquery().label("ended"), newest.scalar_subquery().label("newest_at"))
