"""Which jobs wait for a cheaper lane: put there when they are enqueued, by the price that their batch wishes.

Such a job is ready and deferred to the moment at which it has to go live: so it goes live by itself when nobody hands
it over before, and workers of an earlier release leave it alone until then. Which lane it takes is chosen when it is
handed over; until then its `lane` says the first one that it may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import case, or_, select, update

from workers.contract.lane import Lane
from workers.contract.lane_choice import PUBLISHED_TIMES, PriceWish, choose_lane, needed_seconds, reserve_seconds
from workers.store.gates import FIRST_JOBS
from workers.store.lane_tables import batch_lanes
from workers.store.sql import IS_UNPUBLISHED, upsert
from workers.store.tables import batch_gates, jobs, now_seconds

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from workers.store.gates import GateRequest

LONGEST_WAIT_SECONDS = 30 * 86_400.0
"""Without a deadline, a job that nobody hands over goes live after a month."""
LEAST_FOR_FIRST_JOBS = 20 * FIRST_JOBS
"""A larger batch has its first jobs graded live, which costs it 5% at the most: what is wrong with all of it shows at
once, and not in the morning."""
IS_IN_LANE: ColumnElement[bool] = IS_UNPUBLISHED & jobs.c.lane.is_not(None)
"""Waits to be handed over."""


def set_price(connection: Connection, batch_id: int, wish: PriceWish) -> None:
    """Note what a batch wishes, for the jobs that it gets from now on."""
    connection.execute(upsert(connection, batch_lanes, key={"batch_id": batch_id}, values={"price": str(wish)}))


def price_of(connection: Connection, batch_id: int) -> PriceWish:
    """What this batch wishes."""
    price = connection.execute(select(batch_lanes.c.price).where(batch_lanes.c.batch_id == batch_id)).scalar()
    return PriceWish.LIVE if price is None else PriceWish(price)


def place_new(
    connection: Connection, batch_id: int, gate: GateRequest | None, *, since: int, count: int, is_last: bool
) -> None:
    """Place the jobs that an enqueue adds, from this position on; `count`: how many these are by now.

    With the last of them, the first of a large batch go live.
    """
    if gate is not None and gate.price is not None:
        set_price(connection, batch_id, gate.price)
    place_jobs(connection, batch_id, jobs.c.position >= since, count=count)
    if is_last and (gate is None or gate.pilot_jobs is None):
        send_first_live(connection, batch_id)


def place_jobs(connection: Connection, batch_id: int, which: ColumnElement[bool], *, count: int) -> None:
    """Let these unpublished jobs of the batch, about so many, wait for a lane where its price and their time allow."""
    wish = price_of(connection, batch_id)
    lane = choose_lane(wish, seconds_to_deadline=None, jobs=count, times={})
    if lane is Lane.LIVE:
        return
    needed = reserve_seconds(count) + needed_seconds(wish, PUBLISHED_TIMES[lane])
    has_time = or_(jobs.c.deadline_at.is_(None), jobs.c.deadline_at > now_seconds() + needed)
    live_at = case(
        (jobs.c.deadline_at.is_not(None), jobs.c.deadline_at - reserve_seconds(count)),
        else_=now_seconds() + LONGEST_WAIT_SECONDS,
    )
    connection.execute(
        update(jobs)
        .where(jobs.c.batch_id == batch_id, IS_UNPUBLISHED, jobs.c.prompt != "", has_time, which)
        .values(lane=str(lane), not_before=live_at)
    )


def send_first_live(connection: Connection, batch_id: int) -> None:
    """The jobs that show whether the rest of a large new batch can succeed do not wait."""
    gate = batch_gates.c.batch_id == batch_id
    is_unproven = connection.execute(select(batch_gates.c.batch_id).where(gate, batch_gates.c.proven_at.is_(None)))
    waiting = select(jobs.c.id).where(jobs.c.batch_id == batch_id, IS_IN_LANE).order_by(jobs.c.position)
    if is_unproven.scalar() is None:
        return
    first = list(connection.execute(waiting.limit(LEAST_FOR_FIRST_JOBS)).scalars())
    if len(first) == LEAST_FOR_FIRST_JOBS:
        send_live(connection, jobs.c.id.in_(first[:FIRST_JOBS]))


def send_live(connection: Connection, which: ColumnElement[bool]) -> int:
    """Let waiting jobs `which` go live now; returns how many."""
    return connection.execute(update(jobs).where(IS_IN_LANE, which).values(lane=None, not_before=None)).rowcount
