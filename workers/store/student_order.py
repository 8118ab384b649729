"""The statement behind a list of students: who is in it, in which order, from which place on.

In the order of doubt, the doubtful are few: their ids are gathered from what makes them so, and the rest follows in the
order of the input, of which no more is read than a page holds. By points the database orders the whole batch; it reads
no prompt and no result for it.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    String,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    union_all,
    values,
)

from workers.contract.decision import ReviewState
from workers.contract.flag import FlagKind
from workers.contract.outcome import ENDED_STATES, JobState
from workers.store.control_tables import outliers
from workers.store.flags import OF_THE_INPUT, is_flagged
from workers.store.pages import Key
from workers.store.repairs import IS_REPAIR, is_repaired
from workers.store.student_choice import Show, SortBy
from workers.store.tables import attempts, batches, flags, jobs, outcomes, standings
from workers.store.tallies import job_tallies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import CTE, CompoundSelect, Select, Subquery

    from workers.store.student_choice import Choice, Doubts

_NO_DOUBT = literal(0.0)
_MOST_PARTS = 50
"""Of the scale, each a condition of a statement; the rubrics of one batch have mostly one scale."""
_COLUMNS = (
    jobs.c.id, jobs.c.item_id, jobs.c.position, jobs.c.round,
    outcomes.c.points, outcomes.c.failure_kind, outcomes.c.is_standin,
    standings.c.state.label("standing"), standings.c.points.label("official_points"), standings.c.decided_by,
    standings.c.round.label("decided_round"), standings.c.released, standings.c.changed,
)  # fmt: skip


def doubtful(batch_id: int, choice: Choice, doubts: Doubts) -> CTE | None:
    """Those that come before all others in the order of doubt; None in another order."""
    if choice.sort is not SortBy.DOUBT:
        return None
    found = _doubted(batch_id, doubts)
    # no condition that an index of the batch answers: each is looked up by its id
    few = (jobs.c.id.in_(found), jobs.c.position + 0 < _opened(batch_id))
    return _ended(choice, -_doubt(doubts)).where(*few).cte("doubtful")


def listed(
    batch_id: int,
    choice: Choice,
    first: CTE | None,
    *,
    beside: Sequence[Any] | None = None,
    is_backwards: bool = False,
    at_most: int | None = None,
) -> Subquery:
    """Everybody under the choice, with the keys of the order as `key0` and so on; see `keys_of`.

    `first` is what `doubtful` says. `beside`, `is_backwards`: the keys of a place, behind which or before which rows
    are wanted; rows on the other side may be among them. With `at_most` so many of those that are wanted are there, and
    not all the others.
    """
    if first is None:
        return _matching(batch_id, choice, *_order(choice.sort)).subquery("listed")
    others = _matching(batch_id, choice, _NO_DOUBT).where(jobs.c.id.not_in(select(first.c.id)))
    if beside is not None:
        doubt, position = (each if isinstance(each, ColumnElement) else literal(each) for each in beside)
        among = case((doubt < _NO_DOUBT, -1), else_=position)  # the place is among the others, or before all of them
        others = others.where(jobs.c.position < among if is_backwards else jobs.c.position > among)
    if at_most is not None:
        others = others.order_by(jobs.c.position.desc() if is_backwards else jobs.c.position).limit(at_most)
    return union_all(select(first), select(others.subquery("others"))).subquery("listed")


def keys_of(rows: Subquery | CTE, sort: SortBy) -> tuple[Key, ...]:
    """What such a listing is ordered by, all rising; two students never have the same keys."""
    ordered = (Key(column) for column in rows.c if column.name.startswith("key"))
    return (*ordered,) if sort is SortBy.NAME else (*ordered, Key(rows.c.position))


def own_row(batch_id: int, choice: Choice, doubts: Doubts, item_id: str) -> CTE:
    """One student of the list with the keys; no row for one who is not in it."""
    order = (-_doubt(doubts),) if choice.sort is SortBy.DOUBT else _order(choice.sort)
    return _matching(batch_id, choice, *order).where(jobs.c.item_id == item_id).cte("own")


def counted(batch_id: int, choice: Choice) -> Select[int]:
    """How many there are under this choice. Without a filter the tallies know, whatever the size of the batch."""
    if _conditions(choice):
        return select(func.count()).select_from(_matching(batch_id, choice).subquery())
    ended = select(func.coalesce(func.sum(job_tallies.c.jobs), 0)).where(
        job_tallies.c.batch_id == batch_id, job_tallies.c.state.in_(ENDED_STATES)
    )
    # of an enqueue that was cancelled before it was complete; mostly none
    staging = select(func.count()).where(
        jobs.c.batch_id == batch_id, jobs.c.state.in_(ENDED_STATES), jobs.c.position >= _opened(batch_id)
    )
    return select(cast(ended.scalar_subquery() - staging.scalar_subquery(), Integer))


def _matching(batch_id: int, choice: Choice, *keys: ColumnElement[Any]) -> Select[Any]:
    return _ended(choice, *keys).where(jobs.c.batch_id == batch_id, jobs.c.position < _opened(batch_id))


def _ended(choice: Choice, *keys: ColumnElement[Any]) -> Select[Any]:
    # a job has an outcome of its present round when it has ended, and only then
    return (
        select(*_COLUMNS, *(key.label(f"key{number}") for number, key in enumerate(keys)))
        .select_from(jobs)
        .join(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .outerjoin(standings, standings.c.job_id == jobs.c.id)
        .where(*_conditions(choice))
    )


def _opened(batch_id: int) -> Any:
    return select(batches.c.opened).where(batches.c.id == batch_id).scalar_subquery()


def _order(sort: SortBy) -> tuple[ColumnElement[Any], ...]:
    """The keys before the position, none of them null."""
    points = case((_is_decided(), standings.c.points), else_=outcomes.c.points)
    without = case((points.is_(None), 1), else_=0)
    match sort:
        case SortBy.NAME:
            return (jobs.c.item_id,)
        case SortBy.LOWEST:
            return (without, func.coalesce(points, 0.0))
        case SortBy.HIGHEST:
            return (without, -func.coalesce(points, 0.0))
        case _:
            return ()


def _doubted(batch_id: int, doubts: Doubts) -> CompoundSelect[Any]:
    """Ids of those that `_doubt` may be above nothing for; each from an index or from a narrow table."""
    found = [
        select(flags.c.job_id.label("id")).where(flags.c.batch_id == batch_id),
        select(jobs.c.id).where(jobs.c.batch_id == batch_id, jobs.c.state == JobState.FAILED),
        select(standings.c.job_id)
        .join(jobs, jobs.c.id == standings.c.job_id)
        .where(standings.c.batch_id == batch_id, _is_stale()),
        select(attempts.c.job_id).where(attempts.c.batch_id == batch_id, IS_REPAIR),
        select(outliers.c.job_id).where(outliers.c.batch_id == batch_id),
    ]
    if near := [outcomes.c.points.between(*each) for each in _near(doubts)]:
        found.append(select(outcomes.c.job_id).where(outcomes.c.batch_id == batch_id, or_(*near)))
    return union_all(*found)


def _near(doubts: Doubts) -> list[tuple[float, float]]:
    """Points that are close to a border of any rubric: parts of the scale that do not touch."""
    found: list[tuple[float, float]] = []
    for low, high in sorted({(border.low, border.high) for some in doubts.borders.values() for border in some}):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found if len(found) <= _MOST_PARTS else [(found[0][0], found[-1][1])]


def _weight_of_flags(doubts: Doubts) -> ColumnElement[float]:
    """What the kinds of flag that a job carries weigh together, each kind once; looked up by the flags' own key."""
    weights = [func.max(case((flags.c.kind == str(kind), weight), else_=0.0)) for kind, weight in doubts.flag.items()]
    if not weights:
        return _NO_DOUBT
    present = select(reduce(operator.add, weights)).where(
        flags.c.job_id == jobs.c.id, flags.c.round.in_([OF_THE_INPUT, jobs.c.round])
    )
    return func.coalesce(present.correlate(jobs).scalar_subquery(), 0.0)


def _weight_of_border(doubts: Doubts) -> ColumnElement[float]:
    """Of the job's own rubric."""
    rows = [(name, border.low, border.high) for name, some in doubts.borders.items() for border in some]
    if not rows:
        return _NO_DOUBT
    own = values(column("hash", String), column("low", Double), column("high", Double), name="own").data(rows)
    borders = own.cte()  # unnamed, because a statement may hold several
    near = select(borders.c.hash).where(
        borders.c.hash == jobs.c.context_hash, outcomes.c.points.between(borders.c.low, borders.c.high)
    )
    return case((near.correlate(jobs, outcomes).exists(), doubts.edge), else_=0.0)


def _weight_of_neighbours(doubts: Doubts) -> ColumnElement[float]:
    """Of a grade that is far from those of nearly the same work, as the last comparison found it."""
    share = select(outliers.c.share).where(outliers.c.job_id == jobs.c.id, outliers.c.round == jobs.c.round)
    return func.coalesce(share.correlate(jobs).scalar_subquery() * doubts.outlier, 0.0)


def _doubt(doubts: Doubts) -> ColumnElement[float]:
    return (
        _weight_of_flags(doubts)
        + case((outcomes.c.failure_kind.is_not(None) & ~_has_grade(), doubts.failed), else_=0.0)
        + case((_is_stale(), doubts.stale), else_=0.0)
        + case((is_repaired(), doubts.repaired), else_=0.0)
        + _weight_of_border(doubts)
        + _weight_of_neighbours(doubts)
    )


def _is_decided() -> ColumnElement[bool]:
    return standings.c.state.is_not(None) & (standings.c.state != str(ReviewState.UNDECIDED))


def _has_grade() -> ColumnElement[bool]:
    """A person decided on a grade, of the model's or by hand."""
    return func.coalesce(standings.c.state, "").in_([str(ReviewState.APPROVED), str(ReviewState.OVERRIDDEN)])


def _is_stale() -> ColumnElement[bool]:
    return standings.c.round < jobs.c.round


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
