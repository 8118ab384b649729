"""The list of batches: their names, where each comes from, how many of its jobs have ended. Read-only.

Imports no more than the tables, because every `gradequeue status` begins with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select

from workers.contract.errors import InvalidInput
from workers.contract.origin import BatchOrigin
from workers.contract.outcome import ENDED_STATES, JobState
from workers.store.counted import count_jobs
from workers.store.tables import batches, jobs
from workers.store.tallies import job_tallies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Connection, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """A batch without its jobs."""

    id: int
    name: str
    provider: str
    queue: str


def look_up_batch(connection: Connection, name: str) -> BatchHeader | None:
    """The batch of this name, or None."""
    columns = (batches.c.id, batches.c.name, batches.c.provider, batches.c.queue)
    row = connection.execute(select(*columns).where(batches.c.name == name)).one_or_none()
    return None if row is None else BatchHeader(id=row.id, name=row.name, provider=row.provider, queue=row.queue)


def find_batch(connection: Connection, name: str) -> BatchHeader:
    """The batch of this name; raises `InvalidInput` when there is none."""
    batch = look_up_batch(connection, name)
    if batch is None:
        raise InvalidInput(f"there is no batch {name!r}; `gradequeue status` lists them")
    return batch


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOverview:
    """One batch in a list. `created_at` is seconds since the epoch, database clock."""

    name: str
    provider: str
    queue: str
    created_at: float
    origin: BatchOrigin = field(repr=False)
    total: int
    succeeded: int
    failed: int

    @property
    def is_finished(self) -> bool:
        """True when nothing of the batch waits or runs, and there was something."""
        return 0 < self.total == self.succeeded + self.failed


def list_batches(connection: Connection) -> list[str]:
    """Names of all batches, newest last."""
    return list(connection.execute(select(batches.c.name).order_by(batches.c.id)).scalars())


class WhichBatches(StrEnum):
    """What a list of batches holds."""

    ALL = "all"
    UNFINISHED = "unfinished"
    FINISHED = "finished"
    WITH_FAILURES = "with_failures"


class BatchOrder(StrEnum):
    """In which order they are listed."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchChoice:
    """Which batches to list, and how."""

    which: WhichBatches = WhichBatches.ALL
    search: str = ""
    """Part of the name, whatever the case."""
    order: BatchOrder = BatchOrder.NEWEST


EVERY_BATCH = BatchChoice()


def count_batches(connection: Connection, choice: BatchChoice = EVERY_BATCH) -> int:
    """How many batches there are under this choice."""
    return connection.execute(select(func.count()).select_from(batches).where(*_chosen(choice))).scalar_one()


def list_overviews(
    connection: Connection, *, at_most: int | None, skip: int = 0, choice: BatchChoice = EVERY_BATCH
) -> list[BatchOverview]:
    """The batches behind the first `skip`, newest first unless chosen otherwise; None is all. No other is counted."""
    order = {
        BatchOrder.NEWEST: (batches.c.id.desc(),),
        BatchOrder.OLDEST: (batches.c.id,),
        BatchOrder.NAME: (func.lower(batches.c.name), batches.c.id),
    }[choice.order]
    listed = select(batches.c.id).where(*_chosen(choice)).order_by(*order).limit(at_most).offset(skip)
    return _overviews(connection, batches.c.id.in_(listed), order)


def _chosen(choice: BatchChoice) -> Iterator[ColumnElement[bool]]:
    """Conditions that the index of jobs by batch and state answers, whatever the size of a batch."""
    if choice.search.strip():
        yield func.lower(batches.c.name).contains(choice.search.strip().lower(), autoescape=True)
    match choice.which:
        case WhichBatches.UNFINISHED:
            yield _has_jobs(JobState.READY, JobState.RUNNING, JobState.FOLLOWING)
        case WhichBatches.FINISHED:
            yield ~_has_jobs(JobState.READY, JobState.RUNNING, JobState.FOLLOWING)
            yield _has_jobs(*ENDED_STATES)
        case WhichBatches.WITH_FAILURES:
            yield _has_jobs(JobState.FAILED)
        case _:
            pass


def _has_jobs(*states: str) -> ColumnElement[bool]:
    found = select(jobs.c.id).where(
        jobs.c.batch_id == batches.c.id, jobs.c.state.in_(states), jobs.c.position < batches.c.opened
    )
    return found.correlate(batches).exists()


def find_overview(connection: Connection, name: str) -> BatchOverview | None:
    """The batch of this name, or None."""
    return next(iter(_overviews(connection, batches.c.name == name, (batches.c.id,))), None)


def _overviews(
    connection: Connection, condition: ColumnElement[bool], order: tuple[ColumnElement[Any], ...]
) -> list[BatchOverview]:
    rows = connection.execute(
        select(batches, *_COUNTS)
        .outerjoin(job_tallies, job_tallies.c.batch_id == batches.c.id)
        .where(condition)
        .group_by(batches.c.id)
        .order_by(*order)
    )
    return [_overview(connection, row) for row in rows.all()]


_COUNTS = (
    func.sum(job_tallies.c.jobs).label("total"),
    func.sum(case((job_tallies.c.state == JobState.SUCCEEDED, job_tallies.c.jobs), else_=0)).label("succeeded"),
    func.sum(case((job_tallies.c.state == JobState.FAILED, job_tallies.c.jobs), else_=0)).label("failed"),
)


def _overview(connection: Connection, row: Row[Any]) -> BatchOverview:
    total, succeeded, failed = int(row.total or 0), int(row.succeeded or 0), int(row.failed or 0)
    if total != row.opened:  # an enqueue is not complete: what it has staged is nobody's business
        opened = count_jobs(connection, row.id, row.opened)
        total, succeeded, failed = (
            opened.total,
            opened.by_state.get(JobState.SUCCEEDED, 0),
            opened.by_state.get(JobState.FAILED, 0),
        )
    return BatchOverview(
        name=row.name,
        provider=row.provider,
        queue=row.queue,
        created_at=row.created_at,
        origin=BatchOrigin.from_json(row.origin or {}),
        total=total,
        succeeded=succeeded,
        failed=failed,
    )


def read_origin(connection: Connection, name: str) -> BatchOrigin | None:
    """What was kept with the batch when it was made; None when there is no such batch."""
    content = connection.execute(select(batches.c.origin).where(batches.c.name == name)).scalar_one_or_none()
    return None if content is None else BatchOrigin.from_json(content)


def read_work(connection: Connection, name: str) -> dict[str, tuple[str, str, str]]:
    """(prompt hash, model, schema) of every opened job of the batch by item id; empty when there is no such batch."""
    rows = connection.execute(
        select(jobs.c.item_id, jobs.c.prompt_hash, jobs.c.model, jobs.c.schema_name)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(batches.c.name == name, jobs.c.position < batches.c.opened)
    )
    return {row.item_id: (row.prompt_hash, row.model, row.schema_name) for row in rows}
