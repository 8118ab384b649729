"""Where a batch stands, from its tallies: the same few rows however many jobs it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, distinct, func, literal, select, union_all

from workers.contract.decision import ReviewState
from workers.contract.flag import FlagKind
from workers.contract.outcome import AttemptEnding, FailureKind, JobState, Usage
from workers.store.lanes.overview import count_waiting
from workers.store.sql import IS_READY
from workers.store.tables import flags, jobs, now_seconds, outcomes
from workers.store.tallies import PICOS, added_up, job_tallies

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import Connection, Table

MOST_COUNTED_DEFERRED = 10_000
"""Beyond it, jobs whose wait has just ended count as deferred until they are published."""


@dataclass(frozen=True, slots=True)
class JobCounts:
    """Opened jobs by state, and what else is counted of them."""

    by_state: Mapping[str, int] = field(default_factory=dict)
    followers: int = 0
    deferred: int = 0
    """Ready jobs that are to wait, or were."""
    staging: int = 0
    """Jobs of an enqueue that is not complete; they are in no other number here."""

    @property
    def total(self) -> int:
        """All opened jobs."""
        return sum(self.by_state.values())

    @property
    def waiting(self) -> int:
        """Jobs that are not begun, or wait for their leader."""
        return self.by_state.get(JobState.READY, 0) + self.by_state.get(JobState.FOLLOWING, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """The ledger of a batch, summed up."""

    usage: Usage
    cost_usd: float | None
    """None when the price of one answer at least is unknown."""
    requests: Mapping[str, int]
    """By ending; `open` are in flight."""
    may_be_billed: int
    """Requests whose ending nobody knows: their worker died, or they timed out."""
    most_usd_of_these: float | None
    """None when the most that one of them can cost is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Items by what was found of their present round, the most frequent first."""

    failures: Mapping[FailureKind, int]
    flags: Mapping[FlagKind, int]
    standings: Mapping[ReviewState, int]
    released: int
    changed: int
    """Released items whose official grade is another one now."""


Tallied = Mapping[int, Sequence[Any]]
"""Rows of a tally by batch id."""


def read_tallied(connection: Connection, tally: Table, batch_ids: Collection[int]) -> Tallied:
    """One query for these batches, at most `LIST_LENGTH`."""
    found: dict[int, list[Any]] = {batch_id: [] for batch_id in batch_ids}
    for row in connection.execute(added_up(tally).where(tally.c.batch_id.in_(found))) if found else ():
        found[row.batch_id].append(row)
    return found


def count_jobs(connection: Connection, batch_id: int, opened: int, *, rows: Sequence[Any] | None = None) -> JobCounts:
    """One query unless its rows of the tally are given, and one over what is staging in an enqueue under way."""
    if rows is None:
        rows = read_tallied(connection, job_tallies, [batch_id])[batch_id]
    counts = JobCounts(
        {row.state: int(row.jobs) for row in rows},
        followers=sum(int(row.followers) for row in rows),
        deferred=sum(int(row.deferred) for row in rows),
    )
    if counts.total == opened:
        return counts
    if not opened:
        return JobCounts(staging=counts.total)
    return _without_staging(connection, counts, batch_id, opened)


def _without_staging(connection: Connection, counts: JobCounts, batch_id: int, opened: int) -> JobCounts:
    rows = connection.execute(
        select(
            jobs.c.state, func.count().label("jobs"), func.count(jobs.c.leader_id).label("followers"),
            func.count(case((IS_READY, jobs.c.not_before))).label("deferred"),
        )
        .where(jobs.c.batch_id == batch_id, jobs.c.position >= opened)
        .group_by(jobs.c.state)
    ).all()  # fmt: skip
    staging = {row.state: row.jobs for row in rows}
    by_state = {state: number - staging.get(state, 0) for state, number in counts.by_state.items()}
    return JobCounts(
        {state: number for state, number in by_state.items() if number},
        followers=counts.followers - sum(row.followers for row in rows),
        deferred=counts.deferred - sum(row.deferred for row in rows),
        staging=sum(staging.values()),
    )


def count_deferred(connection: Connection, batch_id: int, counts: JobCounts) -> int:
    """How many of them wait for a time to come: exactly, unless there are very many.

    What waits for a cheaper lane is not among them.
    """
    if not counts.deferred:
        return 0
    if counts.deferred > MOST_COUNTED_DEFERRED:
        return max(0, counts.deferred - count_waiting(connection, batch_id))
    is_deferred = (jobs.c.batch_id == batch_id, IS_READY, jobs.c.not_before > now_seconds(), jobs.c.lane.is_(None))
    found: int = connection.execute(select(func.count()).select_from(jobs).where(*is_deferred)).scalar_one()
    return min(found, counts.deferred)


def sum_spending(rows: Sequence[Any]) -> Spending:
    """Of a batch's rows of `attempt_tallies`."""
    usage = Usage()
    cost_usd: float | None = 0.0
    for row in rows:
        usage += Usage(
            prompt_tokens=int(row.prompt_tokens),
            completion_tokens=int(row.completion_tokens),
            cached_tokens=int(row.cached_tokens),
            cache_write_tokens=int(row.cache_write_tokens),
            reasoning_tokens=int(row.reasoning_tokens),
        )
        if row.ending == AttemptEnding.ANSWERED:
            cost_usd = None if row.priced < row.requests else float(row.cost_picos) / PICOS
    unknown = [row for row in rows if row.ending in {AttemptEnding.UNKNOWN, AttemptEnding.TIMED_OUT}]
    is_held = all(row.held == row.requests for row in unknown)
    return Spending(
        usage=usage,
        cost_usd=cost_usd,
        requests={row.ending: int(row.requests) for row in rows},
        may_be_billed=sum(int(row.requests) for row in unknown),
        most_usd_of_these=float(sum(row.held_picos for row in unknown)) / PICOS if is_held else None,
    )


def count_findings(
    connection: Connection, batch_id: int, opened: int, counts: JobCounts, rows: Sequence[Any]
) -> Findings:
    """Of a batch's rows of `finding_tallies`; one query over what is staging while an enqueue is not complete."""
    items = {(row.what, row.name): int(row.items) for row in rows}
    if counts.staging:
        for row in connection.execute(_staging_findings(batch_id, opened)):
            items[row.what, row.name] = items.get((row.what, row.name), 0) - row.items
    return Findings(
        failures={FailureKind(name): number for name, number in _most_frequent("failure", items)},
        flags={FlagKind(name): number for name, number in _most_frequent("flag", items)},
        standings={ReviewState(name): number for name, number in _most_frequent("standing", items)},
        released=sum(int(row.released) for row in rows),
        changed=sum(int(row.changed) for row in rows),
    )


def _most_frequent(what: str, items: Mapping[tuple[str, str], int]) -> Iterable[tuple[str, int]]:
    found = [(name, number) for (kind, name), number in items.items() if kind == what and number]
    return sorted(found, key=lambda each: (-each[1], each[0]))


def _staging_findings(batch_id: int, opened: int) -> Any:
    is_staging = (jobs.c.batch_id == batch_id, jobs.c.position >= opened)
    failed = (
        select(literal("failure").label("what"), outcomes.c.failure_kind.label("name"), func.count().label("items"))
        .join(jobs, (jobs.c.id == outcomes.c.job_id) & (jobs.c.round == outcomes.c.round))
        .where(outcomes.c.failure_kind.is_not(None), *is_staging)
        .group_by(outcomes.c.failure_kind)
    )
    flagged = (
        select(literal("flag"), flags.c.kind, func.count(distinct(flags.c.job_id)))
        .join(jobs, (jobs.c.id == flags.c.job_id) & flags.c.round.in_([0, jobs.c.round]))
        .where(*is_staging)
        .group_by(flags.c.kind)
    )
    return union_all(failed, flagged)
