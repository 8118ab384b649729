"""Everything that is on record, for an export: each round's outcome, and each request of the ledger. Read-only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, select

from workers.contract.outcome import JobState
from workers.store.flags import flags_by_round, flags_of_round
from workers.store.json_text import in_line_form, quoted
from workers.store.result_lines import flags_text, marks, number
from workers.store.result_pages import SAME_AS
from workers.store.sql import PAGE, in_pages
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
    for row, flags in _outcomes(connection, batch):
        yield Record(_outcome_fields(row, flags))


def read_outcome_lines(connection: Connection, batch: str) -> Iterator[str]:
    """The same as lines of JSON, straight from the rows."""
    for row, flags in _outcomes(connection, batch):
        yield _outcome_line(row, flags)


def read_ledger(connection: Connection, batch: str) -> Iterator[Record]:
    """Every request to the provider, job by job in input order, in the order they were sent."""
    for row in _requests(connection, batch):
        yield Record(_attempt_fields(row))


def read_ledger_lines(connection: Connection, batch: str) -> Iterator[str]:
    """The same as lines of JSON, straight from the rows."""
    return map(_attempt_line, _requests(connection, batch))


_OUTCOMES = (
    select(
        batches.c.name.label("batch"), batches.c.provider, jobs.c.item_id.label("id"), jobs.c.id.label("job_id"),
        jobs.c.state, jobs.c.round.label("present_round"), jobs.c.schema_name, jobs.c.schema_fingerprint,
        jobs.c.prompt_hash, jobs.c.model, cast(jobs.c.metadata, Text).label("job_metadata"),
        jobs.c.prompt.is_(None).label("is_purged"), outcomes.c.round, outcomes.c.finished_at, outcomes.c.result,
        outcomes.c.failure_kind, outcomes.c.failure_message, outcomes.c.model_answered, outcomes.c.is_standin,
        SAME_AS, cast(outcomes.c.provenance, Text).label("provenance"),
    )
    .select_from(jobs)
    .join(batches, batches.c.id == jobs.c.batch_id)
    .outerjoin(outcomes, outcomes.c.job_id == jobs.c.id)
)  # fmt: skip
_REQUESTS = (
    select(
        batches.c.name.label("batch"), jobs.c.item_id, attempts.c.job_id, attempts.c.id, attempts.c.round,
        attempts.c.claim, attempts.c.worker_id, attempts.c.purpose, attempts.c.ending, attempts.c.opened_at,
        attempts.c.closed_at, attempts.c.model, attempts.c.model_answered, attempts.c.system_fingerprint,
        attempts.c.status_code, attempts.c.message, attempts.c.wait_seconds, attempts.c.request_id,
        cast(attempts.c.parameters_sent, Text).label("parameters_sent"), attempts.c.prompt_tokens,
        attempts.c.completion_tokens, attempts.c.cached_tokens, attempts.c.cache_write_tokens,
        attempts.c.reasoning_tokens, attempts.c.service_tier, attempts.c.cost_usd, attempts.c.surcharge_usd,
        attempts.c.held_usd, attempts.c.lane, attempts.c.submission_id,
    )
    .select_from(jobs)
    .join(attempts, attempts.c.job_id == jobs.c.id)
    .join(batches, batches.c.id == jobs.c.batch_id)
)  # fmt: skip


def _outcomes(connection: Connection, batch: str) -> Iterator[tuple[Row[*tuple[Any, ...]], Sequence[Flag]]]:
    for page, found in _pages_of_jobs(connection, batch, _OUTCOMES, within_job=outcomes.c.round):
        flags = flags_by_round(connection, found)
        for row in page:
            yield row, flags_of_round(flags, row.job_id, row.round) if flags else ()


def _requests(connection: Connection, batch: str) -> Iterator[Row[*tuple[Any, ...]]]:
    for page, _found in _pages_of_jobs(connection, batch, _REQUESTS, within_job=attempts.c.opened_at):
        yield from page


def _pages_of_jobs(
    connection: Connection, batch: str, statement: Select[Any], *, within_job: Any
) -> Iterator[tuple[Sequence[Row[*tuple[Any, ...]]], Select[tuple[str]]]]:
    """Whole jobs at a time with a query for their ids, so that a page never ends in the middle of one.

    Positions have no gaps.
    """
    batch_id, opened = connection.execute(select(batches.c.id, batches.c.opened).where(batches.c.name == batch)).one()
    with in_pages(connection):
        for first in range(0, opened, PAGE):
            is_on_page = (jobs.c.batch_id == batch_id) & jobs.c.position.between(first, min(first + PAGE, opened) - 1)
            page = statement.where(is_on_page).order_by(jobs.c.position, within_job)
            yield connection.execute(page).all(), select(jobs.c.id).where(is_on_page)


def _outcome_fields(row: Row[*tuple[Any, ...]], flags: Sequence[Flag]) -> dict[str, object]:
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
    fields["provenance"] = json.loads(row.provenance) if row.provenance is not None else None
    fields["metadata"] = json.loads(row.job_metadata)
    if row.is_standin:
        fields["standin"] = True
    if row.is_purged:
        fields["purged"] = True
    return fields


def _outcome_line(row: Row[*tuple[Any, ...]], flags: Sequence[Flag]) -> str:
    (
        batch, provider, item_id, job_id, _state_now, present_round, schema, fingerprint, prompt_hash, model, metadata,
        is_purged, of_round, finished_at, result, failure_kind, failure_message, model_answered, is_standin, same_as,
        provenance,
    ) = row  # fmt: skip
    ended = (
        f'"result": {in_line_form(result)}'
        if failure_kind is None
        else f'"failure": {{"kind": {quoted(failure_kind)}, "message": {quoted(failure_message)}}}'
    )
    return (
        f'{{"batch": {quoted(batch)}, "provider": {quoted(provider)}, "id": {quoted(item_id)}, '
        f'"job_id": {quoted(job_id)}, "round": {of_round or present_round}, "state": {quoted(_state(row))}, '
        f'"finished_at": {quoted(_utc(finished_at))}, "schema": {quoted(schema)}, '
        f'"schema_fingerprint": {quoted(fingerprint)}, "prompt_hash": {quoted(prompt_hash)}, "model": {quoted(model)}, '
        f'"model_answered": {quoted(model_answered)}, {ended}, "same_as": {quoted(same_as)}, '
        f'"flags": {flags_text(flags)}, "provenance": {in_line_form(provenance)}, "metadata": {in_line_form(metadata)}'
        f"{marks(is_standin=is_standin, is_purged=is_purged)}}}\n"
    )


def _state(row: Row[*tuple[Any, ...]]) -> str:
    if row.round is None:
        return str(row.state)
    return JobState.FAILED if row.failure_kind is not None else JobState.SUCCEEDED


def _attempt_fields(row: Row[*tuple[Any, ...]]) -> dict[str, object]:
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
        "parameters_sent": json.loads(row.parameters_sent) if row.parameters_sent is not None else None,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cached_tokens": row.cached_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "service_tier": row.service_tier,
        "cost_usd": row.cost_usd,
        "surcharge_usd": row.surcharge_usd,
        "most_usd": row.held_usd,
        "lane": row.lane or "live",
        "submission_id": row.submission_id,
    }


def _attempt_line(row: Row[*tuple[Any, ...]]) -> str:
    (
        batch, item_id, job_id, attempt_id, of_round, claim, worker_id, purpose, ending, opened_at, closed_at, model,
        answered, system_fingerprint, status_code, message, wait_seconds, request_id, parameters_sent,
        prompt, completion, cached, cache_write, reasoning, service_tier, cost_usd, surcharge_usd, held_usd,
        lane, submission_id,
    ) = row  # fmt: skip
    return (
        f'{{"batch": {quoted(batch)}, "id": {quoted(item_id)}, "job_id": {quoted(job_id)}, '
        f'"attempt_id": {quoted(attempt_id)}, "round": {of_round}, "claim": {claim}, "worker_id": {quoted(worker_id)}, '
        f'"purpose": {quoted(purpose)}, "ending": {quoted(ending)}, "opened_at": {quoted(_utc(opened_at))}, '
        f'"closed_at": {quoted(_utc(closed_at))}, "model": {quoted(model)}, "model_answered": {quoted(answered)}, '
        f'"system_fingerprint": {quoted(system_fingerprint)}, "status_code": {number(status_code)}, '
        f'"message": {quoted(message)}, "wait_seconds": {number(wait_seconds)}, "request_id": {quoted(request_id)}, '
        f'"parameters_sent": {in_line_form(parameters_sent)}, "prompt_tokens": {prompt}, '
        f'"completion_tokens": {completion}, "cached_tokens": {cached}, "cache_write_tokens": {cache_write}, '
        f'"reasoning_tokens": {reasoning}, "service_tier": {quoted(service_tier)}, "cost_usd": {number(cost_usd)}, '
        f'"surcharge_usd": {number(surcharge_usd)}, "most_usd": {number(held_usd)}, '
        f'"lane": {quoted(lane or "live")}, "submission_id": {quoted(submission_id)}}}\n'
    )


def _utc(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
