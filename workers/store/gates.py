"""What may start of a batch: a pilot, a spend cap, and what closed it. For producers and for people.

    proven    until its first answers, a batch has few requests in flight; when they all fail alike, it is closed
    pilot     of a pilot, only the jobs chosen for it start, until somebody lets the rest go
    cap       what the requests of a batch may cost together
    closed    nothing of it starts until somebody says so; its jobs wait, none fails

Who is let in is decided in `admission`, where the ledger row is opened. Deadlines move by the time a gate was closed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, insert, select, update

from workers.contract.errors import InvalidInput
from workers.store.day_caps import is_same_usd
from workers.store.outbox import add_targets
from workers.store.parks import shift_deadlines
from workers.store.sql import IS_UNFINISHED, lock_batch
from workers.store.tables import attempts, batch_gates, batches, jobs, now_seconds, pilot_jobs
from workers.store.weights import check_weight, read_weights, set_weight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from workers.contract.lane_choice import PriceWish
    from workers.store import Store

FIRST_JOBS = 3
"""So many of a batch run until one succeeds; so many that fail alike, and nothing else, close it."""


class ClosedBy(StrEnum):
    """Why a batch waits for somebody's word."""

    SAME_FAILURE = "same_failure"
    SPEND_CAP = "spend_cap"
    NO_PRICE = "no_price"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """What a producer asks of the batch that it fills."""

    pilot_jobs: int | None = None
    """Begin as a pilot of so many jobs, spread over the input."""
    max_usd: float | None = None
    """Cap the cost of its requests; None leaves the cap as it is."""
    weight: float | None = None
    """Share of its queue, against 1 of the others; None leaves it as it is."""
    price: PriceWish | None = None
    """Whether its jobs may wait for a cheaper lane; None leaves it as it is: a new batch is live."""
    notify: tuple[str, ...] = ()
    """Who is notified when it ends or stops, beside those who are already (see `notification.target_of`)."""
    starts_carefully: bool = True
    """Few requests until the first answers show that the rest can succeed."""

    def __post_init__(self) -> None:
        if self.weight is not None:
            check_weight(self.weight)
        if self.pilot_jobs is not None and self.pilot_jobs < 1:
            raise InvalidInput("a pilot has at least one job")
        if self.max_usd is not None and not (self.max_usd > 0 and math.isfinite(self.max_usd)):
            raise InvalidInput("a spend cap must be more than 0 US dollars")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """The part of a batch that may run."""

    jobs: int
    finished: int

    @property
    def is_over(self) -> bool:
        """Its results are there; the rest waits for somebody's word."""
        return 0 < self.jobs == self.finished


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGate:
    """What holds back a batch now."""

    batch: str
    max_usd: float | None = None
    held_usd: float = 0.0
    """Costs of its requests, those whose cost is not known at their upper bound. Counted only while there is a cap."""
    weight: float = 1.0
    """Its share of its queue, against 1 of other batches."""
    pilot: Pilot | None = None
    closed_by: ClosedBy | None = None
    message: str = ""


def open_gate(connection: Connection, batch_id: int, request: GateRequest, *, batch: str, is_new: bool) -> None:
    """Make the gate of a new batch; that of one which exists is changed by `change_gate`, when nothing was refused.

    Raises `InvalidInput` for a pilot of a batch whose jobs may all start already.
    """
    if is_new:
        _make_gate(connection, batch_id, request)
        if request.weight is not None:
            set_weight(connection, batch_id, request.weight)
    elif request.pilot_jobs is not None and not is_pilot(connection, batch_id):
        raise InvalidInput(
            f"batch {batch!r} exists and is no pilot any more; leave --pilot out, or choose another --name"
        )


def change_gate(connection: Connection, batch_id: int, request: GateRequest) -> None:
    """Give a batch the weight, the cap and the targets that were asked for; saying it again changes nothing."""
    add_targets(connection, batch_id, request.notify)
    if request.weight is not None:
        set_weight(connection, batch_id, request.weight)
    if request.max_usd is not None:
        set_cap(connection, batch_id, request.max_usd)


def _make_gate(connection: Connection, batch_id: int, request: GateRequest) -> None:
    connection.execute(
        insert(batch_gates).values(
            batch_id=batch_id,
            proven_at=None if request.starts_carefully else now_seconds(),
            pilot_since=None if request.pilot_jobs is None else now_seconds(),
            max_usd=request.max_usd,
            held_usd=0.0,
        )
    )


def set_cap(connection: Connection, batch_id: int, max_usd: float) -> None:
    """Cap a batch, or change its cap; what was spent already counts. One with room again is open again."""
    lock_batch(connection, batch_id)
    row = _locked_gate(connection, batch_id)
    held_usd = held_of_batch(connection, batch_id)
    connection.execute(
        update(batch_gates).where(batch_gates.c.batch_id == batch_id).values(max_usd=max_usd, held_usd=held_usd)
    )
    is_raised = row.max_usd is None or max_usd > row.max_usd
    if row.closed_by == ClosedBy.SPEND_CAP and is_raised and held_usd < max_usd:
        _reopen(connection, batch_id, since=row.closed_at)


def held_of_batch(connection: Connection, batch_id: int) -> float:
    """What the ledger's requests of a batch count for: the truth that `held_usd` of its gate must equal."""
    total = select(func.coalesce(func.sum(attempts.c.held_usd), 0.0)).where(attempts.c.batch_id == batch_id)
    return float(connection.execute(total).scalar_one())


def recount_caps(store: Store, *, lock_seconds: float) -> int:
    """Count again what is held against every cap that is kept; returns how many counts were wrong.

    A cap that is set while requests of its batch are opened or closed by transactions under way misses those. One
    transaction a cap, each under the lock that its requests take.
    """
    with store.snapshot() as connection:
        open_caps = batch_gates.c.max_usd.is_not(None) & batch_gates.c.closed_at.is_(None)
        unfinished = exists().where(jobs.c.batch_id == batch_gates.c.batch_id, IS_UNFINISHED)
        batch_ids = list(connection.execute(select(batch_gates.c.batch_id).where(open_caps, unfinished)).scalars())
    return sum(store.run(partial(_recount, batch_id=each), lock_seconds=lock_seconds) for each in batch_ids)


def _recount(connection: Connection, *, batch_id: int) -> bool:
    row = _locked_gate(connection, batch_id)
    held_usd = held_of_batch(connection, batch_id)
    if is_same_usd(row.held_usd, held_usd):
        return False
    connection.execute(update(batch_gates).where(batch_gates.c.batch_id == batch_id).values(held_usd=held_usd))
    return True


def end_pilot(connection: Connection, batch_id: int) -> bool:
    """Let the rest of a pilot start, and what a failure had closed; false when the batch was neither."""
    row = _locked_gate(connection, batch_id)
    was_pilot, was_closed = row.pilot_since is not None, row.closed_by == ClosedBy.SAME_FAILURE
    if was_pilot:
        connection.execute(update(batch_gates).where(batch_gates.c.batch_id == batch_id).values(pilot_since=None))
    if was_closed:
        _prove(connection, batch_id)
        _reopen(connection, batch_id, since=row.closed_at)
    elif was_pilot:
        shift_deadlines(connection, batch_id=batch_id, since=row.pilot_since)
    return was_pilot or was_closed


def is_pilot(connection: Connection, batch_id: int) -> bool:
    """Whether only chosen jobs of it may start."""
    since = select(batch_gates.c.pilot_since).where(batch_gates.c.batch_id == batch_id)
    return connection.execute(since).scalar() is not None


def resume_batch(connection: Connection, batch_id: int, *, max_usd: float | None = None) -> bool:
    """Open a batch again on somebody's word, its pilot ended; false when nothing had held it back.

    Raises `InvalidInput` when its cap is spent and no higher one is given.
    """
    lock_batch(connection, batch_id)
    was_held = end_pilot(connection, batch_id)
    row = _locked_gate(connection, batch_id)
    if max_usd is not None:
        set_cap(connection, batch_id, max_usd)
        row = _locked_gate(connection, batch_id)
        was_held = True
    if row.closed_by == ClosedBy.SPEND_CAP:
        raise InvalidInput(
            f"its cap of ${row.max_usd:,.4f} is spent (${row.held_usd:,.4f}); give a higher one with --max-cost"
        )
    if row.closed_at is not None:
        _reopen(connection, batch_id, since=row.closed_at)
        was_held = True
    return was_held


def forget_same_failure(connection: Connection, batch_id: int) -> None:
    """Its failed jobs run again: the first answers of the new round judge anew."""
    closed_at = connection.execute(
        select(batch_gates.c.closed_at).where(
            batch_gates.c.batch_id == batch_id, batch_gates.c.closed_by == str(ClosedBy.SAME_FAILURE)
        )
    ).scalar()
    if closed_at is not None:
        _reopen(connection, batch_id, since=closed_at)


def read_gate(connection: Connection, name: str) -> BatchGate:
    """What holds back the batch of this name now; nothing holds back one that is not there."""
    batch_id = connection.execute(select(batches.c.id).where(batches.c.name == name)).scalar()
    return BatchGate(batch=name) if batch_id is None else read_gates(connection, {batch_id: name})[batch_id]


def read_gates(connection: Connection, names: Mapping[int, str]) -> dict[int, BatchGate]:
    """The same of these batches, at most `LIST_LENGTH`: two queries, and one for each pilot."""
    weights = read_weights(connection, names)
    rows = connection.execute(select(batch_gates).where(batch_gates.c.batch_id.in_(names)))
    gates = {batch_id: BatchGate(batch=name, weight=weights.get(batch_id, 1.0)) for batch_id, name in names.items()}
    for row in rows.all():
        gates[row.batch_id] = replace(
            gates[row.batch_id],
            max_usd=row.max_usd,
            held_usd=row.held_usd,
            pilot=None if row.pilot_since is None else _pilot(connection, row.batch_id),
            closed_by=None if row.closed_by is None else ClosedBy(row.closed_by),
            message=row.message or "",
        )
    return gates


def _pilot(connection: Connection, batch_id: int) -> Pilot:
    row = connection.execute(
        select(func.count().label("jobs"), func.count().filter(~IS_UNFINISHED).label("finished"))
        .select_from(pilot_jobs)
        .join(jobs, jobs.c.id == pilot_jobs.c.job_id)
        .where(pilot_jobs.c.batch_id == batch_id)
    ).one()
    return Pilot(jobs=row.jobs, finished=row.finished)


def _locked_gate(connection: Connection, batch_id: int) -> Any:
    """The row, made where an older release made the batch: proven, and open."""
    query = select(batch_gates).where(batch_gates.c.batch_id == batch_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        _make_gate(connection, batch_id, GateRequest(starts_carefully=False))
        row = connection.execute(query).one()
    return row


def _prove(connection: Connection, batch_id: int) -> None:
    connection.execute(update(batch_gates).where(batch_gates.c.batch_id == batch_id).values(proven_at=now_seconds()))


def _reopen(connection: Connection, batch_id: int, *, since: float) -> None:
    shift_deadlines(connection, batch_id=batch_id, since=since)
    connection.execute(
        update(batch_gates)
        .where(batch_gates.c.batch_id == batch_id)
        .values(closed_at=None, closed_by=None, message=None, heard_at=None)
    )
