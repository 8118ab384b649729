"""What earlier answers were like, for estimates: of one provider, one model and one schema. Read-only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from workers.contract.outcome import AttemptEnding, JobState
from workers.store.instructions import INSTRUCTIONS_KEY
from workers.store.sql import IS_UNFINISHED
from workers.store.tables import attempts, batches, contexts, jobs
from workers.store.tallies import job_tallies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

SAMPLE = 500
"""The newest answers are asked: enough for a mean, and the same cost in a store of any size."""

_LENGTH_OF_INSTRUCTIONS = func.length(contexts.c.content[INSTRUCTIONS_KEY].as_string())


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One job's round: all its answered requests to one model together, repairs included."""

    characters: int
    """Of the prompt, instructions included."""
    shared_characters: int
    """Of the instructions, which the provider may cache."""
    prompt_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    completion_tokens: int
    cost_usd: float | None
    """None where a price was unknown."""


def read_earlier_answers(
    connection: Connection, *, schema_fingerprint: str, model: str, provider: str
) -> Sequence[Graded]:
    """The newest of this schema and model by this provider; those of the stand-in say nothing of others."""
    newest = (
        select(attempts)
        .join(batches, batches.c.id == attempts.c.batch_id)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(
            batches.c.provider == provider,
            jobs.c.schema_fingerprint == schema_fingerprint,
            jobs.c.prompt.is_not(None),
            attempts.c.model == model,
            attempts.c.ending == str(AttemptEnding.ANSWERED),
        )
        .order_by(attempts.c.id.desc())
        .limit(SAMPLE)
        .subquery()
    )
    rows = connection.execute(
        select(
            func.max(func.length(jobs.c.prompt) + func.coalesce(_LENGTH_OF_INSTRUCTIONS, 0)).label("characters"),
            func.max(func.coalesce(_LENGTH_OF_INSTRUCTIONS, 0)).label("shared_characters"),
            func.sum(newest.c.prompt_tokens).label("prompt_tokens"),
            func.sum(newest.c.cached_tokens).label("cached_tokens"),
            func.sum(newest.c.cache_write_tokens).label("cache_write_tokens"),
            func.sum(newest.c.completion_tokens).label("completion_tokens"),
            func.sum(newest.c.cost_usd).label("cost_usd"),
            func.count(newest.c.cost_usd).label("priced"),
            func.count().label("requests"),
        )
        .select_from(newest)
        .join(jobs, jobs.c.id == newest.c.job_id)
        .outerjoin(contexts, contexts.c.hash == jobs.c.instructions_hash)
        .group_by(newest.c.job_id, newest.c.round)
    )
    return [
        Graded(
            characters=row.characters,
            shared_characters=row.shared_characters,
            prompt_tokens=int(row.prompt_tokens),
            cached_tokens=int(row.cached_tokens),
            cache_write_tokens=int(row.cache_write_tokens),
            completion_tokens=int(row.completion_tokens),
            cost_usd=float(row.cost_usd) if row.priced == row.requests else None,
        )
        for row in rows
    ]


def count_to_send(connection: Connection, batch_id: int) -> int:
    """Jobs of a batch that wait and will be sent; what takes another job's outcome is not."""
    query = select(func.sum(job_tallies.c.jobs)).where(
        job_tallies.c.batch_id == batch_id, job_tallies.c.state == JobState.READY
    )
    return int(connection.execute(query).scalar() or 0)


def costs_of_finished(connection: Connection, batch_id: int) -> list[float]:
    """What each finished job of a batch has cost, up to `SAMPLE` of them; calls without a known end at their highest.

    Jobs with a request of unknown price are left out.
    """
    rows = connection.execute(
        select(func.sum(attempts.c.held_usd).label("usd"))
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(attempts.c.batch_id == batch_id, ~IS_UNFINISHED)
        .group_by(attempts.c.job_id)
        .having(func.count() == func.count(attempts.c.held_usd))
        .order_by(attempts.c.job_id.desc())
        .limit(SAMPLE)
    )
    return [float(row.usd) for row in rows]
