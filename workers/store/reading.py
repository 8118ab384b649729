"""Progress, results and failures, as people ask for them. Read-only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import exists, func, select, union_all

from workers.contract.errors import InvalidInput
from workers.contract.outcome import AttemptEnding, FailureKind, Usage
from workers.store.claims import SPENT
from workers.store.rows import IS_READY
from workers.store.tables import attempts, batches, jobs, now_seconds, outcomes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pydantic import BaseModel
    from sqlalchemy import CompoundSelect, Connection, Row

Model = TypeVar("Model", bound="BaseModel")

PAGE = 500
"""Rows fetched at a time, so that a hundred thousand results never stand in memory together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What was paid for twice, or may have been: the price of at-least-once."""

    repeated: int
    """Requests sent although an earlier claim's request of the same round had been answered, or left unknown."""
    repeated_cost_usd: float | None
    """Of these; None when one of their prices is unknown."""
    unknown: int
    """Requests whose worker died or was stopped: each may have been billed."""
    unknown_cost_usd: float | None
    """Estimated, at the mean cost of the batch's answers; None when that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a batch stands. `waiting` holds the deferred jobs too."""

    batch: str
    provider: str
    queue: str
    total: int
    waiting: int
    deferred: int
    running: int
    succeeded: int
    failed: int
    failures: Mapping[FailureKind, int]
    attempts: Mapping[str, int]
    """Requests by ending; `open` are in flight."""
    usage: Usage
    cost_usd: float | None
    """None when the price of one answer at least is unknown."""
    repeats: Repeats
    created_at: float

    @property
    def finished(self) -> int:
        """Jobs with an outcome in their current round."""
        return self.succeeded + self.failed

    @property
    def is_finished(self) -> bool:
        """True when nothing of the batch waits or runs."""
        return self.finished == self.total


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
        line["usage"] = {
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "cached_tokens": self.usage.cached_tokens,
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


def list_batches(connection: Connection) -> list[str]:
    """Names of all batches, newest last."""
    return list(connection.execute(select(batches.c.name).order_by(batches.c.id)).scalars())


def read_progress(connection: Connection, name: str) -> Progress | None:
    """Where the batch of this name stands now, or None when there is none."""
    batch = connection.execute(select(batches).where(batches.c.name == name)).one_or_none()
    if batch is None:
        return None
    states = _counts(connection, select(jobs.c.state, func.count()).where(jobs.c.batch_id == batch.id, _OPENED))
    deferred = connection.execute(
        select(func.count()).select_from(jobs).join(batches)
        .where(jobs.c.batch_id == batch.id, IS_READY, jobs.c.not_before > now_seconds())
    ).scalar_one()  # fmt: skip
    usage, cost_usd, endings = _spending(connection, batch.id)
    return Progress(
        batch=batch.name,
        provider=batch.provider,
        queue=batch.queue,
        total=sum(states.values()),
        waiting=states.get("ready", 0),
        deferred=deferred,
        running=states.get("running", 0),
        succeeded=states.get("succeeded", 0),
        failed=states.get("failed", 0),
        failures=_failures(connection, batch.id),
        attempts=endings,
        usage=usage,
        cost_usd=cost_usd,
        repeats=_repeats(connection, batch.id, endings, cost_usd),
        created_at=batch.created_at,
    )


_OPENED = jobs.c.position < select(batches.c.opened).where(batches.c.id == jobs.c.batch_id).scalar_subquery()


def _counts(connection: Connection, statement: object) -> dict[str, int]:
    rows = connection.execute(statement.group_by("state"))  # type: ignore[attr-defined]
    return {state: count for state, count in rows}  # noqa: C416 - a Row is no tuple to the type checker


def _failures(connection: Connection, batch_id: int) -> dict[FailureKind, int]:
    rows = connection.execute(
        select(outcomes.c.failure_kind, func.count())
        .join(jobs, (jobs.c.id == outcomes.c.job_id) & (jobs.c.round == outcomes.c.round))
        .where(outcomes.c.batch_id == batch_id, outcomes.c.failure_kind.is_not(None))
        .group_by(outcomes.c.failure_kind)
        .order_by(func.count().desc(), outcomes.c.failure_kind)
    )
    return {FailureKind(kind): count for kind, count in rows}


_SUMS = (
    func.sum(attempts.c.prompt_tokens).label("prompt_tokens"),
    func.sum(attempts.c.completion_tokens).label("completion_tokens"),
    func.sum(attempts.c.cached_tokens).label("cached_tokens"),
    func.sum(attempts.c.reasoning_tokens).label("reasoning_tokens"),
    func.sum(attempts.c.cost_usd).label("cost_usd"),
    func.count(attempts.c.cost_usd).label("priced"),
)


def _spending(connection: Connection, batch_id: int) -> tuple[Usage, float | None, dict[str, int]]:
    rows = connection.execute(
        select(attempts.c.ending, func.count().label("requests"), *_SUMS)
        .where(attempts.c.batch_id == batch_id)
        .group_by(attempts.c.ending)
    ).all()
    usage = Usage()
    cost_usd: float | None = 0.0
    for row in rows:
        usage += _usage(row)
        if row.ending == AttemptEnding.ANSWERED:
            cost_usd = None if row.priced < row.requests else row.cost_usd
    return usage, cost_usd, {row.ending or "open": row.requests for row in rows}


def _repeats(connection: Connection, batch_id: int, endings: Mapping[str, int], cost_usd: float | None) -> Repeats:
    earlier = attempts.alias("earlier")
    paid_before = exists(
        select(earlier.c.id).where(
            earlier.c.job_id == attempts.c.job_id,
            earlier.c.round == attempts.c.round,
            earlier.c.claim < attempts.c.claim,
            earlier.c.ending.in_((str(AttemptEnding.ANSWERED), str(AttemptEnding.UNKNOWN))),
        )
    )
    answered = attempts.c.ending == str(AttemptEnding.ANSWERED)
    row = connection.execute(
        select(
            func.count().label("repeated"),
            func.count().filter(answered).label("answered"),
            func.count(attempts.c.cost_usd).filter(answered).label("priced"),
            func.coalesce(func.sum(attempts.c.cost_usd), 0.0).label("cost_usd"),
        ).where(attempts.c.batch_id == batch_id, attempts.c.claim > 1, paid_before)
    ).one()
    unknown, answers = endings.get(AttemptEnding.UNKNOWN, 0), endings.get(AttemptEnding.ANSWERED, 0)
    mean_usd = cost_usd / answers if cost_usd is not None and answers else None
    return Repeats(
        repeated=row.repeated,
        repeated_cost_usd=row.cost_usd if row.priced == row.answered else None,
        unknown=unknown,
        unknown_cost_usd=0.0 if not unknown else None if mean_usd is None else unknown * mean_usd,
    )


def _usage(row: Row[tuple[Any, ...]]) -> Usage:
    return Usage(
        prompt_tokens=int(row.prompt_tokens or 0),
        completion_tokens=int(row.completion_tokens or 0),
        cached_tokens=int(row.cached_tokens or 0),
        reasoning_tokens=int(row.reasoning_tokens or 0),
    )


def finished_rounds(connection: Connection, name: str) -> set[tuple[str, int]]:
    """(job id, round) of every job that has ended; cheap enough to ask again and again."""
    rows = connection.execute(
        select(jobs.c.id, jobs.c.round)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(batches.c.name == name, jobs.c.state.in_(("succeeded", "failed")), jobs.c.position < batches.c.opened)
    )
    return {(row.id, row.round) for row in rows}


def read_results(
    connection: Connection,
    name: str,
    *,
    ended_only: bool = False,
    failed_only: bool = False,
    job_ids: Collection[str] | None = None,
    at_most: int | None = None,
) -> Iterator[ResultRow]:
    """Every job of the batch (or these of it) with its latest outcome, in input order, a page at a time.

    `ended_only` leaves out what waits or runs, `failed_only` all but failures; no row after `at_most` is read.
    """
    last: tuple[int, str] = (-1, "")
    left = at_most
    while left != 0:
        page = _result_page(
            connection,
            name,
            after=last,
            states=("failed",) if failed_only else ("succeeded", "failed") if ended_only else None,
            job_ids=job_ids,
            at_most=PAGE if left is None else min(PAGE, left),
        )
        if not page:
            return
        spending = _spending_by_job(connection, [row.job_id for row in page])
        for row in page:
            yield _result_row(row, spending.get(row.job_id, _NOTHING_SPENT))
        last = (page[-1].position, page[-1].job_id)
        left = None if left is None else left - len(page)


def _result_page(
    connection: Connection,
    name: str,
    *,
    after: tuple[int, str],
    states: Collection[str] | None,
    job_ids: Collection[str] | None,
    at_most: int,
) -> list[Row[tuple[Any, ...]]]:
    statement = (
        select(
            jobs.c.id.label("job_id"), jobs.c.item_id, jobs.c.position, jobs.c.round, jobs.c.state,
            jobs.c.schema_name, jobs.c.schema_fingerprint, jobs.c.prompt_hash, jobs.c.model,
            jobs.c.metadata.label("job_metadata"), batches.c.name.label("batch"), batches.c.provider,
            outcomes.c.result, outcomes.c.failure_kind, outcomes.c.failure_message, outcomes.c.model_answered,
            outcomes.c.is_standin, jobs.c.prompt.is_(None).label("is_purged"),
        )
        .join(batches, batches.c.id == jobs.c.batch_id)
        .outerjoin(outcomes, (outcomes.c.job_id == jobs.c.id) & (outcomes.c.round == jobs.c.round))
        .where(
            batches.c.name == name,
            jobs.c.position < batches.c.opened,
            (jobs.c.position > after[0]) | ((jobs.c.position == after[0]) & (jobs.c.id > after[1])),
        )
        .order_by(jobs.c.position, jobs.c.id)
        .limit(at_most)
    )  # fmt: skip
    if job_ids is not None:
        statement = statement.where(jobs.c.id.in_(job_ids))
    if states is not None and job_ids is not None:
        statement = statement.where(jobs.c.state.in_(states))
    elif states is not None:
        statement = statement.where(jobs.c.position.in_(_positions(name, states, after[0], at_most)))
    return list(connection.execute(statement))


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
            *_SUMS,
        )
        .join(jobs, (jobs.c.id == attempts.c.job_id) & (jobs.c.round == attempts.c.round))
        .where(attempts.c.job_id.in_(job_ids))
        .group_by(attempts.c.job_id)
    )
    return {
        row.job_id: _Spending(
            attempts=row.spent,
            usage=_usage(row),
            cost_usd=None if row.priced < row.answered else (row.cost_usd or 0.0),
        )
        for row in rows
    }


def _result_row(row: Row[tuple[Any, ...]], spending: _Spending) -> ResultRow:
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
        is_purged=bool(row.is_purged),
    )
