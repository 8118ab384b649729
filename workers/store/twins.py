"""Twins in the store: a leader is graded, its followers take what becomes of it in the same transaction.

A follower (`leader_id` is set) waits in the state `following`, which nobody publishes or claims. Its row is changed
only by who holds its leader's lock, so followers need no locks of their own. Its rounds are counted by themselves: one
that joined late has had fewer than its leader.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, literal, or_, select, update

from workers.contract.outcome import ENDED_STATES, JobState
from workers.store.bulk import among, among_given, given_list
from workers.store.compiled import Compiled
from workers.store.sql import IS_FOLLOWING, in_id_order, in_lists, lock_jobs
from workers.store.tables import flags, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Column, ColumnElement, Connection, Table

_leader = jobs.alias("leader")
_OF_THEIR_LEADERS = _leader.c.id == jobs.c.leader_id


def lock_leaders(connection: Connection, batch_id: int, twin_keys: Collection[str]) -> dict[str, str]:
    """Twin key -> id of the job of this batch that is graded for it; locked, so that it does not end meanwhile.

    A purged job leads nobody: its answer is gone.
    """
    found: dict[str, tuple[int, str]] = {}
    for some in in_lists(sorted(twin_keys)):
        rows = connection.execute(
            in_id_order(
                select(jobs.c.id, jobs.c.twin_key, jobs.c.position).where(
                    jobs.c.batch_id == batch_id,
                    among(connection, jobs.c.twin_key, some),
                    jobs.c.leader_id.is_(None),
                    jobs.c.prompt.is_not(None),
                )
            )
        )
        for row in rows:
            candidate = (row.position, row.id)
            found[row.twin_key] = min(found.get(row.twin_key, candidate), candidate)
    return {key: job_id for key, (_position, job_id) in found.items()}


def end_followers(connection: Connection, leader_ids: Collection[str]) -> int:
    """Give the followers of these jobs, as far as they have ended, their outcomes and flags; returns how many.

    For the transaction that ended the leaders, or one that holds their locks.
    """
    if not leader_ids:
        return 0
    leaders = given_list(connection, leader_ids)
    followers = [row[0] for row in _waiting(connection.dialect.name).execute(connection, {"leader_ids": leaders})]
    for some in in_lists(followers):
        _copy(connection, some, outcomes, claim=literal(0), same_as=jobs.c.leader_id)
        _copy(connection, some, flags)
        connection.execute(
            update(jobs)
            .where(among(connection, jobs.c.id, some))
            .values(
                state=select(_leader.c.state).where(_OF_THEIR_LEADERS).scalar_subquery(),
                finished_at=select(_leader.c.finished_at).where(_OF_THEIR_LEADERS).scalar_subquery(),
            )
        )
    return len(followers)


@cache
def _waiting(dialect_name: str) -> Compiled:
    return Compiled(
        select(jobs.c.id)
        .join(_leader, _OF_THEIR_LEADERS)
        .where(
            among_given(jobs.c.leader_id, bindparam("leader_ids"), dialect_name),
            IS_FOLLOWING,
            or_(*[_leader.c.state == str(state) for state in ENDED_STATES]),
        )
    )


def _copy(
    connection: Connection, follower_ids: list[str], table: Table, **own: ColumnElement[Any] | Column[Any]
) -> None:
    """The rows of the leader's present round as the followers' own, but for these columns."""
    own |= {"job_id": jobs.c.id, "round": jobs.c.round}
    columns = {column.name: own.get(column.name, column) for column in table.c}
    query = (
        select(*columns.values())
        .select_from(jobs)
        .join(_leader, _OF_THEIR_LEADERS)
        .join(table, (table.c.job_id == _leader.c.id) & (table.c.round == _leader.c.round))
        .where(among(connection, jobs.c.id, follower_ids))
    )
    connection.execute(insert(table).from_select(list(columns), query))


def reopen_followers(connection: Connection, leader_ids: Collection[str]) -> int:
    """The leaders begin another round: so do their followers that had ended; returns how many."""
    return sum(
        connection.execute(
            update(jobs)
            .where(among(connection, jobs.c.leader_id, some), jobs.c.state == JobState.FAILED)
            .values(state=JobState.FOLLOWING, round=jobs.c.round + 1, finished_at=None)
        ).rowcount
        for some in in_lists(leader_ids)
    )


def count_following(connection: Connection, leader_ids: Collection[str]) -> int:
    """How many jobs wait for the outcome of these."""
    return sum(
        connection.execute(
            select(func.count()).select_from(jobs).where(among(connection, jobs.c.leader_id, some), IS_FOLLOWING)
        ).scalar_one()
        for some in in_lists(leader_ids)
    )


def leaders_left(connection: Connection, *, at_most: int) -> list[str]:
    """Jobs that were ended without their followers, by a worker of a release that knew no twins."""
    return list(
        connection.execute(
            select(jobs.c.leader_id)
            .join(_leader, _OF_THEIR_LEADERS)
            .where(IS_FOLLOWING, _leader.c.state.in_(ENDED_STATES))
            .distinct()
            .limit(at_most)
        ).scalars()
    )


def end_left(connection: Connection, leader_ids: Collection[str]) -> int:
    """End the followers of these, which another transaction ended without them; returns how many."""
    lock_jobs(connection, leader_ids)
    return end_followers(connection, leader_ids)
