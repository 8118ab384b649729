"""The feeder: keeps a short window of due jobs in the broker, and sweeps up what went missing.

A thread in every worker; a lease row lets one be active at a time. It is never a Celery message: it must work when the
broker has lost everything. Each round, in this order:

    1  the broker's epoch is gone -> every unclaimed row is published anew
    2  workers whose heartbeat stood still, before the feeder's own eyes and long enough -> their claims are freed
    3  rows published but without a message, in two rounds, by count -> the oldest are published anew
    4  due rows -> messages, as far as each queue's window has room, fairly over batches
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.budget.records import CROWDED_SECONDS
from workers.contract.errors import ServiceUnavailable
from workers.log import log_frames
from workers.store import feed as feeds
from workers.store.leases import drop_lease, take_lease
from workers.store.liveness import free_dead, read_pulses

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.budget.view import BudgetView
    from workers.publisher import Publisher
    from workers.store import Store
    from workers.store.feed import Feed

logger = logging.getLogger(__name__)

LEASE = "feeder"
EPOCH = "broker"
LEASE_PERIODS = 10
"""The lease outlasts so many rounds: a slow round must not let a second feeder in."""
STOP_SECONDS = 20.0
"""A round that hangs in a store or broker that hangs must not keep the process."""
AHEAD_SECONDS = 30.0
"""A model gets as many messages as it can start in this time: more would stand in the way of other models."""
MOST_FREED = 2000
"""Claims of dead workers per round: one transaction, which others wait for."""
MOST_RESENT = 1000
"""Missing messages per queue and round: bounds the work of one round, not the repair as a whole."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A heartbeat, and since when this feeder has seen it stand still, by its own clock."""

    heartbeat_at: float
    since: float


class Feeder:
    """Feeds on a thread of its own until stopped. A store or broker that is away is waited for."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        *,
        holder: str,
        period_seconds: float,
        dead_after_seconds: float,
        countdown_grace_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        budgets: BudgetView | None = None,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._holder = holder
        self._period_seconds = period_seconds
        self._dead_after_seconds = dead_after_seconds
        self._countdown_grace_seconds = countdown_grace_seconds
        self._budgets = budgets
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._missing: dict[Feed, set[str]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        """Begin the rounds."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that is under way, and let another feeder in at once."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        try:
            self._store.run(lambda connection: drop_lease(connection, LEASE, holder=self._holder))
        except ServiceUnavailable as error:
            logger.warning("feeder.lease_not_dropped reason=%s", error)

    def _run(self) -> None:
        while True:
            try:
                self.round()
            except ServiceUnavailable as error:
                logger.warning("feeder.waiting service=%s reason=%s", error.service, error)
            except Exception as error:  # noqa: BLE001 - without rounds the queue would stand still
                log_frames(logger, "feeder.failed", error)
            if self._stopping.wait(self._period_seconds):
                return

    def round(self) -> bool:
        """One round; false when another feeder holds the lease."""
        lease_seconds = self._period_seconds * LEASE_PERIODS
        try:
            has_lease = self._store.run(
                lambda connection: take_lease(connection, LEASE, holder=self._holder, seconds=lease_seconds)
            )
            if not has_lease:
                self._watched, self._missing = {}, {}
                return False
            self._free_dead_workers()  # first, for it needs no broker
        except ServiceUnavailable:
            self._watched = {}  # while the store is away, no heartbeat can move
            raise
        self._check_epoch()
        with self._store.snapshot() as connection:
            waiting = feeds.feeds_with_work(connection)
        for feed in waiting:
            self._resend_missing(feed)
            self._publish(feed)
        return True

    def _publish(self, feed: Feed) -> None:
        startable = self._startable(feed)
        sent = self._publisher.publish_due(self._store, feed, startable=startable)
        if sent:
            logger.info("feeder.published queue=%s provider=%s messages=%d", feed.queue, feed.provider, sent)

    def _startable(self, feed: Feed) -> dict[str, int]:
        """How many calls each model with a limit can start soon; where it is in others' way, very soon."""
        if self._budgets is None:
            return {}
        startable = self._budgets.startable(feed.provider, within_seconds=AHEAD_SECONDS)
        if not startable:
            return {}
        shortly = self._budgets.startable(feed.provider, within_seconds=CROWDED_SECONDS)
        with self._store.snapshot() as connection:
            crowding = feeds.holding_up_others(connection, feed, shortly)
        if crowding:
            self._budgets.crowd_out(feed.provider, crowding)
        return startable | {model: shortly[model] for model in crowding}

    def _check_epoch(self) -> None:
        epoch = self._publisher.epoch()
        with self._store.snapshot() as connection:
            known = feeds.known_epoch(connection, EPOCH)
        if epoch is not None and epoch == known:
            return
        # Rows first: should this process die in between, the next round finds the epoch unrecorded and does it again.
        lost = self._store.run(feeds.unpublish_all)
        begun = self._publisher.begin_epoch()
        self._store.run(lambda connection: feeds.record_epoch(connection, EPOCH, begun))
        self._missing = {}
        if lost:
            logger.warning("feeder.broker_lost_its_memory republishing=%d", lost)

    def _free_dead_workers(self) -> None:
        """A heartbeat that is old proves nothing: the store may have been away. One that does not move does."""
        with self._store.snapshot() as connection:
            pulses = read_pulses(connection)
        now = self._clock()
        before, self._watched = self._watched, {}
        dead: dict[str, float] = {}
        for worker, pulse in pulses.items():
            watched = before.get(worker)
            if watched is None or watched.heartbeat_at != pulse.heartbeat_at:
                watched = _Watched(pulse.heartbeat_at, now)
            self._watched[worker] = watched
            if min(pulse.age_seconds, now - watched.since) > self._dead_after_seconds:
                dead[worker] = pulse.heartbeat_at
        if dead:
            freed = self._store.run(lambda connection: free_dead(connection, dead, at_most=MOST_FREED))
            logger.warning("feeder.dead_workers workers=%d jobs_freed=%d", len(dead), len(freed))

    def _resend_missing(self, feed: Feed) -> None:
        length = self._publisher.queue_length(feed)
        with self._store.snapshot() as connection:
            grace = self._countdown_grace_seconds
            missing = feeds.waiting_messages(connection, feed, countdown_grace_seconds=grace) - length
            oldest = (
                feeds.oldest_waiting(connection, feed, countdown_grace_seconds=grace, at_most=min(missing, MOST_RESENT))
                if missing > 0
                else []
            )
        before = self._missing.get(feed, set())
        twice_missing = [job_id for job_id in oldest if job_id in before]
        self._missing[feed] = set(oldest)
        if twice_missing:
            self._store.run(lambda connection: feeds.unpublish(connection, twice_missing))
            logger.warning("feeder.messages_missing queue=%s resent=%d", feed.queue, len(twice_missing))
