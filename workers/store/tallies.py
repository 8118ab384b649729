"""Counts and sums by batch, kept by the database's own triggers with every change of a row (decision record `tallies`).

Reading them costs the same for ten jobs and for a hundred thousand. They are exact: a trigger runs in the transaction
of the change, whichever release makes it, and `recount` compares them with the rows. A shard is one writer's part: on
PostgreSQL that of a server process, so that two writers never wait for each other's counts; on SQLite, which has one
writer at a time, there is one. Parts whose server process is gone are added to shard 0 by `fold`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    Numeric,
    Select,
    String,
    Table,
    case,
    cast,
    distinct,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    union_all,
)

from workers.contract.outcome import JobState
from workers.store.sql import is_sqlite
from workers.store.tables import attempts, flags, jobs, metadata, outcomes, standings

if TYPE_CHECKING:
    from sqlalchemy import Connection

PICOS = 1e12
"""Money is summed in millionths of a millionth of a dollar: whole numbers, whose sums do not depend on their order."""
_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")


def _tally(name: str, keys: tuple[str, ...], numbers: tuple[str, ...], comment: str) -> Table:
    return Table(
        name,
        metadata,
        Column("batch_id", Integer, primary_key=True, autoincrement=False),
        *[Column(key, String(32), primary_key=True) for key in keys],
        Column("shard", Integer, primary_key=True, autoincrement=False),
        *[
            Column(number, Numeric(38, 0) if number.endswith("_picos") else BigInteger, nullable=False)
            for number in numbers
        ],
        comment=comment,
    )


job_tallies = _tally(
    "job_tallies",
    ("state",),
    ("jobs", "followers", "deferred"),
    "jobs by state, staging ones too; the sum of all shards holds",
)
attempt_tallies = _tally(
    "attempt_tallies",
    ("ending",),
    ("requests", "priced", "cost_picos", "held", "held_picos", *_TOKENS),
    "the ledger by ending, `open` in flight; money in millionths of a millionth of a dollar",
)
finding_tallies = _tally(
    "finding_tallies",
    ("what", "name"),
    ("items", "released", "changed"),
    "items by failure and flag of their present round, and by standing",
)
TALLIES = (job_tallies, attempt_tallies, finding_tallies)


def keys_of(tally: Table) -> tuple[Column[Any], ...]:
    """What one count is of: the primary key without the shard."""
    return tuple(each for each in tally.primary_key.columns if each.name != "shard")


def numbers_of(tally: Table) -> tuple[Column[Any], ...]:
    """What is counted or summed."""
    return tuple(each for each in tally.columns if not each.primary_key)


def added_up(tally: Table) -> Select[Any]:
    """The tally without its shards, counts of nothing left out; narrow it with `where` on its keys."""
    counted = numbers_of(tally)
    return (
        select(*keys_of(tally), *[func.sum(each).label(each.name) for each in counted])
        .group_by(*keys_of(tally))
        .having(func.sum(counted[0]) != 0)
    )


def recount(connection: Connection) -> dict[str, set[tuple[Any, ...]]]:
    """Tallies that differ from a count of the rows, by table: what is kept and what is counted. Empty when all agree.

    Reads every row: for `doctor` and tests, in a snapshot.
    """
    differences: dict[str, set[tuple[Any, ...]]] = {}
    for tally, counted in _RECOUNTS.items():
        kept = {_plain(row) for row in connection.execute(added_up(tally))}
        found = {_plain(row) for row in connection.execute(counted)}
        if kept != found:
            differences[tally.name] = kept ^ found
    return differences


def rebuild(connection: Connection) -> None:
    """Make the tallies again from the rows; the caller's transaction must keep every writer out (see `lock_rows`)."""
    for tally, counted in _RECOUNTS.items():
        connection.execute(tally.delete())
        columns = [each.name for each in (*keys_of(tally), *numbers_of(tally))]
        counts = counted.subquery()
        connection.execute(
            insert(tally).from_select([*columns, "shard"], select(*[counts.c[name] for name in columns], literal(0)))
        )


def lock_rows(connection: Connection) -> None:
    """Keep every writer of what is counted out until the transaction ends; on SQLite a transaction does by itself."""
    if not is_sqlite(connection):
        connection.execute(text("LOCK TABLE jobs, attempts, outcomes, flags, standings IN SHARE ROW EXCLUSIVE MODE"))


def fold(connection: Connection) -> int:
    """Add the parts of server processes that are gone to shard 0; returns how many parts there were (PostgreSQL).

    One caller at a time: who holds the sweeper's lease. A writer that gets the number of such a process meanwhile
    waits for this transaction and begins a new part.
    """
    if is_sqlite(connection):
        return 0
    gone = 0
    for tally in TALLIES:
        keys = ", ".join(each.name for each in keys_of(tally))
        numbers = [each.name for each in numbers_of(tally)]
        parts = connection.execute(
            text(  # names of our own tables and columns alone
                f"WITH gone AS (DELETE FROM {tally.name} WHERE shard <> 0"  # noqa: S608
                " AND shard NOT IN (SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL) RETURNING *),"
                f" folded AS (INSERT INTO {tally.name} AS t ({keys}, shard, {', '.join(numbers)})"
                f" SELECT {keys}, 0, {', '.join(f'sum({each})' for each in numbers)} FROM gone GROUP BY {keys}"
                f" ON CONFLICT ({keys}, shard) DO UPDATE SET"
                f" {', '.join(f'{each} = t.{each} + excluded.{each}' for each in numbers)})"
                " SELECT count(*) FROM gone"
            )
        ).scalar_one()
        gone += parts
    return gone


def _plain(row: Any) -> tuple[Any, ...]:
    return tuple(each if isinstance(each, str) else int(each or 0) for each in row)


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _picos(dollars: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.sum(cast(func.round(func.coalesce(dollars, 0) * literal_column("1e12")), Numeric(38, 0)))


_NOTHING: tuple[ColumnElement[Any], ...] = (literal_column("0").label("released"), literal_column("0").label("changed"))
_ENDING = func.coalesce(attempts.c.ending, literal_column("'open'"))
_RECOUNTS: dict[Table, Any] = {
    job_tallies: select(
        jobs.c.batch_id,
        jobs.c.state,
        func.count().label("jobs"),
        func.count(jobs.c.leader_id).label("followers"),
        _one_if((jobs.c.state == JobState.READY) & jobs.c.not_before.is_not(None)).label("deferred"),
    ).group_by(jobs.c.batch_id, jobs.c.state),
    attempt_tallies: select(
        attempts.c.batch_id,
        _ENDING.label("ending"),
        func.count().label("requests"),
        func.count(attempts.c.cost_usd).label("priced"),
        _picos(attempts.c.cost_usd).label("cost_picos"),
        func.count(attempts.c.held_usd).label("held"),
        _picos(attempts.c.held_usd).label("held_picos"),
        *[func.sum(attempts.c[name]).label(name) for name in _TOKENS],
    ).group_by(attempts.c.batch_id, _ENDING),
    finding_tallies: union_all(
        select(
            outcomes.c.batch_id, literal_column("'failure'").label("what"), outcomes.c.failure_kind.label("name"),
            func.count().label("items"), *_NOTHING,
        )
        .join(jobs, (jobs.c.id == outcomes.c.job_id) & (jobs.c.round == outcomes.c.round))
        .where(outcomes.c.failure_kind.is_not(None))
        .group_by(outcomes.c.batch_id, outcomes.c.failure_kind),
        select(
            flags.c.batch_id, literal_column("'flag'"), flags.c.kind, func.count(distinct(flags.c.job_id)), *_NOTHING
        )
        .join(jobs, (jobs.c.id == flags.c.job_id) & flags.c.round.in_([0, jobs.c.round]))
        .group_by(flags.c.batch_id, flags.c.kind),
        select(
            standings.c.batch_id, literal_column("'standing'"), standings.c.state, func.count(),
            _one_if(standings.c.released), _one_if(standings.c.released & standings.c.changed),
        ).group_by(standings.c.batch_id, standings.c.state),
    ),
}  # fmt: skip
