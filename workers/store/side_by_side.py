"""Results of the same work beside each other: of two batches, or of twins that one batch graded apart. Read-only.

Some pairs are in memory at a time, however large the batches are.
"""

from __future__ import annotations

from itertools import groupby, islice, pairwise
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from workers.contract.outcome import JobState
from workers.store.results import ResultRow, find_jobs, read_results
from workers.store.sql import LIST_LENGTH
from workers.store.tables import batches, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Connection

MOST_TWINS = 2_000
"""Groups of identical work that are looked at: those with the smallest hashes, which is a draw by chance."""


def read_pairs(connection: Connection, old: str, new: str) -> Iterator[tuple[ResultRow, ResultRow]]:
    """The two results of each item that has one in both batches, in the old batch's order."""
    with_result = (row for row in read_results(connection, old, ended_only=True) if row.result is not None)
    while some := list(islice(with_result, LIST_LENGTH)):
        partners = _results_of(connection, new, [row.id for row in some])
        yield from ((row, partners[row.id]) for row in some if row.id in partners)


def read_twins_apart(connection: Connection, name: str) -> Iterator[tuple[ResultRow, ResultRow]]:
    """Pairs of identical work that the batch graded apart; no item is in two of them."""
    own = (
        batches.c.name == name,
        jobs.c.position < batches.c.opened,
        jobs.c.state == JobState.SUCCEEDED,
        jobs.c.leader_id.is_(None),
        jobs.c.prompt.is_not(None),
    )
    of_batch = batches.c.id == jobs.c.batch_id
    kind = (jobs.c.prompt_hash, jobs.c.model, jobs.c.schema_name)
    groups = (
        select(*kind).join(batches, of_batch).where(*own).group_by(*kind).having(func.count() > 1)
        .order_by(*kind).limit(MOST_TWINS).subquery()
    )  # fmt: skip
    same = [column == groups.c[column.name] for column in kind]
    members = (
        select(jobs.c.item_id, *kind).join(batches, of_batch).join(groups, same[0] & same[1] & same[2]).where(*own)
        .order_by(*kind, jobs.c.position).limit(2 * MOST_TWINS)
    )  # fmt: skip
    found = connection.execute(members).all()
    pairs = [pair for _kind, group in groupby(found, key=lambda row: row[1:]) for pair in list(pairwise(group))[::2]]
    for start in range(0, len(pairs), LIST_LENGTH // 2):
        some = pairs[start : start + LIST_LENGTH // 2]
        rows = _results_of(connection, name, [member.item_id for pair in some for member in pair])
        for one, other in some:
            if one.item_id in rows and other.item_id in rows:
                yield rows[one.item_id], rows[other.item_id]


def count_results(connection: Connection, name: str) -> int:
    """How many items of the batch have a result; a purged one is gone."""
    statement = (
        select(func.count())
        .select_from(jobs)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .join(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .where(batches.c.name == name, jobs.c.position < batches.c.opened, outcomes.c.result.is_not(None))
    )
    return connection.execute(statement).scalar_one()


def _results_of(connection: Connection, name: str, item_ids: Collection[str]) -> dict[str, ResultRow]:
    """The results of these items, of those that have one."""
    rows = read_results(connection, name, job_ids=find_jobs(connection, name, item_ids))
    return {row.id: row for row in rows if row.result is not None}
