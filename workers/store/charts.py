"""Numbers of a batch's charts, summed up by the database: grades by size, results and cost over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, Integer, Select, case, cast, func, literal, select, union_all

from workers.contract.decision import ReviewState
from workers.store.tables import attempts, batches, jobs, outcomes, standings

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

BARS = 20
"""Of each chart: as many as can be distinguished on a phone."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Equal parts of the range from `low` to `high`, and a number for each; no values where there is nothing."""

    low: float
    high: float
    values: tuple[float, ...]

    @property
    def starts(self) -> tuple[float, ...]:
        """Where each bar begins."""
        width = (self.high - self.low) / max(1, len(self.values))
        return tuple(self.low + number * width for number in range(len(self.values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """What a batch's page draws. Times are seconds since the epoch, database clock."""

    grades: Bars
    """Students by points: the official ones, else the model's."""
    finished: Bars
    """Results and failures by the time they came."""
    cost_usd: Bars
    """What requests cost by the time they ended."""


def read_charts(connection: Connection, batch_id: int, *, most_points: float | None = None) -> Charts:
    """One query. `most_points`: the end of the grades' range, where the rubric says it."""
    opened = select(batches.c.opened).where(batches.c.id == batch_id).scalar_subquery()
    points = case(
        (
            func.coalesce(standings.c.state, str(ReviewState.UNDECIDED)) != str(ReviewState.UNDECIDED),
            standings.c.points,
        ),
        else_=outcomes.c.points,
    )
    graded = (
        select(points.label("x"), literal(1.0).label("y"))
        .select_from(jobs)
        .join(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .outerjoin(standings, standings.c.job_id == jobs.c.id)
        .where(jobs.c.batch_id == batch_id, jobs.c.position < opened, points.is_not(None))
    )
    ended = select(jobs.c.finished_at.label("x"), literal(1.0).label("y")).where(
        jobs.c.batch_id == batch_id, jobs.c.finished_at.is_not(None)
    )
    paid = select(attempts.c.closed_at.label("x"), attempts.c.cost_usd.label("y")).where(
        attempts.c.batch_id == batch_id, attempts.c.closed_at.is_not(None), attempts.c.cost_usd.is_not(None)
    )
    rows = connection.execute(
        union_all(
            _bars("grades", graded, low=0.0 if most_points is not None else None, high=most_points),
            _bars("finished", ended),
            _bars("cost", paid),
        )
    ).all()
    return Charts(grades=_read(rows, "grades"), finished=_read(rows, "finished"), cost_usd=_read(rows, "cost"))


def _bars(what: str, pairs: Select[Any], *, low: float | None = None, high: float | None = None) -> Select[Any]:
    """The sum of y in each of `BARS` equal parts of x's range; the last holds the end of the range too."""
    values = pairs.cte(f"{what}_values")
    least: ColumnElement[Any] = select(func.min(values.c.x)).scalar_subquery()
    most: ColumnElement[Any] = select(func.max(values.c.x)).scalar_subquery()
    if low is not None:
        least = cast(literal(low), Double)
    if high is not None:
        most = cast(literal(high), Double)
    share = (values.c.x - least) / (most - least)
    part = case((most <= least, 0), else_=cast(func.floor(share * BARS), Integer))
    return (
        select(literal(what).label("what"), part.label("part"), func.sum(values.c.y).label("value"),
               least.label("low"), most.label("high"))
        .group_by(part)
    )  # fmt: skip


def _read(rows: Any, what: str) -> Bars:
    found = [row for row in rows if row.what == what]
    if not found:
        return Bars(0.0, 0.0, ())
    values = [0.0] * BARS
    for row in found:
        values[max(0, min(BARS - 1, row.part))] += float(row.value)
    return Bars(float(found[0].low), float(found[0].high), tuple(values))
