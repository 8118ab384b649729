"""Everything that is on record, for an export: each round's outcome, and each request of the ledger. Read-only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json.encoder import encode_basestring as text
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, exists, func, null, select

from workers.store.flags import FlagsByRound, flags_by_round, flags_of_round
from workers.store.json_text import Moments, Repeated, as_stored, quoted
from workers.store.result_lines import ended_text, flags_text, marks, number
from workers.store.result_pages import SAME_AS
from workers.store.sql import fetch_plain, in_pages
from workers.store.tables import attempts, batches, flags, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

    from workers.contract.flag import Flag


PAGE = 2000
"""Jobs read at a time: some megabytes of results."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of an export; its fields by name."""

    fields: Mapping[str, object] = field(repr=False)

    def as_line(self) -> dict[str, object]:
        """Fields by name, times in UTC."""
        return dict(self.fields)


def read_outcomes(connection: Connection, batch: str) -> Iterator[Record]:
    """Every outcome of every round, in input order; a job that has none yet has a row with its state alone."""
    for query, found in _pages_of_jobs(connection, batch, _OUTCOMES, within_job=outcomes.c.round):
        by_round = flags_by_round(connection, found)
        for row in connection.execute(query):
            yield Record(_outcome_fields(row, flags_of_round(by_round, row.job_id, row.round)))


def read_outcome_lines(connection: Connection, batch: str) -> Iterator[str]:
    """The same as lines of JSON, straight from the rows."""
    header = _header(connection, batch)
    begin = f'{{"batch": {text(batch)}, "provider": {text(header.provider)}, "id": '
    columns = select(*_OUTCOME_LINE, SAME_AS if header.has_twins else null()).select_from(_WITH_OUTCOMES)
    pieces, moments = Repeated(_outcome_pieces), Moments()
    for query, found in _pages_of_jobs(connection, batch, columns, within_job=outcomes.c.round):
        found_flags = flags_by_round(connection, found) if header.has_flags else {}
        yield from _outcome_lines(fetch_plain(connection, query), begin, pieces, moments, found_flags)


def read_ledger(connection: Connection, batch: str) -> Iterator[Record]:
    """Every request to the provider, job by job in input order, in the order they were sent."""
    for query, _found in _pages_of_jobs(connection, batch, _REQUESTS, within_job=attempts.c.opened_at):
        for row in connection.execute(query):
            yield Record(_attempt_fields(row))


def read_ledger_lines(connection: Connection, batch: str) -> Iterator[str]:
    """The same as lines of JSON, straight from the rows."""
    begin = f'{{"batch": {text(batch)}, "id": '
    pieces, moments = Repeated(_attempt_pieces), Moments()
    for query, _found in _pages_of_jobs(connection, batch, _REQUEST_LINE, within_job=attempts.c.opened_at):
        yield from _attempt_lines(fetch_plain(connection, query), begin, pieces, moments)


_WITH_OUTCOMES = jobs.outerjoin(outcomes, outcomes.c.job_id == jobs.c.id)
_OUTCOMES = (
    select(
        batches.c.name.label("batch"), batches.c.provider, jobs.c.item_id.label("id"), jobs.c.id.label("job_id"),
        jobs.c.state, jobs.c.round.label("present_round"), jobs.c.schema_name, jobs.c.schema_fingerprint,
        jobs.c.prompt_hash, jobs.c.model, cast(jobs.c.metadata, Text).label("job_metadata"),
        jobs.c.prompt.is_(None).label("is_purged"), outcomes.c.round, outcomes.c.finished_at, outcomes.c.result,
        outcomes.c.failure_kind, outcomes.c.failure_message, outcomes.c.model_answered, outcomes.c.is_standin,
        SAME_AS, cast(outcomes.c.provenance, Text).label("provenance"),
    )
    .select_from(_WITH_OUTCOMES.join(batches, batches.c.id == jobs.c.batch_id))
)  # fmt: skip
_OUTCOME_LINE = (
    jobs.c.item_id, jobs.c.id, outcomes.c.finished_at, jobs.c.prompt_hash, outcomes.c.result,
    outcomes.c.failure_message, cast(outcomes.c.provenance, Text), cast(jobs.c.metadata, Text),
    func.coalesce(outcomes.c.round, jobs.c.round), outcomes.c.round.is_(None), jobs.c.state, outcomes.c.failure_kind,
    jobs.c.schema_name, jobs.c.schema_fingerprint, jobs.c.model, outcomes.c.model_answered, outcomes.c.is_standin,
    jobs.c.prompt.is_(None),
)  # fmt: skip
"""What differs from line to line, and behind it what `_outcome_pieces` takes."""
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

_REQUEST_LINE = (
    select(
        jobs.c.item_id, attempts.c.job_id, attempts.c.id, attempts.c.opened_at, attempts.c.closed_at,
        attempts.c.message, attempts.c.wait_seconds, attempts.c.request_id, attempts.c.submission_id,
        attempts.c.prompt_tokens, attempts.c.completion_tokens, attempts.c.cached_tokens,
        attempts.c.cache_write_tokens, attempts.c.reasoning_tokens, attempts.c.cost_usd, attempts.c.surcharge_usd,
        attempts.c.held_usd, attempts.c.round, attempts.c.claim, attempts.c.worker_id, attempts.c.purpose,
        attempts.c.ending, attempts.c.model, attempts.c.model_answered, attempts.c.system_fingerprint,
        attempts.c.status_code, cast(attempts.c.parameters_sent, Text), attempts.c.service_tier, attempts.c.lane,
    )
    .select_from(jobs)
    .join(attempts, attempts.c.job_id == jobs.c.id)
)  # fmt: skip
"""What differs from line to line, and behind it what `_attempt_pieces` takes."""


def _header(connection: Connection, batch: str) -> Row[Any]:
    """What all of its lines share."""
    is_follower = (jobs.c.batch_id == batches.c.id) & jobs.c.leader_id.is_not(None)
    return connection.execute(
        select(
            batches.c.provider,
            exists().where(is_follower).label("has_twins"),
            exists().where(flags.c.batch_id == batches.c.id).label("has_flags"),
        ).where(batches.c.name == batch)
    ).one()


def _pages_of_jobs(
    connection: Connection, batch: str, statement: Select[Any], *, within_job: Any
) -> Iterator[tuple[Select[Any], Select[tuple[str]]]]:
    """A query for whole jobs at a time with one for their ids, so that a page never ends in the middle of one.

    Positions have no gaps.
    """
    batch_id, opened = connection.execute(select(batches.c.id, batches.c.opened).where(batches.c.name == batch)).one()
    with in_pages(connection):
        for first in range(0, opened, PAGE):
            is_on_page = (jobs.c.batch_id == batch_id) & jobs.c.position.between(first, min(first + PAGE, opened) - 1)
            page = statement.where(is_on_page).order_by(jobs.c.position, within_job)
            yield page, select(jobs.c.id).where(is_on_page)


def _outcome_fields(row: Row[*tuple[Any, ...]], flags: Sequence[Flag]) -> dict[str, object]:
    fields: dict[str, object] = {
        "batch": row.batch,
        "provider": row.provider,
        "id": row.id,
        "job_id": row.job_id,
        "round": row.round or row.present_round,
        "state": _state_of(row.state, row.round, row.failure_kind),
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


def _outcome_pieces(values: tuple[Any, ...]) -> tuple[str, str, str, str]:
    of_round, is_without, state, failure_kind, schema, fingerprint, model, answered, is_standin, is_purged = values
    shown = _state_of(state, None if is_without else of_round, failure_kind)
    return (
        f', "round": {of_round}, "state": {text(shown)}, "finished_at": ',
        f', "schema": {text(schema)}, "schema_fingerprint": {text(fingerprint)}, "prompt_hash": ',
        f', "model": {text(model)}, "model_answered": {quoted(answered)}, ',
        f"{marks(is_standin=is_standin, is_purged=is_purged)}}}\n",
    )


def _outcome_lines(
    rows: Sequence[tuple[Any, ...]],
    begin: str,
    pieces: Repeated[tuple[str, str, str, str]],
    moments: Moments,
    by_round: FlagsByRound,
) -> Iterator[str]:
    for row in rows:
        item_id, job_id, finished_at, prompt_hash, result, failure_message, provenance, metadata = row[:8]
        round_and_state, schema, model, end = pieces[row[8:18]]
        same_as = row[18]
        yield (
            f'{begin}{text(item_id)}, "job_id": {text(job_id)}{round_and_state}{moments.text(finished_at)}{schema}'
            f"{text(prompt_hash)}{model}{ended_text(result, row[11], failure_message)}"
            f', "same_as": {"null" if same_as is None else text(same_as)}, "flags": '
            f"{flags_text(flags_of_round(by_round, job_id, row[8])) if by_round else '[]'}"
            f', "provenance": {as_stored(provenance)}, "metadata": {as_stored(metadata)}{end}'
        )


def _state_of(state: str, of_round: int | None, failure_kind: str | None) -> str:
    """Of a round that has ended, else the job's."""
    if of_round is None:
        return state
    return "succeeded" if failure_kind is None else "failed"


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


def _attempt_pieces(values: tuple[Any, ...]) -> tuple[str, str, str, str, str]:
    (
        of_round, claim, worker_id, purpose, ending, model, answered, system_fingerprint, status_code, parameters_sent,
        service_tier, lane,
    ) = values  # fmt: skip
    return (
        (
            f', "round": {of_round}, "claim": {claim}, "worker_id": {text(worker_id)}, "purpose": {text(purpose)}, '
            f'"ending": {quoted(ending)}, "opened_at": '
        ),
        (
            f', "model": {text(model)}, "model_answered": {quoted(answered)}, "system_fingerprint": '
            f'{quoted(system_fingerprint)}, "status_code": {number(status_code)}, "message": '
        ),
        f', "parameters_sent": {as_stored(parameters_sent)}, "prompt_tokens": ',
        f', "service_tier": {quoted(service_tier)}, "cost_usd": ',
        f', "lane": {text(lane or "live")}, "submission_id": ',
    )


def _attempt_lines(
    rows: Sequence[tuple[Any, ...]],
    begin: str,
    pieces: Repeated[tuple[str, str, str, str, str]],
    moments: Moments,
) -> Iterator[str]:
    for row in rows:
        item_id, job_id, attempt_id, opened_at, closed_at, message, wait_seconds, request_id, submission_id = row[:9]
        prompt, completion, cached, cache_write, reasoning, cost_usd, surcharge_usd, held_usd = row[9:17]
        round_to_ending, model_and_status, parameters, service_tier, lane = pieces[row[17:]]
        yield (
            f'{begin}{text(item_id)}, "job_id": {text(job_id)}, "attempt_id": {text(attempt_id)}{round_to_ending}'
            f'{moments.text(opened_at)}, "closed_at": {moments.text(closed_at)}{model_and_status}{quoted(message)}, '
            f'"wait_seconds": {number(wait_seconds)}, "request_id": {quoted(request_id)}{parameters}{prompt}, '
            f'"completion_tokens": {completion}, "cached_tokens": {cached}, "cache_write_tokens": {cache_write}, '
            f'"reasoning_tokens": {reasoning}{service_tier}{number(cost_usd)}, '
            f'"surcharge_usd": {number(surcharge_usd)}, "most_usd": {number(held_usd)}{lane}{quoted(submission_id)}}}\n'
        )


def _utc(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
