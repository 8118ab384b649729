"""The life of one grade: everything on record about one job, in the order of time. Read-only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from workers.contract.errors import InvalidInput
from workers.contract.outcome import FailureKind, JobState
from workers.store.decisions import read_decisions
from workers.store.flags import flags_by_round
from workers.store.tables import attempts, batches, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Row

_leader = jobs.alias("leader")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened. `at` is seconds since the epoch, database clock; `facts` hold no work and no answer."""

    at: float
    what: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One job with its history."""

    batch: str
    id: str
    state: str
    job: Mapping[str, object]
    """What decides the grade: schema, model, parameters, hashes."""
    same_as: str | None
    """Id of the item that was graded for this one; its life is the longer one."""
    moments: tuple[Moment, ...]


def read_life(connection: Connection, batch: str, item_id: str) -> Life:
    """Raises `InvalidInput` when the batch has no such item."""
    row = connection.execute(
        select(jobs, batches.c.provider, _leader.c.item_id.label("same_as"))
        .join(batches, batches.c.id == jobs.c.batch_id)
        .outerjoin(_leader, _leader.c.id == jobs.c.leader_id)
        .where(batches.c.name == batch, jobs.c.item_id == item_id, jobs.c.position < batches.c.opened)
    ).one_or_none()
    if row is None:
        raise InvalidInput(f"there is no item {item_id!r} in batch {batch!r}; `gradequeue results {batch}` lists them")
    moments = [
        Moment(at=row.enqueued_at, what="enqueued"),
        *_requests(connection, row.id),
        *_outcomes(connection, row.id),
        *_decided(connection, batch, item_id),
    ]
    return Life(
        batch=batch,
        id=item_id,
        state=row.state,
        job=_facts(row),
        same_as=row.same_as,
        moments=tuple(sorted(moments, key=lambda moment: moment.at)),
    )


def _facts(row: Row[Any]) -> dict[str, object]:
    return {
        "job_id": row.id,
        "provider": row.provider,
        "schema": row.schema_name,
        "schema_fingerprint": row.schema_fingerprint,
        "instructions_hash": row.instructions_hash,
        "rubric_hash": row.context_hash,
        "prompt_hash": row.prompt_hash,
        "model": row.model,
        "parameters": row.parameters,
        "round": row.round,
        "snoozes": row.snoozes,
        "lost_claims": row.lost_claims,
    }


def _requests(connection: Connection, job_id: str) -> Iterator[Moment]:
    for row in connection.execute(select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.opened_at)):
        took = None if row.closed_at is None else round(row.closed_at - row.opened_at, 3)
        yield Moment(
            at=row.opened_at,
            what=f"request to {row.purpose}: {row.ending or 'in flight'}",
            facts={
                "round": row.round,
                "claim": row.claim,
                "worker_id": row.worker_id,
                "seconds": took,
                "model": row.model,
                "model_answered": row.model_answered,
                "system_fingerprint": row.system_fingerprint,
                "service_tier": row.service_tier,
                "lane": row.lane,
                "submission_id": row.submission_id,
                "request_id": row.request_id,
                "status_code": row.status_code,
                "message": row.message,
                "wait_seconds": row.wait_seconds,
                "parameters_sent": row.parameters_sent,
                "prompt_tokens": row.prompt_tokens,
                "cached_tokens": row.cached_tokens,
                "cache_write_tokens": row.cache_write_tokens,
                "completion_tokens": row.completion_tokens,
                "reasoning_tokens": row.reasoning_tokens,
                "cost_usd": row.cost_usd,
            },
        )


def _outcomes(connection: Connection, job_id: str) -> Iterator[Moment]:
    flags = flags_by_round(connection, [job_id])
    for row in connection.execute(select(outcomes).where(outcomes.c.job_id == job_id).order_by(outcomes.c.round)):
        failure = FailureKind(row.failure_kind) if row.failure_kind else None
        yield Moment(
            at=row.finished_at,
            what="graded with another item"
            if row.same_as
            else str(JobState.SUCCEEDED)
            if failure is None
            else f"failed: {failure}",
            facts={
                "round": row.round,
                "message": row.failure_message,
                "model_answered": row.model_answered,
                "is_standin": bool(row.is_standin) or None,
                **_without_texts(row.provenance or {}),
            },
        )
        for (flagged_job, number), found in flags.items():
            if (flagged_job, number) == (job_id, row.round):
                for flag in found:
                    yield Moment(
                        at=row.finished_at,
                        what=f"flag: {flag.kind}",
                        facts={"path": flag.path, "message": flag.message},
                    )


def _without_texts(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What a counterfactual showed in numbers alone: other fields of it are the model's, or quoted from the work."""
    told = dict(provenance)
    if isinstance(found := told.get("counterfactual"), dict) and isinstance(fields := found.get("fields"), dict):
        numbers = {path: each for path, each in fields.items() if not any(isinstance(v, str) for v in each.values())}
        told["counterfactual"] = {**found, "fields": numbers}
    return told


def _decided(connection: Connection, batch: str, item_id: str) -> Iterator[Moment]:
    for decision in read_decisions(connection, batch, [item_id]):
        facts = {"by": decision.by, "round": decision.round, "reason": decision.reason or None}
        yield Moment(at=decision.at, what=f"decision: {decision.kind}", facts=facts)
