"""The rows behind results, a page of jobs at a time: jobs, outcomes, spending and flags. Read-only.

A page begins behind the last row of the page before, so each costs the same however large the batch is. JSON comes as
the text that is stored; who looks at it parses it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, Text, case, cast, exists, func, select, type_coerce, union_all

from workers.contract.outcome import ENDED_STATES, AttemptEnding, JobState
from workers.store.claims import SPENT
from workers.store.flags import flags_by_round, flags_of_round, is_flagged
from workers.store.ledger import USAGE_SUMS
from workers.store.pages import is_behind, read_in_turn
from workers.store.sql import in_pages
from workers.store.tables import attempts, batches, flags, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, CompoundSelect, Connection, Row, Select

    from workers.contract.flag import Flag, FlagKind


PAGE = 1000
"""Jobs read at a time: enough that a statement's fixed cost is spread, few enough for results of some kilobytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which jobs of a batch: all, or those that meet every condition given."""

    ended_only: bool = False
    failed_only: bool = False
    job_ids: Collection[str] | None = None
    flagged: Collection[FlagKind] = ()
    at_most: int | None = None

    @property
    def states(self) -> Collection[str] | None:
        """The states asked for; None for any."""
        return (JobState.FAILED,) if self.failed_only else ENDED_STATES if self.ended_only else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPage:
    """Some jobs of one batch in input order; see `_COLUMNS` for a row's, in their order."""

    batch: str
    provider: str
    rows: Sequence[Row[*tuple[Any, ...]]]
    spending: Mapping[int, Row[*tuple[Any, ...]]]
    """What the current round of a job spent, by position: see `_SPENT`. A job without a request is absent."""
    flags: Mapping[tuple[str, int], tuple[Flag, ...]]

    def flags_of(self, job_id: str, job_round: int) -> tuple[Flag, ...]:
        """Those of a job's round, its input's first."""
        return flags_of_round(self.flags, job_id, job_round) if self.flags else ()


def cost_of(spent: Row[*tuple[Any, ...]]) -> float | None:
    """Of a row of `ResultPage.spending`; None when one of its answers has no price."""
    return None if spent.priced < spent.answered else (spent.cost_usd or 0.0)


_leader = jobs.alias("leader")
SAME_AS = select(_leader.c.item_id).where(_leader.c.id == jobs.c.leader_id).scalar_subquery().label("same_as")
"""Of a job: the item whose grading it takes; null for a grading of its own."""
_COLUMNS = (
    jobs.c.position, jobs.c.id.label("job_id"), jobs.c.item_id, jobs.c.round, jobs.c.state,
    jobs.c.schema_name, jobs.c.schema_fingerprint, jobs.c.prompt_hash, jobs.c.model,
    jobs.c.context_hash, cast(jobs.c.metadata, Text).label("job_metadata"),
    outcomes.c.result, outcomes.c.failure_kind, outcomes.c.failure_message, outcomes.c.model_answered,
    # a row whose values are taken as the driver gives them is read in half the time
    type_coerce(outcomes.c.is_standin, Integer).label("is_standin"), SAME_AS,
    cast(outcomes.c.provenance, Text).label("provenance"),
    type_coerce(jobs.c.prompt.is_(None), Integer).label("is_purged"),
)  # fmt: skip
_IS_ANSWERED = attempts.c.ending == str(AttemptEnding.ANSWERED)
_IS_SPENT = attempts.c.ending.in_(SPENT)
_SPENT = (
    jobs.c.position,
    func.count().filter(_IS_SPENT).label("spent"),
    func.count().filter(_IS_ANSWERED).label("answered"),
    *USAGE_SUMS,
)
_SPENT_BY_ONE = (
    jobs.c.position,
    case((_IS_SPENT, 1), else_=0).label("spent"),
    case((_IS_ANSWERED, 1), else_=0).label("answered"),
    attempts.c.prompt_tokens,
    attempts.c.completion_tokens,
    attempts.c.cached_tokens,
    attempts.c.cache_write_tokens,
    attempts.c.reasoning_tokens,
    attempts.c.cost_usd,
    case((attempts.c.cost_usd.is_not(None), 1), else_=0).label("priced"),
)
"""The same of a single request: most jobs have one, and need no grouping."""


def result_pages(connection: Connection, name: str, wanted: Wanted) -> Iterator[ResultPage]:
    """Pages of at most `PAGE` jobs, until there are no more or `at_most` are read; none of a batch that is not."""
    batch = connection.execute(
        select(batches.c.id, batches.c.name, batches.c.provider, batches.c.opened).where(batches.c.name == name)
    ).one_or_none()
    if batch is None:
        return
    has_flags = (
        wanted.job_ids is not None
        or connection.execute(select(exists().where(flags.c.batch_id == batch.id))).scalar_one()
    )
    # of one job the planner finds the rows by itself
    with nullcontext() if wanted.at_most == 1 else in_pages(connection):

        def read(last: Row[*tuple[Any, ...]] | None, most: int) -> Sequence[Row[*tuple[Any, ...]]]:
            return _result_page(connection, batch, wanted, after=last, at_most=most)

        for rows in read_in_turn(read, size=PAGE, at_most=wanted.at_most):
            yield _with_rows(connection, batch, rows, has_flags=has_flags)


def _with_rows(
    connection: Connection,
    batch: Row[*tuple[Any, ...]],
    rows: Sequence[Row[*tuple[Any, ...]]],
    *,
    has_flags: bool,
) -> ResultPage:
    first, last = rows[0].position, rows[-1].position
    run = (jobs.c.batch_id == batch.id) & jobs.c.position.between(first, last)
    # a batch's jobs one after the other are found by their positions, a few of many by their ids
    is_run = last - first == len(rows) - 1
    some = run if is_run else run & jobs.c.id.in_([row.job_id for row in rows])
    return ResultPage(
        batch=batch.name,
        provider=batch.provider,
        rows=rows,
        spending=_spending(connection, some),
        flags=flags_by_round(connection, select(jobs.c.id).where(some)) if has_flags else {},
    )


def _result_page(
    connection: Connection,
    batch: Row[*tuple[Any, ...]],
    wanted: Wanted,
    *,
    after: Row[*tuple[Any, ...]] | None,
    at_most: int,
) -> Sequence[Row[*tuple[Any, ...]]]:
    statement = (
        select(*_COLUMNS)
        .outerjoin(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .where(jobs.c.batch_id == batch.id, is_behind(after), jobs.c.position < batch.opened)
        .order_by(jobs.c.position)
        .limit(at_most)
    )
    states, job_ids, flagged = wanted.states, wanted.job_ids, wanted.flagged
    if flagged:
        statement = statement.where(is_flagged(flagged))
    if job_ids is not None:
        statement = statement.where(jobs.c.id.in_(job_ids))
    if states is not None and (job_ids is not None or flagged):
        statement = statement.where(jobs.c.state.in_(states))
    elif states is not None:
        statement = statement.where(jobs.c.position.in_(_positions(batch.id, states, after, at_most)))
    return connection.execute(statement).all()


def _positions(
    batch_id: int, states: Collection[str], after: Row[*tuple[Any, ...]] | None, at_most: int
) -> CompoundSelect[tuple[int]]:
    """The places of the next jobs in each of these states: read from an index alone, whatever lies between them."""
    next_of_each = (
        select(jobs.c.position)
        .where(jobs.c.batch_id == batch_id, jobs.c.state == state, is_behind(after))
        .order_by(jobs.c.position)
        .limit(at_most)
        .subquery()
        for state in states
    )
    return union_all(*(select(each.c.position) for each in next_of_each))


def _spending(connection: Connection, some: ColumnElement[bool]) -> dict[int, Row[*tuple[Any, ...]]]:
    rows = connection.execute(_of_requests(_SPENT_BY_ONE, some)).all()
    spending: dict[int, Row[*tuple[Any, ...]]] = {row[0]: row for row in rows}
    if len(spending) < len(rows):
        requests = Counter(row[0] for row in rows)
        several = jobs.c.position.in_([position for position, number in requests.items() if number > 1])
        summed = connection.execute(_of_requests(_SPENT, some & several).group_by(jobs.c.position))
        spending |= {row[0]: row for row in summed}
    return spending


def _of_requests(columns: Sequence[Any], some: ColumnElement[bool]) -> Select[Any]:
    return (
        select(*columns)
        .select_from(jobs)
        .join(attempts, (attempts.c.job_id == jobs.c.id) & (attempts.c.round == jobs.c.round))
        .where(some)
    )
