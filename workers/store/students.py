"""The students of a batch as a list on a page: a few at a time, filtered, searched and sorted by the database.

Reads no prompt and no result, whatever the batch's size: numbers that summarise them have columns of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from workers.contract.decision import ReviewState
from workers.contract.outcome import FailureKind
from workers.store.control_tables import outliers
from workers.store.flags import flags_by_round, flags_of_round
from workers.store.pages import is_beyond, read_page
from workers.store.repairs import is_repaired
from workers.store.student_choice import Choice
from workers.store.student_order import counted, doubtful, keys_of, listed, own_row
from workers.store.tables import jobs, outcomes
from workers.store.work_comparisons import IS_OUTLIER, OUTLIER, outlier_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import CTE, Connection, Row, ScalarSelect

    from workers.contract.flag import Flag, FlagKind
    from workers.store.pages import Page, Place
    from workers.store.student_choice import Doubts, Reason
    from workers.store.work_comparisons import Outlier


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentLine:
    """One student with a result or a failure."""

    id: str
    position: int
    round: int
    model_points: float | None
    failure_kind: FailureKind | None
    is_standin: bool
    flags: tuple[FlagKind, ...]
    state: ReviewState
    official_points: float | None
    decided_by: str | None
    is_stale: bool
    """The decision was about an earlier round."""
    released: bool
    changed: bool
    """The student sees another grade than the official one."""
    is_repaired: bool = False
    """Its first answer was invalid."""
    outlier: Outlier | None = None
    context_hash: str | None = None
    """The rubric or catalogue that it was graded by."""
    most_points: float | None = None
    """Of how many, as a correction says it, for other points may have been computed since; else the own rubric. Filled
    by who knows both, as the reasons are."""
    reasons: tuple[Reason, ...] = ()
    """Why to read it, the strongest first."""
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def points(self) -> float | None:
        """The official ones, else the model's."""
        return self.model_points if self.state is ReviewState.UNDECIDED else self.official_points


def read_students(
    connection: Connection, batch_id: int, choice: Choice, doubts: Doubts, *, at: Place | None = None, at_most: int
) -> Page[StudentLine]:
    """A page of the students under this choice; see `read_page`. Two further queries for what is shown beside them."""
    rows = listed(
        batch_id, choice, doubtful(batch_id, choice, doubts),
        beside=at.values if at else None, is_backwards=at is not None and at.is_backwards, at_most=at_most + 1,
    )  # fmt: skip
    page = read_page(connection, select(rows), keys_of(rows, choice.sort), at=at, at_most=at_most)
    if at is not None and at.is_backwards and page.previous is None:  # the first page: what follows the place is on it
        return read_students(connection, batch_id, choice, doubts, at_most=at_most)
    ids = [row.id for row in page.rows]
    if not ids:
        return page.mapped(())
    # apart from the order, which would read them of everybody
    beside = {row.id: row for row in connection.execute(_BESIDE.where(jobs.c.id.in_(ids)))}
    carried = flags_by_round(connection, ids)
    return page.mapped([_line(row, flags_of_round(carried, row.id, row.round), beside[row.id]) for row in page.rows])


_BESIDE = select(
    jobs.c.id, jobs.c.metadata, jobs.c.context_hash, is_repaired().label("is_repaired"), *OUTLIER
).outerjoin(outliers, IS_OUTLIER)


def count_students(connection: Connection, batch_id: int, choice: Choice) -> int:
    """How many there are under this choice; the database counts."""
    return connection.execute(counted(batch_id, choice)).scalar_one()


@dataclass(frozen=True, slots=True)
class Ordered:
    """One student in the order of doubt, and no more than orders and counts need."""

    id: str
    doubt: float
    points: float | None
    has_failed: bool
    """Of the model; a person may have graded it since."""
    state: ReviewState
    released: bool
    changed: bool


def read_whole_order(connection: Connection, batch_id: int, doubts: Doubts) -> Iterator[Ordered]:
    """Everybody with a result or a failure, the most doubtful first, as pages list them."""
    choice = Choice()
    rows = listed(batch_id, choice, doubtful(batch_id, choice, doubts))
    found = select(
        rows.c.item_id,
        rows.c.key0,
        rows.c.points,
        rows.c.failure_kind,
        rows.c.standing,
        rows.c.released,
        rows.c.changed,
    )
    for row in connection.execute(found.order_by(*(key.column for key in keys_of(rows, choice.sort)))):
        yield Ordered(
            id=row.item_id,
            doubt=-row.key0,
            points=row.points,
            has_failed=row.failure_kind is not None,
            state=ReviewState(row.standing or ReviewState.UNDECIDED),
            released=bool(row.released),
            changed=bool(row.released and row.changed),
        )


def read_grades(connection: Connection, batch_id: int) -> dict[str, float]:
    """The model's grades of a batch by item id."""
    rows = (
        select(jobs.c.item_id, outcomes.c.points)
        .join(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .where(jobs.c.batch_id == batch_id, outcomes.c.points.is_not(None))
    )
    return {row.item_id: row.points for row in connection.execute(rows)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Where a student is in a list."""

    number: int
    """Counted from 1; 0 when the list does not hold the student (any more)."""
    total: int
    previous: str | None
    next: str | None


def read_neighbours(connection: Connection, batch_id: int, choice: Choice, doubts: Doubts, item_id: str) -> Neighbours:
    """Who comes before and after this student in the list; one who is not in it (any more) comes before its first.

    One query.
    """
    few = doubtful(batch_id, choice, doubts)
    own = own_row(batch_id, choice, doubts, item_id)
    place = [select(key.column).scalar_subquery() for key in keys_of(own, choice.sort)]
    before = listed(batch_id, choice, few, beside=place, is_backwards=True)
    is_before = is_beyond(keys_of(before, choice.sort), place, is_backwards=True)
    row = connection.execute(
        select(
            counted(batch_id, choice).scalar_subquery().label("of_all"),
            select(own.c.id).exists().label("is_listed"),
            select(func.count()).select_from(before).where(is_before).scalar_subquery().label("passed"),
            _beside(batch_id, choice, few).label("first"),
            _beside(batch_id, choice, few, place, is_backwards=True).label("previous"),
            _beside(batch_id, choice, few, place).label("next"),
        )
    ).one()
    if not row.is_listed:
        return Neighbours(number=0, total=row.of_all, previous=None, next=row.first)
    return Neighbours(number=row.passed + 1, total=row.of_all, previous=row.previous, next=row.next)


def _beside(
    batch_id: int, choice: Choice, few: CTE | None, place: Sequence[Any] | None = None, *, is_backwards: bool = False
) -> ScalarSelect[str]:
    """The student next to this place of the list; the first one without a place."""
    rows = listed(batch_id, choice, few, beside=place, is_backwards=is_backwards, at_most=1)
    keys = keys_of(rows, choice.sort)
    order = (key.column.desc() if is_backwards else key.column for key in keys)
    found = select(rows.c.item_id).order_by(*order).limit(1)
    if place is not None:
        found = found.where(is_beyond(keys, place, is_backwards=is_backwards))
    return found.scalar_subquery()


def read_titles(connection: Connection, batch_id: int, *, at_most: int) -> dict[str, object]:
    """The metadata of the first jobs as one: which titles a batch has."""
    rows = connection.execute(
        select(jobs.c.metadata).where(jobs.c.batch_id == batch_id).order_by(jobs.c.position).limit(at_most)
    ).scalars()
    return {title: value for metadata in rows for title, value in metadata.items()}


def _line(row: Row[Any], carried: tuple[Flag, ...], beside: Row[Any]) -> StudentLine:
    return StudentLine(
        id=row.item_id,
        position=row.position,
        round=row.round,
        model_points=row.points,
        failure_kind=FailureKind(row.failure_kind) if row.failure_kind else None,
        is_standin=bool(row.is_standin),
        flags=tuple(dict.fromkeys(flag.kind for flag in carried)),
        state=ReviewState(row.standing or ReviewState.UNDECIDED),
        official_points=row.official_points,
        decided_by=row.decided_by,
        is_stale=row.decided_round is not None and row.decided_round < row.round,
        released=bool(row.released),
        changed=bool(row.released and row.changed),
        is_repaired=bool(beside.is_repaired),
        outlier=outlier_in(beside),
        context_hash=beside.context_hash,
        metadata=beside.metadata,
    )
