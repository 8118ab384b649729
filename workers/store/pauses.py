"""Pauses by a person's word: of a batch, a model, an account or a queue. Nothing paused starts; what is in flight ends.

Who is paused is asked where work is published, claimed and, last, where a request's ledger row is opened: so a pause
holds in every worker from its commit on. A repair is let through, for its answer is paid for and would be bought twice.
A parked account holds back there as well, so that no more calls are refused than were on their way.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, literal, or_, select, true, union_all, update

from workers.contract.errors import AmbiguousTarget, UnknownTarget
from workers.contract.job import QueueName
from workers.store.compiled import Compiled
from workers.store.control_tables import pauses
from workers.store.ledger import Purpose
from workers.store.parks import shift_deadlines
from workers.store.sql import IS_BATCH_OPEN, IS_MODEL_OPEN, IS_READY, PROBE_JOBS, in_lists, upsert
from workers.store.tables import attempts, batches, jobs, now_seconds, parks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from workers.store.ledger import AttemptOpening


class PauseScope(StrEnum):
    """What can be paused."""

    BATCH = "batch"
    MODEL = "model"
    ACCOUNT = "account"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Target:
    """One batch, model, account or queue."""

    scope: PauseScope
    name: str

    def __str__(self) -> str:
        return self.name if self.scope is PauseScope.BATCH else f"the {self.scope} {self.name}"


@dataclass(frozen=True, slots=True)
class Pause:
    """What is paused, and since when: seconds since the epoch, database clock."""

    target: Target
    paused_at: float


@dataclass(frozen=True, slots=True)
class BatchPauses:
    """What is paused of one batch: itself, its account, its queue, or models that its waiting jobs ask."""

    pauses: tuple[Pause, ...] = ()
    is_whole: bool = False
    """None of its waiting jobs may start. Only meant where there are pauses."""


@dataclass(frozen=True, slots=True)
class Paused:
    """What a worker must not begin."""

    batch_ids: frozenset[int]
    models: frozenset[str]

    def holds(self, batch_id: int, model: str) -> bool:
        """Whether a job of this batch may send nothing to this model."""
        return batch_id in self.batch_ids or model in self.models


def find_target(connection: Connection, name: str, scope: PauseScope | None = None) -> Target:
    """What has this name. With `scope`, models and accounts that no job names yet are found too.

    Raises `UnknownTarget` and `AmbiguousTarget`.
    """
    if not name:
        raise UnknownTarget("name a batch, a model, an account or a queue")
    if scope in {PauseScope.MODEL, PauseScope.ACCOUNT}:
        return Target(scope, name)
    found = [each for each in PauseScope if scope in {None, each} and _exists(connection, each, name)]
    if not found:
        what = f"{scope}" if scope else "batch, model, account or queue"
        hint = "" if scope else "; a model that no job names yet needs --kind model"
        raise UnknownTarget(f"there is no {what} {name!r}; `gradequeue status` lists batches{hint}")
    if len(found) > 1:
        raise AmbiguousTarget(f"{name!r} is the name of a {' and of a '.join(found)}; choose one with --kind")
    return Target(found[0], name)


def _exists(connection: Connection, scope: PauseScope, name: str) -> bool:
    if scope is PauseScope.QUEUE:
        return name in list(QueueName)
    named: dict[PauseScope, list[ColumnElement[bool]]] = {
        PauseScope.BATCH: [exists(select(batches.c.id).where(batches.c.name == name))],
        PauseScope.MODEL: [exists(select(jobs.c.id).where(jobs.c.model == name))],
        PauseScope.ACCOUNT: [
            exists(select(batches.c.id).where(batches.c.provider == name)),
            exists(select(parks.c.account).where(parks.c.account == name)),
        ],
    }
    paused = exists(select(pauses.c.name).where(pauses.c.scope == str(scope), pauses.c.name == name))
    return bool(connection.execute(select(or_(paused, *named[scope]))).scalar())


def pause(connection: Connection, target: Target) -> bool:
    """Let nothing of it start; false when it was paused already, whose time is kept."""
    added = connection.execute(
        upsert(
            connection,
            pauses,
            key={"scope": str(target.scope), "name": target.name},
            new={"paused_at": now_seconds()},
        ).returning(pauses.c.name)
    ).scalar()
    connection.execute(
        update(parks).values(probe_job_id=None)
    )  # a probe is a start, too; the next one comes in its time
    return added is not None


def lift_pause(connection: Connection, target: Target) -> bool:
    """Let it start again; false when it was not paused. Deadlines move by the time that its jobs waited."""
    since = connection.execute(
        delete(pauses)
        .where(pauses.c.scope == str(target.scope), pauses.c.name == target.name)
        .returning(pauses.c.paused_at)
    ).scalar()
    if since is None:
        return False
    column = {
        PauseScope.BATCH: batches.c.name, PauseScope.ACCOUNT: batches.c.provider, PauseScope.QUEUE: batches.c.queue,
    }.get(target.scope)  # fmt: skip
    which = (
        jobs.c.model == target.name
        if column is None
        else jobs.c.batch_id.in_(select(batches.c.id).where(column == target.name))
    )
    shift_deadlines(connection, since=since, which=which)
    return True


def read_pauses(connection: Connection) -> list[Pause]:
    """Everything that is paused, by kind and name."""
    rows = connection.execute(select(pauses).order_by(pauses.c.scope, pauses.c.name))
    return [Pause(Target(PauseScope(row.scope), row.name), row.paused_at) for row in rows]


def pauses_of(connection: Connection, batch: str) -> BatchPauses:
    """What of the pauses holds back the batch of this name; one short query while nothing is paused."""
    found = read_pauses(connection)
    row = connection.execute(select(batches).where(batches.c.name == batch)).one_or_none() if found else None
    return BatchPauses() if row is None else holding_back(connection, row, found)


def holding_back(
    connection: Connection, row: Row[Any], found: Sequence[Pause], *, has_waiting: bool = True
) -> BatchPauses:
    """What of these, which are all that there are, holds back this row of `batches`.

    No query where it has nothing that waits, and none for pauses of other batches, accounts and queues.
    """
    own = {PauseScope.BATCH: row.name, PauseScope.ACCOUNT: row.provider, PauseScope.QUEUE: row.queue}
    whole = [each for each in found if own.get(each.target.scope) == each.target.name]
    models = [each for each in found if has_waiting and each.target.scope is PauseScope.MODEL]
    some = [each for each in models if _waits_for(connection, row.id, jobs.c.model == each.target.name)]
    holding = tuple(each for each in found if each in whole or each in some)
    is_whole = bool(whole) or (bool(some) and not _waits_for(connection, row.id, IS_MODEL_OPEN))
    return BatchPauses(holding, is_whole=is_whole)


def _waits_for(connection: Connection, batch_id: int, which: ColumnElement[bool]) -> bool:
    query = select(jobs.c.id).where(jobs.c.batch_id == batch_id, IS_READY, which).limit(1)
    return connection.execute(query).scalar() is not None


_HOLDING = Compiled(union_all(select(pauses.c.scope, pauses.c.name), select(literal("park"), parks.c.account)))


def read_paused(connection: Connection, *, batch_ids: Collection[int] | None = None) -> Paused | None:
    """What workers must not begin now, of these batches or of all; None while nothing is paused and no account parked.

    One short query then.
    """
    found = _HOLDING.execute(connection, {}).all()
    if not found:
        return None
    of_these = true() if batch_ids is None else batches.c.id.in_(batch_ids)
    is_closed = or_(~IS_BATCH_OPEN, batches.c.provider.in_(select(parks.c.account)))
    closed = connection.execute(select(batches.c.id).where(is_closed, of_these)).scalars()
    return Paused(frozenset(closed), frozenset(row.name for row in found if row.scope == PauseScope.MODEL))


def paused_openings(connection: Connection, openings: Sequence[AttemptOpening]) -> set[str]:
    """Attempt ids of the requests that a pause or a park holds back, but no probe; costs as `read_paused`."""
    if not openings:
        return set()
    paused = read_paused(connection, batch_ids={each.batch_id for each in openings})
    if paused is None:
        return set()
    probes = set(connection.execute(PROBE_JOBS).scalars())
    held_back = {
        each.attempt_id
        for each in openings
        if each.purpose is not Purpose.REPAIR and each.job_id not in probes and paused.holds(each.batch_id, each.model)
    }
    for some in in_lists(list(held_back)):  # rows of a commit whose answer was lost: these may be sent
        held_back.difference_update(
            connection.execute(select(attempts.c.id).where(attempts.c.id.in_(some))).scalars().all()
        )
    return held_back
