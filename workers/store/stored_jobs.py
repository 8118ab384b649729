"""Jobs as they were enqueued, for who grades them again. Read-only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from workers.contract.job import JobParameters
from workers.contract.outcome import JobState
from workers.store.flags import OF_THE_INPUT, flags_by_round
from workers.store.instructions import instructions_in
from workers.store.pages import page_of_batch, read_in_turn
from workers.store.sql import PAGE
from workers.store.tables import batches, contexts, jobs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row

    from workers.contract.flag import Flag


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
    twin_key: str | None = None
    pseudonyms: Mapping[str, str] = field(default_factory=dict, repr=False)
    input_flags: tuple[Flag, ...] = ()
    """Of the input, not of an outcome."""
    instructions: str | None = field(default=None, repr=False)


def read_own_ids(connection: Connection, name: str) -> list[str]:
    """Items of the batch with a result of their own, and the prompt that it was made from; no more is read of them."""
    rows = (
        select(jobs.c.item_id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            batches.c.name == name, jobs.c.position < batches.c.opened, jobs.c.state == JobState.SUCCEEDED,
            jobs.c.leader_id.is_(None), func.length(jobs.c.prompt) > 0,
        )
    )  # fmt: skip
    return list(connection.execute(rows).scalars())


def read_jobs(
    connection: Connection, name: str, *, at_most: int | None = None, item_ids: Collection[str] | None = None
) -> Iterator[StoredJob]:
    """Every opened job of the batch in input order, or of these few, a page at a time.

    No row after `at_most` is read.
    """
    rows = (
        select(jobs, contexts.c.content.label("instructions"))
        .join(batches, batches.c.id == jobs.c.batch_id)
        .outerjoin(contexts, contexts.c.hash == jobs.c.instructions_hash)
    )
    if item_ids is not None:
        rows = rows.where(jobs.c.item_id.in_(item_ids))

    def read(last: Row[Any] | None, most: int) -> Sequence[Row[Any]]:
        return connection.execute(page_of_batch(rows, name, after=last, at_most=most)).all()

    for page in read_in_turn(read, size=PAGE, at_most=at_most):
        flags = flags_by_round(connection, [row.id for row in page], only=OF_THE_INPUT)
        for row in page:
            yield StoredJob(
                id=row.item_id,
                prompt=row.prompt,
                schema=row.schema_name,
                model=row.model,
                parameters=JobParameters(**row.parameters),
                metadata=row.metadata,
                context_hash=row.context_hash,
                twin_key=row.twin_key,
                pseudonyms=row.pseudonyms or {},
                input_flags=flags.get((row.id, OF_THE_INPUT), ()),
                instructions=instructions_in(row.instructions),
            )


def read_people(connection: Connection, name: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Id and metadata of every job of the batch; nobody when there is no such batch."""
    rows = select(jobs.c.item_id, jobs.c.metadata).join(batches, batches.c.id == jobs.c.batch_id)
    for row in connection.execute(rows.where(batches.c.name == name)):
        yield row.item_id, row.metadata
