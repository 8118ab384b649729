"""The feeder: keeps a short window of due jobs in the broker, and sweeps up what went missing.

A thread in every worker; a lease row lets one be active at a time. It is never a Celery message: it must work when the
broker has lost everything. Each round, in this order, and none waits for another that fails:

    0  what a person set -> this process: pauses, of which waiting jobs go back, and limits (by every worker)
       paid answers that a dead worker of this machine left in its spool -> the store (by every worker, now and then)
    1  workers whose heartbeat stood still, before the feeder's own eyes and long enough -> their claims are freed
    2  the broker's epoch is gone -> every unclaimed row is published anew
    3  rows published but without a message, by count, for some seconds -> the oldest are published anew
    4  now and then, counts of ended database connections are added up
    5  one job of each parked account may try, every few minutes; what a day's spend cap held up starts the next day
    6  due rows -> messages, as far as each queue's window has room, fairly over batches

The next round comes at once when the first jobs of a batch have let others start.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

from workers.budget.records import EVICT_AFTER_SECONDS
from workers.contract.errors import ServiceUnavailable
from workers.log import get_logger, log_frames
from workers.process.own_thread import OwnThread
from workers.store import feed as feeds
from workers.store.day_caps import end_days, has_ended_days, recount_days
from workers.store.first_jobs import batches_held_back, batches_let_go, batches_waiting_for_first_jobs
from workers.store.gates import recount_caps
from workers.store.leases import drop_lease, take_lease
from workers.store.liveness import free_dead, read_pulses
from workers.store.parks import begin_probes, parked_accounts
from workers.store.tallies import fold
from workers.store.twins import end_left, leaders_left

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from workers.budget.view import BudgetView
    from workers.publisher import Publisher
    from workers.store import Store
    from workers.store.feed import Feed

logger = get_logger(__name__)

T = TypeVar("T")
LEASE = "feeder"
EPOCH = "broker of this store alone"
"""An older release records its own, under another name, while both run."""
LEASE_PERIODS = 10
"""The lease outlasts so many rounds: a slow round must not let a second feeder in."""
STOP_SECONDS = 20.0
"""A round that hangs in a store or broker that hangs must not keep the process."""
AHEAD_SECONDS = 6.0
"""A model gets as many messages as it can start in this time: more would delay other models and batches.
Several rounds' worth, so that a slow one leaves no worker idle."""
FIRST_JOBS_SECONDS = 0.1
"""Between two looks at what a batch's first jobs have shown: a full bucket gains nothing while the rest waits."""
LOCK_SECONDS = 3.0
"""A row that somebody holds for longer belongs to a process that was stopped; the step is tried again next round."""
TAKE_UP_SECONDS = 10.0
"""Between two looks for spools: before a dead worker's claims are freed, so that its answers are not paid for again."""
RECOUNT_SECONDS = 30.0
"""Between two counts of what is held against spend caps: each is a sum over the ledger of a capped batch."""
FOLD_SECONDS = 60.0
"""Between two looks for counts of ended database connections: each adds a few rows to what a reader sums up."""
MOST_FREED = 2000
"""Claims of dead workers per round: one transaction, which others wait for."""
PARK_PROBE_SECONDS = 120.0
"""To the first try of a parked account, unless the settings say otherwise."""
MISSING_SECONDS = 10.0
"""A message that a worker took and has not claimed yet is in no queue either: claims of a busy worker take seconds."""
MOST_RESENT = 1000
"""Missing messages per queue and round: bounds the work of one round, not the repair as a whole."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A heartbeat, and since when this feeder has seen it unchanged, by its own clock."""

    heartbeat_at: float
    since: float


class Feeder(OwnThread):
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
        take_up: Callable[[], object] = lambda: None,
        hear: Callable[[Connection], object] = lambda _connection: None,
        park_probe_seconds: float = PARK_PROBE_SECONDS,
        missing_seconds: float = MISSING_SECONDS,
    ) -> None:
        super().__init__("feeder", stop_seconds=STOP_SECONDS)
        self._store = store
        self._publisher = publisher
        self._holder = holder
        self._period_seconds = period_seconds
        self._dead_after_seconds = dead_after_seconds
        self._countdown_grace_seconds = countdown_grace_seconds
        self._budgets = budgets
        self._park_probe_seconds = park_probe_seconds
        self._clock = clock
        self._take_up = take_up
        self._hear = hear
        self._take_up_at = clock() + TAKE_UP_SECONDS
        self._recount_at = clock() + RECOUNT_SECONDS
        self._fold_at = clock() + FOLD_SECONDS
        self._watched: dict[str, _Watched] = {}
        self._missing_seconds = missing_seconds
        self._missing: dict[Feed, dict[str, float]] = {}
        """Rows that seemed to have no message in every round since then, by the feeder's clock."""
        self._waiting_for_first_jobs: dict[int, int] = {}
        """Batch -> how many of its jobs may run before one has succeeded."""

    def stop(self) -> None:
        """End after the round that is under way, and let another feeder in at once."""
        super().stop()
        try:
            self._store.run(lambda connection: drop_lease(connection, LEASE, holder=self._holder))
        except ServiceUnavailable as error:
            logger.warning("feeder.lease_not_dropped", reason=error)

    def _run(self) -> None:
        while True:
            try:
                self.round()
            except ServiceUnavailable as error:
                logger.warning("feeder.waiting", service=error.service, reason=error)
            except Exception as error:  # noqa: BLE001 - without rounds no job would move
                log_frames(logger, "feeder.failed", error)
            if self._rest():
                return

    def _rest(self) -> bool:
        """Until the next round: due after the period, or when a batch need not wait any more; true when stopped."""
        seconds = self._period_seconds
        while self._waiting_for_first_jobs and seconds > FIRST_JOBS_SECONDS:
            if self._stopping.wait(FIRST_JOBS_SECONDS):
                return True
            seconds -= FIRST_JOBS_SECONDS
            before = self._waiting_for_first_jobs
            self._apart("first_jobs", self._look_at_first_jobs)
            now = self._waiting_for_first_jobs
            if any(now.get(batch_id, inf) > allowed for batch_id, allowed in before.items()):
                return False
        return self._stopping.wait(seconds)

    def _look_at_first_jobs(self, as_published: Mapping[int, int] | None = None) -> None:
        """`as_published`: what held while the round published, before an early answer let more follow."""
        as_published = as_published or {}
        with self._store.snapshot() as connection:
            waiting = batches_waiting_for_first_jobs(connection)
            let_go = batches_let_go(connection, as_published)
        waiting |= {each: allowed for each, allowed in as_published.items() if each in waiting or each in let_go}
        self._waiting_for_first_jobs = waiting

    def round(self) -> bool:
        """One round; false when another feeder holds the lease."""
        self._apart("steering", self._hear_steering)
        self._apart("spool", self._take_up_now_and_then)
        lease_seconds = self._period_seconds * LEASE_PERIODS
        try:
            has_lease = self._write(
                lambda connection: take_lease(connection, LEASE, holder=self._holder, seconds=lease_seconds)
            )
        except ServiceUnavailable:
            self._watched, self._missing = {}, {}  # while the store is away, no heartbeat moves and no worker claims
            raise
        if not has_lease:
            self._watched, self._missing, self._waiting_for_first_jobs = {}, {}, {}
            return False
        self._apart("dead_workers", self._free_dead_workers)  # first, for it needs no broker
        self._apart("epoch", self._check_epoch)
        self._apart("tallies", self._fold_now_and_then)
        self._apart("probes", self._begin_probes)
        self._apart("days", self._end_days)
        self._apart("caps", self._recount_now_and_then)
        with self._store.snapshot() as connection:
            waiting = feeds.feeds_with_work(connection)
            held_back = batches_held_back(connection)
        for feed in waiting:
            self._apart("missing", lambda feed=feed: self._resend_missing(feed))  # type: ignore[misc]
            others_work = any(each.queue == feed.queue for each in waiting if each != feed)
            self._apart("publish", partial(self._publish, feed, others_work=others_work))
        self._apart("first_jobs", lambda: self._look_at_first_jobs(held_back))
        return True

    def _apart(self, step: str, work: Callable[[], object]) -> None:
        """What one step meets in the store must not stop the others; without a broker there is none to take."""
        try:
            work()
        except ServiceUnavailable as error:
            if error.service == "broker":
                raise
            logger.warning("feeder.step_failed", step=step, reason=error)
        except Exception as error:  # noqa: BLE001 - without the other steps no job would move
            log_frames(logger, "feeder.step_failed", error, step=step)

    def _write(self, work: Callable[[Connection], T]) -> T:
        return self._store.run(work, lock_seconds=LOCK_SECONDS)

    def _hear_steering(self) -> None:
        with self._store.snapshot() as connection:
            self._hear(connection)

    def _take_up_now_and_then(self) -> None:
        if self._clock() >= self._take_up_at:
            self._take_up_at = self._clock() + TAKE_UP_SECONDS
            self._take_up()
            self._end_left_followers()

    def _end_left_followers(self) -> None:
        with self._store.snapshot() as connection:
            leaders = leaders_left(connection, at_most=MOST_FREED)
        if leaders:
            ended = self._write(lambda connection: end_left(connection, leaders))
            logger.warning("feeder.followers_ended", jobs=ended)

    def _publish(self, feed: Feed, *, others_work: bool) -> None:
        startable = self._startable(feed, others_work=others_work)
        sent = self._publisher.publish_due(self._store, feed, startable=startable)
        if sent:
            logger.info("feeder.published", queue=feed.queue, provider=feed.provider, messages=sent)

    def _startable(self, feed: Feed, *, others_work: bool) -> dict[str, int]:
        """How many calls each model with a limit can start soon; where it is in others' way, very soon."""
        if self._budgets is None:
            return {}
        startable = self._budgets.startable(feed.provider, within_seconds=AHEAD_SECONDS)
        if not startable:
            return {}
        shortly = self._budgets.startable(feed.provider, within_seconds=EVICT_AFTER_SECONDS)
        with self._store.snapshot() as connection:
            crowding = feeds.holding_up_others(connection, feed, shortly, others_work=others_work)
        if crowding:
            self._budgets.evict(feed.provider, crowding)
        return startable | {model: shortly[model] for model in crowding}

    def _begin_probes(self) -> None:
        with self._store.snapshot() as connection:
            is_parked = bool(parked_accounts(connection))
        if not is_parked:
            return
        every_seconds = self._park_probe_seconds
        probes = self._store.run(lambda connection: begin_probes(connection, every_seconds=every_seconds))
        if probes:
            logger.info("feeder.probing_parked", accounts=len(probes))

    def _fold_now_and_then(self) -> None:
        if self._clock() >= self._fold_at:
            self._fold_at = self._clock() + FOLD_SECONDS
            self._write(fold)

    def _end_days(self) -> None:
        """A day's spend cap ends with it; deadlines move by the time that its jobs waited."""
        with self._store.snapshot() as connection:
            is_over = has_ended_days(connection)
        if is_over and (providers := self._store.run(end_days)):
            logger.info("feeder.day_began", accounts=len(providers))

    def _recount_now_and_then(self) -> None:
        if self._clock() < self._recount_at:
            return
        self._recount_at = self._clock() + RECOUNT_SECONDS
        corrected = recount_caps(self._store, lock_seconds=LOCK_SECONDS)
        corrected += recount_days(self._store, lock_seconds=LOCK_SECONDS)
        if corrected:
            logger.info("feeder.caps_recounted", corrected=corrected)

    def _check_epoch(self) -> None:
        epoch = self._publisher.epoch(self._store)
        with self._store.snapshot() as connection:
            known = feeds.known_epoch(connection, EPOCH)
        if epoch is not None and epoch == known:
            return
        # Rows first: should this process die in between, the next round finds the epoch unrecorded and does it again.
        lost = self._write(feeds.unpublish_all)
        begun = self._publisher.begin_epoch(self._store)
        self._write(lambda connection: feeds.record_epoch(connection, EPOCH, begun))
        self._missing = {}
        if lost:
            logger.warning("feeder.broker_lost_its_memory", republishing=lost)

    def _free_dead_workers(self) -> None:
        """A heartbeat that is old proves nothing: the store may have been away. One that does not move does."""
        try:
            with self._store.snapshot() as connection:
                pulses = read_pulses(connection)
        except ServiceUnavailable:
            self._watched = {}
            raise
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
            freed = self._write(lambda connection: free_dead(connection, dead, at_most=MOST_FREED))
            logger.warning("feeder.dead_workers", workers=len(dead), jobs_freed=len(freed))

    def _resend_missing(self, feed: Feed) -> None:
        length = self._publisher.queue_length(self._store, feed)
        with self._store.snapshot() as connection:
            grace = self._countdown_grace_seconds
            missing = feeds.waiting_messages(connection, feed, countdown_grace_seconds=grace) - length
            oldest = (
                feeds.oldest_waiting(connection, feed, countdown_grace_seconds=grace, at_most=min(missing, MOST_RESENT))
                if missing > 0
                else []
            )
        now = self._clock()
        before = self._missing.get(feed, {})
        self._missing[feed] = {job_id: before.get(job_id, now) for job_id in oldest}
        lost = [job_id for job_id in oldest if job_id in before and now - before[job_id] >= self._missing_seconds]
        if lost:
            self._write(lambda connection: feeds.unpublish(connection, lost))
            logger.warning("feeder.messages_missing", queue=feed.queue, resent=len(lost))
