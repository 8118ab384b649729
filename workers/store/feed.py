"""What should be in the broker: the store is the queue, the broker holds a short window of it.

A row is *published* (published_at is set) before its message is sent, under a guard that lets one publisher have it;
a send that fails makes it unpublished again. What falls between is found by count (`missing_messages`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from workers.store.rows import (
    IS_DUE,
    IS_READY,
    IS_UNPUBLISHED,
    IS_WAITING,
    PARKED_ACCOUNTS,
    in_id_order,
    in_lists,
    lock_jobs,
)
from workers.store.tables import batches, broker_epochs, jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A row that was marked published: its message is to be sent now."""

    job_id: str
    publish_number: int


@dataclass(frozen=True, slots=True)
class Feed:
    """One broker queue as the store sees it."""

    queue: str
    provider: str


def feeds_with_work(connection: Connection) -> list[Feed]:
    """The (queue, provider) pairs with a job that waits, published or not."""
    # ordered, so that PostgreSQL asks an index per batch instead of reading every job
    first_waiting = (
        select(jobs.c.position).where(jobs.c.batch_id == batches.c.id, IS_READY).order_by(jobs.c.position).limit(1)
    )
    rows = connection.execute(
        select(batches.c.queue, batches.c.provider)
        .where(batches.c.opened > 0, first_waiting.correlate(batches).scalar_subquery().is_not(None))
        .distinct()
    )
    return [Feed(row.queue, row.provider) for row in rows]


def due_jobs(
    connection: Connection, feed: Feed, *, at_most: int, startable: Mapping[str, int] | None = None
) -> list[str]:
    """Up to so many rows that may be published, the same number from each batch in turn. Reads only.

    `startable` says of some models how many calls they can start soon; those that wait already are deducted, and a
    model without room is passed over, so that it holds up no other.
    """
    chosen: list[str] = []
    room = model_room(connection, feed, startable) if startable else {}
    candidates = _candidates(connection, feed)
    while candidates and len(chosen) < at_most:
        share = max(1, (at_most - len(chosen)) // len(candidates))
        unfinished = []
        for candidate in candidates:
            limit = min(share, at_most - len(chosen), max(0, room.get(candidate.model, at_most)))
            rows = _due_rows(connection, candidate, after=chosen, limit=limit) if limit else []
            chosen.extend(rows)
            if candidate.model in room:
                room[candidate.model] -= len(rows)
            if limit and len(rows) == limit:
                unfinished.append(candidate)
        candidates = unfinished
    return chosen


@dataclass(frozen=True, slots=True)
class _Candidate:
    """The unpublished rows of one batch that ask for one model."""

    batch_id: int
    opened: int
    model: str


def model_room(connection: Connection, feed: Feed, startable: Mapping[str, int]) -> dict[str, int]:
    """How many more messages each of these models can use; below zero, as many wait in vain."""
    waiting = connection.execute(
        select(jobs.c.model, func.count().label("waiting"))
        .select_from(jobs)
        .join(batches)
        .where(*_expected(feed, 0.0), jobs.c.model.in_(list(startable)))
        .group_by(jobs.c.model)
    )
    published = {row.model: row.waiting for row in waiting}
    return {model: count - published.get(model, 0) for model, count in startable.items()}


def holding_up_others(connection: Connection, feed: Feed, startable: Mapping[str, int]) -> list[str]:
    """Models with as many waiting as they can start, while other models have work: they should give up slots."""
    full = [model for model, count in model_room(connection, feed, startable).items() if count <= 0]
    if not full:
        return []
    published = connection.execute(
        select(jobs.c.model).select_from(jobs).join(batches).where(*_expected(feed, 0.0)).distinct()
    ).scalars()
    with_work = set(published) | {candidate.model for candidate in _candidates(connection, feed)}
    return [model for model in full if with_work - {model}]


def _candidates(connection: Connection, feed: Feed) -> list[_Candidate]:
    unpublished = (jobs.c.batch_id == batches.c.id, IS_UNPUBLISHED)
    rows = connection.execute(
        select(
            batches.c.id,
            batches.c.opened,
            select(func.min(jobs.c.model)).where(*unpublished).scalar_subquery().label("first_model"),
            select(func.max(jobs.c.model)).where(*unpublished).scalar_subquery().label("last_model"),
        )
        .where(
            batches.c.queue == feed.queue,
            batches.c.provider == feed.provider,
            batches.c.opened > 0,
            batches.c.provider.not_in(PARKED_ACCOUNTS),
        )
        .order_by(batches.c.id)
    ).all()
    return [
        _Candidate(row.id, row.opened, model)
        for row in rows
        if row.first_model is not None
        for model in _models_between(connection, row.id, row.first_model, row.last_model)
    ]


def _models_between(connection: Connection, batch_id: int, first: str, last: str) -> Iterator[str]:
    """Each model of a batch's unpublished rows, by one look into the index each."""
    model = first
    while model != last:
        yield model
        model = connection.execute(
            select(func.min(jobs.c.model)).where(jobs.c.batch_id == batch_id, IS_UNPUBLISHED, jobs.c.model > model)
        ).scalar_one()
    yield last


def _due_rows(connection: Connection, candidate: _Candidate, *, after: Sequence[str], limit: int) -> list[str]:
    rows = connection.execute(
        select(jobs.c.id)
        .where(
            jobs.c.batch_id == candidate.batch_id,
            jobs.c.model == candidate.model,
            IS_UNPUBLISHED,
            IS_DUE,
            jobs.c.position < candidate.opened,
        )
        .order_by(jobs.c.position)
        .limit(limit + len(after))
    ).scalars()
    taken = set(after)
    return [job_id for job_id in rows if job_id not in taken][:limit]


def mark_published(connection: Connection, job_ids: Sequence[str]) -> list[Publication]:
    """Mark rows published, in the order given; those that another publisher took meanwhile are left out."""
    numbers: dict[str, int] = {}
    for some in in_lists(job_ids):
        guarded = in_id_order(select(jobs.c.id).where(jobs.c.id.in_(some), IS_UNPUBLISHED)).scalar_subquery()
        rows = connection.execute(
            update(jobs)
            .where(jobs.c.id.in_(guarded))
            .values(published_at=now_seconds(), publish_number=jobs.c.publish_number + 1)
            .returning(jobs.c.id, jobs.c.publish_number)
        )
        numbers.update((row.id, row.publish_number) for row in rows)
    return [Publication(job_id=job_id, publish_number=numbers[job_id]) for job_id in job_ids if job_id in numbers]


def unmark_published(connection: Connection, publications: Sequence[Publication]) -> None:
    """The messages could not be sent: let the feeder try again. One that was sent after all does no harm."""
    lock_jobs(connection, [publication.job_id for publication in publications])
    connection.execute(
        update(jobs)
        .where(jobs.c.id == bindparam("job"), jobs.c.publish_number == bindparam("number"), IS_READY)
        .values(published_at=None),
        [{"job": each.job_id, "number": each.publish_number} for each in publications],
    )


def waiting_messages(connection: Connection, feed: Feed, *, countdown_grace_seconds: float) -> int:
    """How many rows should have a message in the queue: published, unclaimed and not counting down."""
    return connection.execute(
        select(func.count()).select_from(jobs).join(batches).where(*_expected(feed, countdown_grace_seconds))
    ).scalar_one()


def oldest_waiting(connection: Connection, feed: Feed, *, countdown_grace_seconds: float, at_most: int) -> list[str]:
    """The rows longest published among those that should have a message."""
    return list(
        connection.execute(
            select(jobs.c.id)
            .select_from(jobs)
            .join(batches)
            .where(*_expected(feed, countdown_grace_seconds))
            .order_by(jobs.c.published_at)
            .limit(at_most)
        ).scalars()
    )


def _expected(feed: Feed, countdown_grace_seconds: float) -> tuple[ColumnElement[bool], ...]:
    not_counting_down = or_(jobs.c.not_before.is_(None), jobs.c.not_before < now_seconds() - countdown_grace_seconds)
    return (
        jobs.c.batch_id == batches.c.id,
        batches.c.queue == feed.queue,
        batches.c.provider == feed.provider,
        IS_WAITING,
        not_counting_down,
    )


def unpublish(connection: Connection, job_ids: Collection[str]) -> int:
    """Let these rows, whose messages are missing, be published again; returns how many."""
    lock_jobs(connection, job_ids)
    return sum(
        connection.execute(update(jobs).where(jobs.c.id.in_(some), IS_WAITING).values(published_at=None)).rowcount
        for some in in_lists(job_ids)
    )


def unpublish_all(connection: Connection) -> int:
    """The broker lost everything: every unclaimed row needs a new message."""
    waiting = connection.execute(select(jobs.c.id).where(IS_WAITING)).scalars()
    return unpublish(connection, list(waiting))


def known_epoch(connection: Connection, name: str) -> str | None:
    """The broker's epoch as last recorded."""
    return connection.execute(select(broker_epochs.c.epoch).where(broker_epochs.c.name == name)).scalar()


def record_epoch(connection: Connection, name: str, epoch: str) -> None:
    """Record the epoch that the broker now carries."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        dialect.insert(broker_epochs)
        .values(name=name, epoch=epoch)
        .on_conflict_do_update(index_elements=["name"], set_={"epoch": epoch})
    )
