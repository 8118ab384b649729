"""A checked job as the row that an enqueue inserts."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, Text, bindparam, func, insert, select

from workers.contract.outcome import JobState
from workers.contract.same import Same
from workers.store.bulk import copy_rows
from workers.store.sql import is_sqlite, new_id
from workers.store.tables import jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from workers.contract.job import JobParameters
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
        "parameters": _shared_parameters(Same(spec.parameters)),
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


@lru_cache(maxsize=64)
def _shared_parameters(parameters: Same[JobParameters]) -> Mapping[str, object]:
    """One for all jobs that share the parameters; nobody changes it."""
    return parameters.it.as_json()


def insert_jobs(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of new jobs."""
    written = _Texts()
    if is_sqlite(connection):
        connection.execute(_INSERT_ONE, [{**row, **written.of(row)} for row in rows])
        return
    now: float = connection.execute(select(now_seconds())).scalar_one()
    copy_rows(connection, jobs, [_with_times({**row, **written.of(row)}, now) for row in rows])


def _with_times(row: dict[str, Any], now: float) -> dict[str, Any]:
    seconds, moment = row.pop("deadline_seconds"), row.pop("deadline_moment")
    if moment is None and seconds is not None:
        moment = now + seconds
    row["enqueued_at"], row["deadline_at"] = now, moment  # null without a deadline
    return row


class _Texts:
    """JSON columns as text; what many rows share is written once."""

    def __init__(self) -> None:
        self._parameters: dict[int, str] = {}
        """By the object's own number: the rows keep it alive."""

    def of(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        parameters, metadata, pseudonyms = row["parameters"], row["metadata"], row["pseudonyms"]
        if (text := self._parameters.get(id(parameters))) is None:
            text = self._parameters[id(parameters)] = json.dumps(parameters)
        return {
            "parameters": text,
            "metadata": json.dumps(metadata) if metadata else "{}",
            "pseudonyms": json.dumps(pseudonyms) if pseudonyms else None,
        }


_INSERT_ONE = insert(jobs).values(
    enqueued_at=now_seconds(),
    deadline_at=func.coalesce(  # null without a deadline
        bindparam("deadline_moment", type_=Double), now_seconds() + bindparam("deadline_seconds", type_=Double)
    ),
    **{name: bindparam(name, type_=Text) for name in ("parameters", "metadata", "pseudonyms")},  # see `_Texts`
)
