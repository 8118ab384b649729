"""Everything that is on record, for an export: each round's outcome, and each request of the ledger. Read-only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from workers.contract.outcome import JobState
from workers.store.flags import flags_by_round, flags_of_round
from workers.store.sql import PAGE
from workers.store.tables import attempts, batches, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

    from workers.contract.flag import Flag


@dataclass(frozen=True, slots=True)
class Record:
    """One line of an export; its fields by name."""

    fields: Mapping[str, object] = field(repr=False)

    def as_line(self) -> dict[str, object]:
        """Fields by name, times in UTC."""
        return dict(self.fields)


def read_outcomes(connection: Connection, batch: str) -> Iterator[Record]:
    """Every outcome of every round, in input order; a job that has none yet stands with its state alone."""
    statement = (
        select(
            batches.c.name.label("batch"), batches.c.provider, jobs.c.item_id.label("id"), jobs.c.id.label("job_id"),
            jobs.c.state, jobs.c.round.label("present_round"), jobs.c.schema_name, jobs.c.schema_fingerprint,
            jobs.c.prompt_hash, jobs.c.model, jobs.c.metadata.label("job_metadata"), jobs.c.position,
            jobs.c.prompt.is_(None).label("is_purged"), outcomes.c.round, outcomes.c.finished_at, outcomes.c.result,
            outcomes.c.failure_kind, outcomes.c.failure_message, outcomes.c.model_answered, outcomes.c.is_standin,
            _leader.c.item_id.label("same_as"), outcomes.c.provenance,
        )
        .select_from(jobs)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .outerjoin(outcomes, outcomes.c.job_id == jobs.c.id)
        .outerjoin(_leader, _leader.c.id == jobs.c.leader_id)
        .where(batches.c.name == batch, jobs.c.position < batches.c.opened)
    )  # fmt: skip
    for page in _pages_of_jobs(connection, batch, statement, within_job=outcomes.c.round):
        flags = flags_by_round(connection, {row.job_id for row in page})
        for row in page:
            yield Record(_outcome_fields(row, flags_of_round(flags, row.job_id, row.round)))


def read_ledger(connection: Connection, batch: str) -> Iterator[Record]:
    """Every request to the provider, job by job in input order, in the order they were sent."""
    statement = (
        select(
            batches.c.name.label("batch"), jobs.c.item_id, jobs.c.position, attempts
        )
        .select_from(attempts)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(batches.c.name == batch)
    )  # fmt: skip
    for page in _pages_of_jobs(connection, batch, statement, within_job=attempts.c.opened_at):
        for row in page:
            yield Record(_attempt_fields(row))


_leader = jobs.alias("leader")


def _pages_of_jobs(
    connection: Connection, batch: str, statement: Select[Any], *, within_job: Any
) -> Iterator[Sequence[Row[Any]]]:
    """Whole jobs at a time, so that a page never ends in the middle of one; positions have no gaps."""
    opened = connection.execute(select(batches.c.opened).where(batches.c.name == batch)).scalar_one()
    for first in range(0, opened, PAGE):
        page = statement.where(jobs.c.position >= first, jobs.c.position < first + PAGE)
        yield connection.execute(page.order_by(jobs.c.position, within_job)).all()


def _outcome_fields(row: Row[Any], flags: Sequence[Flag]) -> dict[str, object]:
    fields: dict[str, object] = {
        "batch": row.batch,
        "provider": row.provider,
        "id": row.id,
        "job_id": row.job_id,
        "round": row.round or row.present_round,
        "state": _state(row),
        "finished_at": _utc(row.finished_at),
        "schema": row.schema_name,
        "schema_fingerprint": row.schema_fingerprint,
        "prompt_hash": row.prompt_hash,
        "model": row.model,
        "model_answered": row.model_answered,
    }
    if row.failure_kind is not None:
        fields["failure"] = {"kind": row.failure_kind, "message": row.failure_message}
    else:
        fields["result"] = json.loads(row.result) if row.result is not None else None
    fields["same_as"] = row.same_as
    fields["flags"] = [flag.as_json() for flag in flags]
    fields["provenance"] = row.provenance
    fields["metadata"] = row.job_metadata
    if row.is_standin:
        fields["standin"] = True
    if row.is_purged:
        fields["purged"] = True
    return fields


def _state(row: Row[Any]) -> str:
    if row.round is None:
        return str(row.state)
    return JobState.FAILED if row.failure_kind is not None else JobState.SUCCEEDED


def _attempt_fields(row: Row[Any]) -> dict[str, object]:
    return {
        "batch": row.batch,
        "id": row.item_id,
        "job_id": row.job_id,
        "attempt_id": row.id,
        "round": row.round,
        "claim": row.claim,
        "worker_id": row.worker_id,
        "purpose": row.purpose,
        "ending": row.ending,
        "opened_at": _utc(row.opened_at),
        "closed_at": _utc(row.closed_at),
        "model": row.model,
        "model_answered": row.model_answered,
        "system_fingerprint": row.system_fingerprint,
        "status_code": row.status_code,
        "message": row.message,
        "wait_seconds": row.wait_seconds,
        "request_id": row.request_id,
        "parameters_sent": row.parameters_sent,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cached_tokens": row.cached_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "service_tier": row.service_tier,
        "cost_usd": row.cost_usd,
        "surcharge_usd": row.surcharge_usd,
        "most_usd": row.held_usd,
    }


def _utc(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
