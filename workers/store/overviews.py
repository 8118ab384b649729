"""The list of batches: their names, where each comes from, how many of its jobs have ended. Read-only.

Imports no more than the tables, because every `gradequeue status` begins with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from workers.contract.errors import InvalidInput
from workers.contract.origin import BatchOrigin
from workers.contract.outcome import ENDED_STATES, JobState
from workers.store.counted import count_jobs
from workers.store.pages import Key, is_beyond, read_in_turn, read_page
from workers.store.sql import LIST_LENGTH
from workers.store.tables import batches, jobs
from workers.store.tallies import added_up, job_tallies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from workers.store.pages import Page, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """A batch without its jobs."""

    id: int
    name: str
    provider: str
    queue: str
    opened: int
    """Jobs that were enqueued to the end."""


def look_up_batch(connection: Connection, name: str) -> BatchHeader | None:
    """The batch of this name, or None."""
    columns = (batches.c.id, batches.c.name, batches.c.provider, batches.c.queue, batches.c.opened)
    row = connection.execute(select(*columns).where(batches.c.name == name)).one_or_none()
    return None if row is None else BatchHeader(**row._mapping)  # noqa: SLF001 - a Row's public view


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
_ORDERS = {
    BatchOrder.NEWEST: (Key(batches.c.id, is_falling=True),),
    BatchOrder.OLDEST: (Key(batches.c.id),),
    BatchOrder.NAME: (Key(func.lower(batches.c.name)), Key(batches.c.id)),
}


def list_overviews(connection: Connection, *, at_most: int | None) -> list[BatchOverview]:
    """The newest batches, newest first; None is all."""
    order = _ORDERS[BatchOrder.NEWEST]

    def read(last: Row[Any] | None, most: int) -> Sequence[Row[Any]]:
        rows = select(batches).order_by(batches.c.id.desc()).limit(most)
        return connection.execute(rows if last is None else rows.where(is_beyond(order, (last.id,)))).all()

    return [
        each for rows in read_in_turn(read, size=LIST_LENGTH, at_most=at_most) for each in _overviews(connection, rows)
    ]


def page_of_overviews(
    connection: Connection, *, at: Place | None = None, at_most: int, choice: BatchChoice = EVERY_BATCH
) -> Page[BatchOverview]:
    """A page of the batches under this choice; see `read_page`. One further query counts those on it."""
    page = read_page(connection, select(batches).where(*_chosen(choice)), _ORDERS[choice.order], at=at, at_most=at_most)
    return page.mapped(_overviews(connection, page.rows))


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
    rows = connection.execute(select(batches).where(batches.c.name == name)).all()
    return next(iter(_overviews(connection, rows)), None)


def _overviews(connection: Connection, rows: Sequence[Row[Any]]) -> list[BatchOverview]:
    """Of these rows of `batches`, at most `LIST_LENGTH`."""
    counted: dict[int, dict[str, int]] = {row.id: {} for row in rows}
    tallied = added_up(job_tallies).where(job_tallies.c.batch_id.in_(list(counted)))
    for each in connection.execute(tallied) if rows else ():
        counted[each.batch_id][each.state] = int(each.jobs)
    return [_overview(connection, row, counted[row.id]) for row in rows]


def _overview(connection: Connection, row: Row[Any], by_state: Mapping[str, int]) -> BatchOverview:
    total = sum(by_state.values())
    if total != row.opened:  # an enqueue is not complete: what it has staged does not count yet
        opened = count_jobs(connection, row.id, row.opened)
        total, by_state = opened.total, opened.by_state
    return BatchOverview(
        name=row.name,
        provider=row.provider,
        queue=row.queue,
        created_at=row.created_at,
        origin=BatchOrigin.from_json(row.origin or {}),
        total=total,
        succeeded=by_state.get(JobState.SUCCEEDED, 0),
        failed=by_state.get(JobState.FAILED, 0),
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
