"""What decides when a batch's jobs start: the work beside them, limits, and how fast answers came. Read-only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from workers.contract.job import QueueName
from workers.contract.outcome import AttemptEnding, JobState
from workers.store.control_tables import batch_weights
from workers.store.model_limits import limits_of_account
from workers.store.sql import CLOSED_BATCHES, IS_BATCH_OPEN, IS_UNFINISHED, in_lists
from workers.store.tables import attempts, batches, jobs
from workers.store.tallies import job_tallies
from workers.store.worker_reports import latest_budgets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from workers.store.overviews import BatchHeader

SAMPLE = 500
"""The newest answers of a model are asked: the same cost in a store of any size."""
LIMITS_SECONDS = 7 * 86_400.0
"""Limits are taken for those of today when a worker saw them within a week, as a starting worker does."""
BREAK_SECONDS = 60.0
"""A longer gap between two answers is a break between two runs, and says nothing about the pace of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Jobs of one batch for one model that have not ended."""

    jobs: int
    weight: float = 1.0
    is_first: bool = False
    """It is served before the batch in question, whatever their weights: interactive before bulk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What is known of how many requests a model takes; None where nothing is."""

    requests_per_minute: float | None = None
    """By a limit: the provider's, or a person's."""
    tokens_per_minute: float | None = None
    calls_in_flight: float | None = None
    request_tokens: float | None = None
    """Of an earlier request with its answer, on average."""
    request_seconds: float | None = None
    answers_per_minute: float | None = None
    """While answers came in earlier runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDemand:
    """One model of a batch: its jobs, those beside them, and the model's speed."""

    model: str
    own: Waiting
    others: tuple[Waiting, ...]
    speed: Speed


def read_demand(
    connection: Connection,
    batch: BatchHeader,
    *,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
) -> list[ModelDemand]:
    """By model, for the batch's jobs that have not ended. The limits given hold for models that nobody has asked yet.

    Jobs of other batches that may not start now (paused, closed) are left out. Reads the rows of unfinished jobs.
    """
    busy = set(
        connection.execute(
            select(job_tallies.c.batch_id)
            .where(job_tallies.c.state.in_([JobState.READY, JobState.RUNNING]))
            .group_by(job_tallies.c.batch_id)
            .having(func.sum(job_tallies.c.jobs) > 0)
        ).scalars()
    )
    rows = [row for some in _lists(busy) for row in _unfinished(connection, batch, some)]
    seen = {
        row["model"]: row
        for row in latest_budgets(connection, within_seconds=LIMITS_SECONDS)
        if row["account"] == batch.provider
    }
    own = limits_of_account(connection, batch.provider)
    found = []
    for model, weight, count in [(row.model, row.weight, row.jobs) for row in rows if row.id == batch.id]:
        others = tuple(
            Waiting(jobs=row.jobs, weight=row.weight, is_first=row.queue != batch.queue)
            for row in rows
            if row.id != batch.id and row.model == model and row.queue in {batch.queue, QueueName.INTERACTIVE}
        )
        said = seen.get(model, {})
        person = own.get(model)
        answers = _answers(connection, batch.provider, model)
        requests = _number(said.get("requests_limit")) or requests_per_minute
        tokens = _number(said.get("tokens_limit")) or tokens_per_minute
        speed = Speed(
            requests_per_minute=_least(requests, person.requests_per_minute if person else None),
            tokens_per_minute=_least(tokens, person.tokens_per_minute if person else None),
            calls_in_flight=person.calls_in_flight if person else None,
            request_tokens=fmean(each[2] for each in answers) if answers else None,
            request_seconds=fmean(each[1] - each[0] for each in answers) if answers else None,
            answers_per_minute=_pace(each[1] for each in answers),
        )
        found.append(ModelDemand(model=model, own=Waiting(jobs=count, weight=weight), others=others, speed=speed))
    return found


def _lists(ids: set[int]) -> Iterable[list[int]]:
    return ([int(each) for each in some] for some in in_lists([str(each) for each in sorted(ids)]))


def _unfinished(connection: Connection, batch: BatchHeader, ids: list[int]) -> Sequence[Any]:
    may_start = IS_BATCH_OPEN & batches.c.id.not_in(CLOSED_BATCHES)
    return connection.execute(
        select(
            batches.c.id,
            batches.c.queue,
            jobs.c.model,
            func.coalesce(batch_weights.c.weight, 1.0).label("weight"),
            func.count().label("jobs"),
        )
        .join(batches, batches.c.id == jobs.c.batch_id)
        .outerjoin(batch_weights, batch_weights.c.batch_id == batches.c.id)
        .where(
            jobs.c.batch_id.in_(ids),
            IS_UNFINISHED,
            batches.c.provider == batch.provider,
            (batches.c.id == batch.id) | may_start,
        )
        .group_by(batches.c.id, batches.c.queue, jobs.c.model, batch_weights.c.weight)
        .order_by(batches.c.id, jobs.c.model)
    ).all()


def _answers(connection: Connection, provider: str, model: str) -> list[tuple[float, float, int]]:
    """(sent at, answered at, tokens) of the newest."""
    rows = connection.execute(
        select(attempts.c.opened_at, attempts.c.closed_at, attempts.c.prompt_tokens + attempts.c.completion_tokens)
        .join(batches, batches.c.id == attempts.c.batch_id)
        .where(
            batches.c.provider == provider,
            attempts.c.model == model,
            attempts.c.ending == str(AttemptEnding.ANSWERED),
            attempts.c.closed_at.is_not(None),
        )
        .order_by(attempts.c.id.desc())
        .limit(SAMPLE)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def _pace(answered_at: Iterable[float]) -> float | None:
    gaps = [later - earlier for earlier, later in pairwise(sorted(answered_at)) if later - earlier <= BREAK_SECONDS]
    return 60.0 * len(gaps) / sum(gaps) if sum(gaps) > 0 else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _least(*limits: float | None) -> float | None:
    return min((each for each in limits if each), default=None)
