"""A checked job as the row that an enqueue inserts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, bindparam, func, insert

from workers.contract.outcome import JobState
from workers.store.bulk import given_rows, selected
from workers.store.sql import is_sqlite, new_id
from workers.store.tables import jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from workers.store.enqueue import NewJob
    from workers.store.overviews import BatchHeader


def new_row(job: NewJob, batch: BatchHeader, job_hash: str, position: int) -> dict[str, object]:
    """The columns of a new job; the times are `insert_jobs`'s."""
    spec = job.spec
    return {
        "id": new_id(),
        "batch_id": batch.id,
        "item_id": spec.id,
        "position": position,
        "schema_name": spec.schema,
        "schema_fingerprint": job.schema_fingerprint,
        "context_hash": job.context_hash,
        "instructions_hash": job.instructions_hash,
        "prompt": spec.prompt,
        "prompt_hash": spec.prompt_hash,
        "content_hash": job_hash,
        "model": spec.model,
        "parameters": spec.parameters.as_json(),
        "metadata": dict(spec.metadata),
        "pseudonyms": dict(spec.pseudonyms) or None,
        "state": JobState.FAILED if spec.left_out else JobState.READY,
        "round": 1,
        "claim": 0,
        "publish_number": 0,
        "snoozes": 0,
        "cancel_requested": False,
        "twin_key": job.twin_key,
        "leader_id": None,
        "deadline_seconds": spec.parameters.deadline_seconds,
        "deadline_moment": spec.parameters.deadline_at,
    }


def insert_jobs(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of new jobs, in one statement where each would be planned anew."""
    if is_sqlite(connection):
        connection.execute(_INSERT_ONE, rows)
        return
    given = given_rows(jobs, rows, others=dict.fromkeys(("deadline_seconds", "deadline_moment"), Double()))
    seconds, moment = given.pop("deadline_seconds"), given.pop("deadline_moment")
    given["deadline_at"] = func.coalesce(moment, now_seconds() + seconds)  # null without a deadline
    names, query = selected(given, enqueued_at=now_seconds())
    connection.execute(insert(jobs).from_select(names, query))


_INSERT_ONE = insert(jobs).values(
    enqueued_at=now_seconds(),
    deadline_at=func.coalesce(  # null without a deadline
        bindparam("deadline_moment", type_=Double), now_seconds() + bindparam("deadline_seconds", type_=Double)
    ),
)
