"""A checked job as the row that an enqueue inserts."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Double, Text, bindparam, func, insert, select

from workers.contract.outcome import JobState
from workers.contract.same import Same
from workers.store.bulk import copy_columns
from workers.store.compiled import Compiled
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
    """Write the rows of new jobs, one or more."""
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["state"] = [*map(str, columns["state"])]
    columns |= _texts(columns)
    if is_sqlite(connection):
        _one_by_one().execute_many(connection, columns)
        return
    now: float = connection.execute(select(now_seconds())).scalar_one()
    copy_columns(connection, jobs, _with_times(columns, now))


def _with_times(columns: dict[str, list[Any]], now: float) -> dict[str, list[Any]]:
    moments, spans = columns.pop("deadline_moment"), columns.pop("deadline_seconds")
    columns["enqueued_at"] = [now] * len(moments)
    columns["deadline_at"] = [  # null without a deadline
        now + seconds if moment is None and seconds is not None else moment
        for moment, seconds in zip(moments, spans, strict=True)
    ]
    return columns


def _texts(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[str | None]]:
    """JSON columns as text; what many rows share is written once."""
    parameters = {id(each): each for each in columns["parameters"]}  # the rows keep them alive
    written = {number: json.dumps(each) for number, each in parameters.items()}
    return {
        "parameters": [written[id(each)] for each in columns["parameters"]],
        "metadata": [json.dumps(each) if each else "{}" for each in columns["metadata"]],
        "pseudonyms": [json.dumps(each) if each else None for each in columns["pseudonyms"]],
    }


@cache
def _one_by_one() -> Compiled:
    """For SQLite; JSON is given as text."""
    given = {
        column.name: bindparam(f"all_{column.name}", type_=Text() if isinstance(column.type, JSON) else column.type)
        for column in jobs.c
        if column.name in _GIVEN
    }
    moment, seconds = bindparam("all_deadline_moment", type_=Double), bindparam("all_deadline_seconds", type_=Double)
    deadline_at = func.coalesce(moment, now_seconds() + seconds)  # null without a deadline
    return Compiled(insert(jobs).values(given | {"enqueued_at": now_seconds(), "deadline_at": deadline_at}))


_GIVEN = frozenset(
    {
        "id", "batch_id", "item_id", "position", "schema_name", "schema_fingerprint", "context_hash",
        "instructions_hash", "prompt", "prompt_hash", "content_hash", "model", "parameters", "metadata", "pseudonyms",
        "state", "round", "claim", "publish_number", "snoozes", "cancel_requested", "twin_key", "leader_id",
    }
)  # fmt: skip
"""The columns of `new_row`."""
