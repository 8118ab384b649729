"""What a batch asked for, job by job: read again to ask anew with another model, template or rubric. Read-only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.contract.job import JobParameters
from workers.store.reading import PAGE
from workers.store.tables import batches, contexts, jobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """One job as it was enqueued. `prompt` is None when it was purged."""

    id: str
    prompt: str | None = field(repr=False)
    schema: str
    model: str
    parameters: JobParameters
    metadata: Mapping[str, object] = field(repr=False)
    context_hash: str | None


def read_jobs(connection: Connection, name: str) -> Iterator[StoredJob]:
    """Every opened job of the batch in input order, a page at a time."""
    last: tuple[int, str] = (-1, "")
    while True:
        page = connection.execute(
            select(jobs)
            .join(batches, batches.c.id == jobs.c.batch_id)
            .where(
                batches.c.name == name,
                jobs.c.position < batches.c.opened,
                (jobs.c.position > last[0]) | ((jobs.c.position == last[0]) & (jobs.c.id > last[1])),
            )
            .order_by(jobs.c.position, jobs.c.id)
            .limit(PAGE)
        ).all()
        if not page:
            return
        for row in page:
            yield StoredJob(
                id=row.item_id,
                prompt=row.prompt,
                schema=row.schema_name,
                model=row.model,
                parameters=JobParameters(**row.parameters),
                metadata=row.metadata,
                context_hash=row.context_hash,
            )
        last = (page[-1].position, page[-1].id)


def read_context(connection: Connection, context_hash: str) -> Mapping[str, object] | None:
    """The rubric or catalogue kept under this hash."""
    content: Mapping[str, object] | None = connection.execute(
        select(contexts.c.content).where(contexts.c.hash == context_hash)
    ).scalar()
    return content
