"""Everything of one student of a batch: the work, the grade, its rounds and what people decided. Read-only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.contract.headline import headline
from workers.contract.identity import named_text
from workers.contract.origin import BatchOrigin
from workers.contract.outcome import FailureKind
from workers.store.control_tables import outliers
from workers.store.decisions import read_decisions
from workers.store.repairs import is_repaired
from workers.store.results import read_results
from workers.store.tables import batches, contexts, jobs, outcomes
from workers.store.work_comparisons import IS_OUTLIER, OUTLIER, outlier_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from workers.contract.decision import Decision
    from workers.store.results import ResultRow
    from workers.store.work_comparisons import Outlier


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One grading of the work. `finished_at` is seconds since the epoch, database clock."""

    number: int
    finished_at: float
    points: float | None
    failure_kind: FailureKind | None
    model_answered: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OneStudent:
    """One student's item."""

    batch_id: int
    row: ResultRow
    prompt: str | None = field(repr=False)
    """What was sent of the student's, names in place of pseudonyms; None when it was purged."""
    origin: BatchOrigin = field(repr=False)
    context: Mapping[str, object] | None = field(repr=False)
    """The rubric or catalogue that it was graded by."""
    opened: int
    """Jobs of its batch."""
    is_repaired: bool
    """The first answer was invalid."""
    outlier: Outlier | None
    """How the grade differs from those of nearly the same work."""
    rounds: tuple[Round, ...]
    """Oldest first, the present one among them."""
    decisions: tuple[Decision, ...] = field(repr=False)
    """Oldest first."""


def read_student(connection: Connection, batch_name: str, item_id: str) -> OneStudent | None:
    """At most six queries; None when the batch has no such item."""
    job = connection.execute(
        select(
            jobs.c.id, jobs.c.batch_id, jobs.c.prompt, jobs.c.pseudonyms, contexts.c.content, batches.c.origin,
            batches.c.opened, is_repaired().label("is_repaired"), *OUTLIER,
        )
        .join(batches, batches.c.id == jobs.c.batch_id)
        .outerjoin(contexts, contexts.c.hash == jobs.c.context_hash)
        .outerjoin(outliers, IS_OUTLIER)
        .where(batches.c.name == batch_name, jobs.c.item_id == item_id, jobs.c.position < batches.c.opened)
    ).one_or_none()  # fmt: skip
    if job is None:
        return None
    rounds = connection.execute(
        select(
            outcomes.c.round, outcomes.c.finished_at, outcomes.c.result, outcomes.c.failure_kind,
            outcomes.c.model_answered,
        )
        .where(outcomes.c.job_id == job.id)
        .order_by(outcomes.c.round)
    )  # fmt: skip
    return OneStudent(
        batch_id=job.batch_id,
        row=next(read_results(connection, batch_name, job_ids=[job.id], at_most=1)),
        prompt=None if job.prompt is None else named_text(job.prompt, job.pseudonyms or {}),
        origin=BatchOrigin.from_json(job.origin or {}),
        context=job.content,
        opened=job.opened,
        is_repaired=bool(job.is_repaired),
        outlier=outlier_in(job),
        rounds=tuple(
            Round(
                number=each.round,
                finished_at=each.finished_at,
                points=headline(json.loads(each.result)) if each.result is not None else None,
                failure_kind=FailureKind(each.failure_kind) if each.failure_kind else None,
                model_answered=each.model_answered,
            )
            for each in rounds
        ),
        decisions=tuple(read_decisions(connection, batch_name, [item_id])),
    )
