"""What came of each job, and what it had asked for, in input order. Read-only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import select

from workers.contract.errors import InvalidInput
from workers.contract.flag import failure_advice
from workers.contract.outcome import ENDED_STATES, FailureKind, Usage
from workers.store.ledger import usage_of
from workers.store.result_pages import Wanted, cost_of, result_pages
from workers.store.tables import batches, contexts, jobs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pydantic import BaseModel
    from sqlalchemy import Connection, Row

    from workers.contract.flag import Flag, FlagKind
    from workers.store.result_pages import ResultPage


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
        return failure_advice(self.failure_kind, self.flags) if self.failure_kind else ""

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
    wanted = Wanted(ended_only=ended_only, failed_only=failed_only, job_ids=job_ids, flagged=flagged, at_most=at_most)
    for page in result_pages(connection, name, wanted):
        for row in page.rows:
            yield _result_row(page, row)


def _result_row(page: ResultPage, row: Row[*tuple[Any, ...]]) -> ResultRow:
    spent = page.spending.get(row.position)
    return ResultRow(
        id=row.item_id,
        job_id=row.job_id,
        batch=page.batch,
        round=row.round,
        state=row.state,
        schema=row.schema_name,
        schema_fingerprint=row.schema_fingerprint,
        prompt_hash=row.prompt_hash,
        provider=page.provider,
        model=row.model,
        model_answered=row.model_answered,
        result=json.loads(row.result) if row.result is not None else None,
        failure_kind=FailureKind(row.failure_kind) if row.failure_kind else None,
        failure_message=row.failure_message,
        is_standin=bool(row.is_standin),
        usage=Usage() if spent is None else usage_of(spent),
        cost_usd=0.0 if spent is None else cost_of(spent),
        attempts=0 if spent is None else spent.spent,
        metadata=json.loads(row.job_metadata),
        context_hash=row.context_hash,
        flags=page.flags_of(row.job_id, row.round),
        same_as=row.same_as,
        provenance=json.loads(row.provenance) if row.provenance is not None else None,
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


def read_ended_ids(connection: Connection, batch: str) -> dict[str, None]:
    """The items of the batch that have ended, in input order; no more is read of them."""
    statement = (
        select(jobs.c.item_id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(batches.c.name == batch, jobs.c.position < batches.c.opened, jobs.c.state.in_(ENDED_STATES))
        .order_by(jobs.c.position)
    )
    return dict.fromkeys(connection.execute(statement).scalars())


def read_contexts(connection: Connection, name: str) -> dict[str, Mapping[str, Any]]:
    """Every rubric or catalogue that a job of the batch is graded by, by its hash."""
    hashes = (
        select(jobs.c.context_hash)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(batches.c.name == name, jobs.c.position < batches.c.opened, jobs.c.context_hash.is_not(None))
    )
    statement = select(contexts.c.hash, contexts.c.content).where(contexts.c.hash.in_(hashes)).order_by(contexts.c.hash)
    return {row.hash: row.content for row in connection.execute(statement)}


def read_context(connection: Connection, context_hash: str) -> Mapping[str, object] | None:
    """The rubric or catalogue kept under this hash."""
    content: Mapping[str, object] | None = connection.execute(
        select(contexts.c.content).where(contexts.c.hash == context_hash)
    ).scalar()
    return content
