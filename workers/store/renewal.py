"""A second hand-in: the job's next round, with the new work. Earlier outcomes stay, each with its round.

A job that is being graded is not renewed. One that was claimed before begins another round even when it has not ended,
so that an answer about the earlier work, which may still arrive, is not taken for the new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from workers.contract.errors import JobIsRunning
from workers.contract.outcome import ENDED_STATES, JobState
from workers.store.deadlines import deadline_of
from workers.store.flags import OF_THE_INPUT
from workers.store.left_out import note_what_is_missing
from workers.store.sql import in_lists, lock_jobs
from workers.store.tables import batches, flags, jobs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection

    from workers.contract.job import JobSpec
    from workers.store.sql import LockedJob

_WORK = (
    "schema_name", "schema_fingerprint", "context_hash", "instructions_hash", "prompt", "prompt_hash", "content_hash",
    "model", "parameters", "metadata", "pseudonyms", "twin_key",
)  # fmt: skip
"""Columns that a hand-in sets."""


def renew_jobs(
    connection: Connection, batch_id: int, rows: Mapping[str, dict[str, Any]], specs: Mapping[str, JobSpec]
) -> int:
    """Give the jobs with these item ids the work of these rows, as `enqueue` makes them; returns how many.

    Raises `JobIsRunning` for one that is being graded at this moment.
    """
    if not rows:
        return 0
    item_ids = _item_ids(connection, batch_id, rows)
    locked = lock_jobs(connection, item_ids)
    missing: dict[str, tuple[int, JobSpec]] = {}
    for job in locked.values():
        item_id = item_ids[job.id]
        if job.state == JobState.RUNNING:
            raise JobIsRunning(f"job {item_id!r} is being graded now; run the same command again when it has ended")
        _leave_followers(connection, job)
        spec = specs[item_id]
        next_round = job.round + (job.state in ENDED_STATES or job.claim > 0)
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(_renewed(rows[item_id], spec, next_round)))
        missing[job.id] = (next_round, spec)
    for some in in_lists(missing):
        connection.execute(delete(flags).where(flags.c.job_id.in_(some), flags.c.round == OF_THE_INPUT))
    note_what_is_missing(connection, batch_id, missing)
    connection.execute(update(batches).where(batches.c.id == batch_id).values(cancelled_at=None))
    return len(locked)


def _renewed(row: Mapping[str, Any], spec: JobSpec, next_round: int) -> dict[str, Any]:
    return {
        **{column: row[column] for column in _WORK},
        "state": JobState.FAILED if spec.left_out else JobState.READY,
        "round": next_round,
        "leader_id": None,
        "published_at": None,
        "not_before": None,
        "lane": None,
        "snoozes": 0,
        "lost_claims": 0,
        "cancel_requested": False,
        "finished_at": None,
        "deadline_at": deadline_of(spec.parameters),
    }


def _item_ids(connection: Connection, batch_id: int, item_ids: Collection[str]) -> dict[str, str]:
    """Job id -> item id."""
    found: dict[str, str] = {}
    for some in in_lists(list(item_ids)):
        rows = connection.execute(
            select(jobs.c.id, jobs.c.item_id).where(jobs.c.batch_id == batch_id, jobs.c.item_id.in_(some))
        )
        found.update((row.id, row.item_id) for row in rows)
    return found


def _leave_followers(connection: Connection, job: LockedJob) -> None:
    """The first follower leads the others: their work is the old one. It is graded itself if nobody was yet."""
    followers = list(
        connection.execute(select(jobs.c.id).where(jobs.c.leader_id == job.id).order_by(jobs.c.position)).scalars()
    )
    if not followers:
        return
    first = (
        {"leader_id": None}
        if job.state in ENDED_STATES
        else {"leader_id": None, "state": JobState.READY, "published_at": None}
    )
    connection.execute(update(jobs).where(jobs.c.id == followers[0]).values(first))
    for some in in_lists(followers[1:]):
        connection.execute(update(jobs).where(jobs.c.id.in_(some)).values(leader_id=followers[0]))
