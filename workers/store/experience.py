"""What earlier answers of a schema and model were like, for estimates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from workers.contract.outcome import AttemptEnding
from workers.store.tables import attempts, jobs

if TYPE_CHECKING:
    from sqlalchemy import Connection

SAMPLE = 500
"""The newest answers are asked: enough for a mean, and the same cost in a store of any size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """Means over earlier answers."""

    answers: int
    completion_tokens: float
    prompt_tokens_per_character: float


def read_experience(connection: Connection, *, schema_fingerprint: str, model: str) -> Experience | None:
    """Means over the newest answers of this schema and model, None when there are none."""
    newest = (
        select(attempts.c.prompt_tokens, attempts.c.completion_tokens, func.length(jobs.c.prompt).label("characters"))
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(
            jobs.c.schema_fingerprint == schema_fingerprint,
            jobs.c.prompt.is_not(None),
            attempts.c.model == model,
            attempts.c.ending == str(AttemptEnding.ANSWERED),
            attempts.c.purpose == "grade",
        )
        .order_by(attempts.c.id.desc())
        .limit(SAMPLE)
        .subquery()
    )
    row = connection.execute(
        select(
            func.count().label("answers"),
            func.avg(newest.c.completion_tokens).label("completion_tokens"),
            func.sum(newest.c.prompt_tokens).label("prompt_tokens"),
            func.sum(newest.c.characters).label("characters"),
        ).select_from(newest)
    ).one()
    if not row.answers or not row.characters:
        return None
    return Experience(
        answers=row.answers,
        completion_tokens=float(row.completion_tokens),
        prompt_tokens_per_character=float(row.prompt_tokens) / float(row.characters),
    )
