"""The students of a batch as a list on a page: a few at a time, filtered, searched and sorted by the database.

Reads no prompt and no result, whatever the batch's size: numbers that summarise them stand in columns of their own.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from typing import TYPE_CHECKING, Any

from sqlalchemy import CTE, ColumnElement, Subquery, and_, case, func, literal, or_, select

from workers.contract.decision import ReviewState
from workers.contract.flag import FlagKind
from workers.contract.outcome import ENDED_STATES, FailureKind, JobState
from workers.store.flags import OF_THE_INPUT, flags_by_round, flags_of_round, is_flagged
from workers.store.tables import batches, flags, jobs, outcomes, standings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from workers.contract.flag import Flag


class Show(StrEnum):
    """Which students."""

    ALL = "all"
    UNDECIDED = "undecided"
    FAILED = "failed"
    FLAGGED = "flagged"
    ON_HOLD = "on_hold"
    OVERRIDDEN = "overridden"
    RELEASED = "released"
    CHANGED = "changed"


class SortBy(StrEnum):
    """In which order; ties are in the order of the input."""

    DOUBT = "doubt"
    INPUT = "input"
    NAME = "name"
    LOWEST = "lowest"
    HIGHEST = "highest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """How much each reason to read a grade weighs, and where a grade is close to a border."""

    failed: float
    stale: float
    edge: float
    flag: Mapping[FlagKind, float]
    edges: Sequence[float] = ()
    edge_width: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a batch to list."""

    show: Show = Show.ALL
    flag: FlagKind | None = None
    failure: FailureKind | None = None
    search: str = ""
    """Words that all stand in the student's id, or in what the metadata says under `searched`; whatever the case."""
    searched: tuple[str, ...] = ()
    """Titles of the metadata that are searched beside the id."""
    sort: SortBy = SortBy.DOUBT


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
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def points(self) -> float | None:
        """The official ones, else the model's."""
        return self.model_points if self.state is ReviewState.UNDECIDED else self.official_points


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentPage:
    """Some of the students, and how many there are under the same choice."""

    lines: tuple[StudentLine, ...]
    total: int


def read_students(
    connection: Connection, batch_id: int, choice: Choice, doubts: Doubts, *, skip: int, at_most: int
) -> StudentPage:
    """Two queries. Without a line behind `skip` the total is 0."""
    found = _listed(batch_id, choice, doubts)
    page = select(found, func.count().over().label("of_all")).order_by(*_keys(found)).limit(at_most).offset(skip)
    some = page.subquery("page")
    rows = connection.execute(
        select(some, jobs.c.metadata.label("job_metadata")).join(jobs, jobs.c.id == some.c.id).order_by(*_keys(some))
    ).all()
    carried = flags_by_round(connection, [row.id for row in rows]) if rows else {}
    lines = [_line(row, flags_of_round(carried, row.id, row.round)) for row in rows]
    return StudentPage(lines=tuple(lines), total=rows[0].of_all if rows else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Where a student is in a list."""

    number: int
    """Counted from 1; 0 when the list does not hold the student (any more)."""
    total: int
    previous: str | None
    next: str | None


def read_neighbours(connection: Connection, batch_id: int, choice: Choice, doubts: Doubts, item_id: str) -> Neighbours:
    """Who comes before and after this student in the list; one who is not in it (any more) comes before its first."""
    found = _listed(batch_id, choice, doubts)
    keys = _keys(found)
    ordered = select(
        found.c.item_id,
        func.row_number().over(order_by=keys).label("place"),
        func.lag(found.c.item_id).over(order_by=keys).label("previous"),
        func.lead(found.c.item_id).over(order_by=keys).label("next"),
        func.count().over().label("of_all"),
    ).subquery("ordered")
    row = connection.execute(select(ordered).where(ordered.c.item_id == item_id)).one_or_none()
    if row is not None:
        return Neighbours(number=row.place, total=row.of_all, previous=row.previous, next=row.next)
    first = connection.execute(select(ordered).where(ordered.c.place == 1)).one_or_none()
    if first is None:
        return Neighbours(number=0, total=0, previous=None, next=None)
    return Neighbours(number=0, total=first.of_all, previous=None, next=first.item_id)


_NO_DOUBT = literal(0.0)


def _listed(batch_id: int, choice: Choice, doubts: Doubts) -> CTE:
    """Everybody under the choice, each with the keys of the order; computed once, however often it is read."""
    points = case((_is_decided(), standings.c.points), else_=outcomes.c.points)
    opened = select(batches.c.opened).where(batches.c.id == batch_id).scalar_subquery()
    return (
        select(
            jobs.c.id, jobs.c.item_id, jobs.c.position, jobs.c.round,
            outcomes.c.points, outcomes.c.failure_kind, outcomes.c.is_standin,
            standings.c.state.label("standing"), standings.c.points.label("official_points"), standings.c.decided_by,
            standings.c.round.label("decided_round"), standings.c.released, standings.c.changed,
            *(key.label(f"key{number}") for number, key in enumerate(_order(choice.sort, doubts, points))),
        )
        .select_from(jobs)
        .join(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .outerjoin(standings, standings.c.job_id == jobs.c.id)
        .where(
            jobs.c.batch_id == batch_id,
            jobs.c.position < opened,
            jobs.c.state.in_(ENDED_STATES),
            *_conditions(choice),
        )
        .cte("listed")
    )  # fmt: skip


def _keys(found: CTE | Subquery) -> list[ColumnElement[Any]]:
    """What a listing is ordered by; the same student twice in a row would be another order at every call."""
    return [*(column for column in found.c if column.name.startswith("key")), found.c.position, found.c.id]


def _weight_of_flags(doubts: Doubts) -> ColumnElement[float]:
    """What the kinds of flag that a job carries weigh together, each kind once; looked up by the flags' own key."""
    weights = [func.max(case((flags.c.kind == str(kind), weight), else_=0.0)) for kind, weight in doubts.flag.items()]
    if not weights:
        return _NO_DOUBT
    present = select(reduce(operator.add, weights)).where(
        flags.c.job_id == jobs.c.id, flags.c.round.in_([OF_THE_INPUT, jobs.c.round])
    )
    return func.coalesce(present.correlate(jobs).scalar_subquery(), 0.0)


def _doubt(doubts: Doubts) -> ColumnElement[float]:
    near = [func.abs(outcomes.c.points - edge) <= doubts.edge_width for edge in doubts.edges]
    return (
        _weight_of_flags(doubts)
        + case((outcomes.c.failure_kind.is_not(None) & ~_has_grade(), doubts.failed), else_=0.0)
        + case((_is_stale(), doubts.stale), else_=0.0)
        + (case((or_(*near), doubts.edge), else_=0.0) if near else _NO_DOUBT)
    )


def _is_decided() -> ColumnElement[bool]:
    return standings.c.state.is_not(None) & (standings.c.state != str(ReviewState.UNDECIDED))


def _has_grade() -> ColumnElement[bool]:
    """A person decided on a grade, of the model's or by hand."""
    return func.coalesce(standings.c.state, "").in_([str(ReviewState.APPROVED), str(ReviewState.OVERRIDDEN)])


def _is_stale() -> ColumnElement[bool]:
    return standings.c.round < jobs.c.round


def _order(sort: SortBy, doubts: Doubts, points: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """The keys, all rising; ties are in the order of the input."""
    without = case((points.is_(None), 1), else_=0)
    match sort:
        case SortBy.DOUBT:
            return (-_doubt(doubts),)
        case SortBy.NAME:
            return (jobs.c.item_id,)
        case SortBy.LOWEST:
            return (without, points)
        case SortBy.HIGHEST:
            return (without, -points)
        case _:
            return ()


def _conditions(choice: Choice) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    match choice.show:
        case Show.UNDECIDED:
            found.append(or_(~func.coalesce(_is_decided(), False), _is_stale()))
        case Show.FAILED:
            found.append(jobs.c.state == JobState.FAILED)
        case Show.FLAGGED:
            found.append(is_flagged(list(FlagKind)))
        case Show.ON_HOLD | Show.OVERRIDDEN:
            found.append(standings.c.state == str(choice.show))
        case Show.RELEASED:
            found.append(standings.c.released)
        case Show.CHANGED:
            found.append(standings.c.released & standings.c.changed)
        case _:
            pass
    if choice.flag is not None:
        found.append(is_flagged([choice.flag]))
    if choice.failure is not None:
        found.append(and_(jobs.c.state == JobState.FAILED, outcomes.c.failure_kind == str(choice.failure)))
    texts = [jobs.c.item_id, *(jobs.c.metadata[title].as_string() for title in choice.searched)]
    found += [or_(*(_holds(text, word) for text in texts)) for word in choice.search.split()]
    return found


def _holds(text: ColumnElement[str], word: str) -> ColumnElement[bool]:
    """Whatever the case. SQLite's `lower` knows ASCII alone, so the word is tried as a name begins, too."""
    return or_(
        func.lower(text).contains(word.lower(), autoescape=True), text.contains(word.capitalize(), autoescape=True)
    )


def read_titles(connection: Connection, batch_id: int, *, at_most: int) -> dict[str, object]:
    """The metadata of the first jobs as one: which titles a batch has."""
    rows = connection.execute(
        select(jobs.c.metadata).where(jobs.c.batch_id == batch_id).order_by(jobs.c.position).limit(at_most)
    ).scalars()
    return {title: value for metadata in rows for title, value in metadata.items()}


def _line(row: Row[Any], carried: tuple[Flag, ...]) -> StudentLine:
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
        metadata=row.job_metadata,
    )
