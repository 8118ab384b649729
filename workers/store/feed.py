"""What should be in the broker: the store is the queue, the broker holds a short window of it.

A row is *published* (published_at is set) before its message is sent, under a guard that lets one publisher have it;
a send that fails makes it unpublished again. What falls between is found by count (`missing_messages`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, or_, select, true, update

from workers.store.bulk import among
from workers.store.control_tables import batch_weights, broker_epochs
from workers.store.first_jobs import first_jobs_room
from workers.store.sql import (
    CLOSED_BATCHES,
    IS_BATCH_OPEN,
    IS_DUE,
    IS_IN_PILOT,
    IS_MODEL_OPEN,
    IS_READY,
    IS_SUSPECT,
    IS_UNPUBLISHED,
    IS_WAITING,
    MOST_TRUSTED_LOSSES,
    PARKED_ACCOUNTS,
    PASSES_GATE,
    PROBE_JOBS,
    in_id_order,
    in_lists,
    lock_jobs,
    upsert,
)
from workers.store.tables import batch_gates, batches, jobs, now_seconds
from workers.store.turns import Candidate, Room, Turns

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
    connection: Connection,
    feed: Feed,
    *,
    at_most: int,
    startable: Mapping[str, int] | None = None,
    turns: Turns | None = None,
) -> list[str]:
    """Up to so many rows that may be published, from the batches in turn, by their weights. Reads only.

    `startable` says of some models how many calls they can start soon; those that wait already are deducted, and a
    model without room is passed over, so that it holds up no other. What two workers died of comes last. `turns` is
    kept by who asks again and again.
    """
    turns = turns or Turns()
    chosen = _probes(connection, feed)
    candidates = _candidates(connection, feed)
    room = Room(
        models=model_room(connection, feed, startable) if startable else {},
        batches=first_jobs_room(connection, {each.batch_id for each in candidates if each.is_unproven}),
    )
    while candidates and len(chosen) < at_most:
        places = turns.choose(candidates, room, at_most=at_most - len(chosen))
        rows = {
            place: _due_rows(connection, candidates[place], after=chosen, limit=count)
            for place, count in Counter(places).items()
        }
        missing = {place: places.count(place) - len(found) for place, found in rows.items()}
        for place, count in missing.items():
            turns.give_back(candidates[place], room, count)
        following = {place: iter(found) for place, found in rows.items()}
        chosen.extend(row for place in places if (row := next(following[place], None)) is not None)
        if not any(missing.values()):
            break  # as many as asked for, or no room is left
        candidates = [each for place, each in enumerate(candidates) if not missing.get(place)]
    return chosen or _due_suspects(connection, feed, room.models, at_most=at_most)


def _due_suspects(connection: Connection, feed: Feed, room: dict[str, int], *, at_most: int) -> list[str]:
    """They run alone, one after the other, and hold up whatever comes after them."""
    rows = connection.execute(
        select(jobs.c.id)
        .select_from(jobs)
        .join(batches)
        .where(
            batches.c.queue == feed.queue,
            batches.c.provider == feed.provider,
            batches.c.provider.not_in(PARKED_ACCOUNTS),
            jobs.c.position < batches.c.opened,
            PASSES_GATE,
            IS_BATCH_OPEN,
            IS_MODEL_OPEN,
            IS_SUSPECT,
            IS_UNPUBLISHED,
            IS_DUE,
            jobs.c.model.not_in([model for model, count in room.items() if count <= 0]),
        )
        .order_by(jobs.c.batch_id, jobs.c.position)
        .limit(at_most)
    )
    return list(rows.scalars())


def _probes(connection: Connection, feed: Feed) -> list[str]:
    """The jobs that try whether their parked account may go on."""
    rows = connection.execute(
        select(jobs.c.id)
        .join(batches, batches.c.id == jobs.c.batch_id)
        .where(
            jobs.c.id.in_(PROBE_JOBS),
            IS_BATCH_OPEN,
            IS_MODEL_OPEN,
            batches.c.queue == feed.queue,
            batches.c.provider == feed.provider,
            IS_UNPUBLISHED,
            IS_DUE,
        )
    ).scalars()
    return list(rows)


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


def holding_up_others(
    connection: Connection, feed: Feed, startable: Mapping[str, int], *, others_work: bool = False
) -> list[str]:
    """Models with as many waiting as they can start, while other models or accounts have work: they give up slots."""
    full = [model for model, count in model_room(connection, feed, startable).items() if count <= 0]
    if not full or others_work:
        return full
    published = connection.execute(
        select(jobs.c.model).select_from(jobs).join(batches).where(*_expected(feed, 0.0)).distinct()
    ).scalars()
    with_work = set(published) | {candidate.model for candidate in _candidates(connection, feed)}
    return [model for model in full if with_work - {model}]


def _candidates(connection: Connection, feed: Feed) -> list[Candidate]:
    unpublished = (jobs.c.batch_id == batches.c.id, IS_UNPUBLISHED)
    rows = connection.execute(
        select(
            batches.c.id,
            batches.c.opened,
            func.coalesce(batch_weights.c.weight, 1.0).label("weight"),
            batch_gates.c.pilot_since.is_not(None).label("is_pilot"),
            (batch_gates.c.batch_id.is_not(None) & batch_gates.c.proven_at.is_(None)).label("is_unproven"),
            select(func.min(jobs.c.model)).where(*unpublished).scalar_subquery().label("first_model"),
            select(func.max(jobs.c.model)).where(*unpublished).scalar_subquery().label("last_model"),
        )
        .outerjoin(batch_gates, batch_gates.c.batch_id == batches.c.id)
        .outerjoin(batch_weights, batch_weights.c.batch_id == batches.c.id)
        .where(
            batches.c.queue == feed.queue,
            batches.c.provider == feed.provider,
            batches.c.opened > 0,
            batches.c.provider.not_in(PARKED_ACCOUNTS),
            batches.c.id.not_in(CLOSED_BATCHES),
            IS_BATCH_OPEN,
        )
        .order_by(batches.c.id)
    ).all()
    return [
        Candidate(
            batch_id=row.id,
            opened=row.opened,
            model=model,
            weight=row.weight,
            is_pilot=row.is_pilot,
            is_unproven=row.is_unproven,
        )
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


def _due_rows(connection: Connection, candidate: Candidate, *, after: Sequence[str], limit: int) -> list[str]:
    rows = connection.execute(
        select(jobs.c.id)
        .where(
            jobs.c.batch_id == candidate.batch_id,
            jobs.c.model == candidate.model,
            IS_UNPUBLISHED,
            IS_DUE,
            jobs.c.position < candidate.opened,
            jobs.c.lost_claims <= MOST_TRUSTED_LOSSES,
            IS_MODEL_OPEN,
            IS_IN_PILOT if candidate.is_pilot else true(),
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
        unpublished = select(jobs.c.id).where(among(connection, jobs.c.id, some), IS_UNPUBLISHED)
        guarded = in_id_order(unpublished, skip_locked=True).scalar_subquery()
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
    waiting = (update(jobs).where(among(connection, jobs.c.id, some), IS_WAITING) for some in in_lists(job_ids))
    return sum(connection.execute(each.values(published_at=None)).rowcount for each in waiting)


def unpublish_all(connection: Connection) -> int:
    """The broker lost everything: every unclaimed row needs a new message."""
    waiting = connection.execute(select(jobs.c.id).where(IS_WAITING)).scalars()
    return unpublish(connection, list(waiting))


def known_epoch(connection: Connection, name: str) -> str | None:
    """The broker's epoch as last recorded."""
    return connection.execute(select(broker_epochs.c.epoch).where(broker_epochs.c.name == name)).scalar()


def record_epoch(connection: Connection, name: str, epoch: str) -> None:
    """Record the epoch that the broker now carries."""
    connection.execute(upsert(connection, broker_epochs, key={"name": name}, values={"epoch": epoch}))
