"""What came of each job, and what it had asked for, in input order. Read-only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import func, select, union_all

from workers.contract.errors import InvalidInput
from workers.contract.outcome import ENDED_STATES, AttemptEnding, FailureKind, JobState, Usage
from workers.store.claims import SPENT
from workers.store.flags import flags_by_round, flags_of_round, is_flagged
from workers.store.ledger import USAGE_SUMS, usage_of
from workers.store.sql import PAGE, page_of_batch
from workers.store.tables import attempts, batches, contexts, jobs, outcomes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pydantic import BaseModel
    from sqlalchemy import CompoundSelect, Connection, Row

    from workers.contract.flag import Flag, FlagKind


Model = TypeVar("Model", bound="BaseModel")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One job with the outcome of its current round, if it has one."""

    id: str
    job_id: str
    batch: str
    round: int
    state: str
    schema: str
    schema_fingerprint: str
    prompt_hash: str
    provider: str
    model: str
    model_answered: str | None
    result: object | None = field(repr=False)
    failure_kind: FailureKind | None
    failure_message: str | None
    is_standin: bool
    usage: Usage
    cost_usd: float | None
    attempts: int
    """Requests of this round that count: answered or failed."""
    metadata: Mapping[str, object] = field(repr=False)
    context_hash: str | None = None
    """The rubric or catalogue that the schema was made from; None for schemas without one."""
    flags: tuple[Flag, ...] = ()
    """What a person should look at before this outcome counts."""
    provenance: Mapping[str, object] | None = field(default=None, repr=False)
    """How the outcome came about: the request that decided, what was checked. None for one of an earlier release."""
    same_as: str | None = None
    """Id of the item whose grading this outcome is, because their work is the same; None for a grading of its own."""
    is_purged: bool = False
    """Prompt, answer and metadata were removed; counts and costs are all that is left."""

    def parse(self, model: type[Model]) -> Model:
        """The result as this model; raises `InvalidInput` when the job has none, or it is another schema's."""
        if self.result is None:
            raise InvalidInput(f"job {self.id!r} has no result: {self.failure_kind or self.state}")
        try:
            return model.model_validate(self.result)
        except ValidationError:
            raise InvalidInput(
                f"the result of job {self.id!r} is no {model.__name__}; its schema is {self.schema}"
            ) from None

    @property
    def advice(self) -> str:
        """What to do about the failure; empty when there is none."""
        return self.failure_kind.advice if self.failure_kind else ""

    def as_line(self) -> dict[str, object]:
        """The result line of the command line and of every export."""
        line: dict[str, object] = {
            "id": self.id,
            "job_id": self.job_id,
            "batch": self.batch,
            "round": self.round,
            "state": self.state,
            "schema": self.schema,
            "schema_fingerprint": self.schema_fingerprint,
            "prompt_hash": self.prompt_hash,
            "provider": self.provider,
            "model": self.model,
            "model_answered": self.model_answered,
        }
        if self.failure_kind is not None:
            line["failure"] = {"kind": str(self.failure_kind), "message": self.failure_message}
        else:
            line["result"] = self.result
        line["same_as"] = self.same_as
        line["provenance"] = self.provenance
        line["flags"] = [flag.as_json() for flag in self.flags]
        line["usage"] = {
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "cache_write_tokens": self.usage.cache_write_tokens,
            "reasoning_tokens": self.usage.reasoning_tokens,
        }
        line["cost_usd"] = self.cost_usd
        line["attempts"] = self.attempts
        line["metadata"] = dict(self.metadata)
        if self.is_standin:
            line["standin"] = True
        if self.is_purged:
            line["purged"] = True
        return line


def read_results(
    connection: Connection,
    name: str,
    *,
    ended_only: bool = False,
    failed_only: bool = False,
    job_ids: Collection[str] | None = None,
    flagged: Collection[FlagKind] = (),
    at_most: int | None = None,
) -> Iterator[ResultRow]:
    """Every job of the batch (or these of it) with its latest outcome, in input order, a page at a time.

    `ended_only` leaves out what waits or runs, `failed_only` all but failures, `flagged` all but those
    that carry one of these flags; no row after `at_most` is read.
    """
    last: tuple[int, str] = (-1, "")
    left = at_most
    while left != 0:
        page = _result_page(
            connection,
            name,
            after=last,
            states=(JobState.FAILED,) if failed_only else ENDED_STATES if ended_only else None,
            job_ids=job_ids,
            flagged=flagged,
            at_most=PAGE if left is None else min(PAGE, left),
        )
        if not page:
            return
        ids = [row.job_id for row in page]
        spending, flags = _spending_by_job(connection, ids), flags_by_round(connection, ids)
        for row in page:
            spent = spending.get(row.job_id, _NOTHING_SPENT)
            yield _result_row(row, spent, flags_of_round(flags, row.job_id, row.round))
        last = (page[-1].position, page[-1].job_id)
        left = None if left is None else left - len(page)


def _result_page(
    connection: Connection,
    name: str,
    *,
    after: tuple[int, str],
    states: Collection[str] | None,
    job_ids: Collection[str] | None,
    flagged: Collection[FlagKind],
    at_most: int,
) -> list[Row[tuple[Any, ...]]]:
    statement = (
        select(
            jobs.c.id.label("job_id"), jobs.c.item_id, jobs.c.position, jobs.c.round, jobs.c.state,
            jobs.c.schema_name, jobs.c.schema_fingerprint, jobs.c.prompt_hash, jobs.c.model,
            jobs.c.context_hash, jobs.c.metadata.label("job_metadata"), batches.c.name.label("batch"),
            batches.c.provider,
            outcomes.c.result, outcomes.c.failure_kind, outcomes.c.failure_message, outcomes.c.model_answered,
            outcomes.c.is_standin, _leader.c.item_id.label("same_as"),
            outcomes.c.provenance, jobs.c.prompt.is_(None).label("is_purged"),
        )
        .join(batches, batches.c.id == jobs.c.batch_id)
        .outerjoin(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .outerjoin(_leader, _leader.c.id == jobs.c.leader_id)
    )  # fmt: skip
    statement = page_of_batch(statement, name, after=after, at_most=at_most)
    if flagged:
        statement = statement.where(is_flagged(flagged))
    if job_ids is not None:
        statement = statement.where(jobs.c.id.in_(job_ids))
    if states is not None and (job_ids is not None or flagged):
        statement = statement.where(jobs.c.state.in_(states))
    elif states is not None:
        statement = statement.where(jobs.c.position.in_(_positions(name, states, after[0], at_most)))
    return list(connection.execute(statement))


_leader = jobs.alias("leader")


def _positions(name: str, states: Collection[str], after: int, at_most: int) -> CompoundSelect[tuple[int]]:
    """Where the next jobs in each of these states stand: read from an index alone, whatever lies between them."""
    next_of_each = (
        select(jobs.c.position)
        .where(
            jobs.c.batch_id == select(batches.c.id).where(batches.c.name == name).scalar_subquery(),
            jobs.c.state == state,
            jobs.c.position > after,
        )
        .order_by(jobs.c.position)
        .limit(at_most)
        .subquery()
        for state in states
    )
    return union_all(*(select(each.c.position) for each in next_of_each))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spending:
    attempts: int
    usage: Usage
    cost_usd: float | None


_NOTHING_SPENT = _Spending(attempts=0, usage=Usage(), cost_usd=0.0)


def _spending_by_job(connection: Connection, job_ids: list[str]) -> dict[str, _Spending]:
    """What the current round of each job spent."""
    rows = connection.execute(
        select(
            attempts.c.job_id,
            func.count().filter(attempts.c.ending.in_(SPENT)).label("spent"),
            func.count().filter(attempts.c.ending == str(AttemptEnding.ANSWERED)).label("answered"),
            *USAGE_SUMS,
        )
        .join(jobs, (jobs.c.id == attempts.c.job_id) & (jobs.c.round == attempts.c.round))
        .where(attempts.c.job_id.in_(job_ids))
        .group_by(attempts.c.job_id)
    )
    return {
        row.job_id: _Spending(
            attempts=row.spent,
            usage=usage_of(row),
            cost_usd=None if row.priced < row.answered else (row.cost_usd or 0.0),
        )
        for row in rows
    }


def _result_row(row: Row[tuple[Any, ...]], spending: _Spending, flags: tuple[Flag, ...]) -> ResultRow:
    return ResultRow(
        id=row.item_id,
        job_id=row.job_id,
        batch=row.batch,
        round=row.round,
        state=row.state,
        schema=row.schema_name,
        schema_fingerprint=row.schema_fingerprint,
        prompt_hash=row.prompt_hash,
        provider=row.provider,
        model=row.model,
        model_answered=row.model_answered,
        result=json.loads(row.result) if row.result is not None else None,
        failure_kind=FailureKind(row.failure_kind) if row.failure_kind else None,
        failure_message=row.failure_message,
        is_standin=bool(row.is_standin),
        usage=spending.usage,
        cost_usd=spending.cost_usd,
        attempts=spending.attempts,
        metadata=row.job_metadata,
        context_hash=row.context_hash,
        flags=flags,
        same_as=row.same_as,
        provenance=row.provenance,
        is_purged=bool(row.is_purged),
    )


def find_jobs(connection: Connection, batch: str, item_ids: Collection[str]) -> list[str]:
    """The job ids of these items of the batch; ids that it does not have are left out."""
    statement = (
        select(jobs.c.id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(batches.c.name == batch, jobs.c.position < batches.c.opened, jobs.c.item_id.in_(item_ids))
    )
    return list(connection.execute(statement).scalars())


def read_context(connection: Connection, context_hash: str) -> Mapping[str, object] | None:
    """The rubric or catalogue kept under this hash."""
    content: Mapping[str, object] | None = connection.execute(
        select(contexts.c.content).where(contexts.c.hash == context_hash)
    ).scalar()
    return content
