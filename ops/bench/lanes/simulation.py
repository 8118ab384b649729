"""A day of the lanes: the real store, planner and loop, by a clock that jumps."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ops.bench.lanes.clock import StoreClock
from ops.bench.lanes.provider import USAGE, PlayedLanes
from workers.contract.job import JobParameters, JobSpec
from workers.contract.lane import Lane
from workers.contract.lane_choice import PriceWish
from workers.contract.model_profile import ModelProfile
from workers.contract.outcome import AttemptEnding, Failure, FailureKind, Success, Usage
from workers.contract.registry import builtin_registry
from workers.grading.health import HealthMonitor
from workers.grading.lanes.work import LaneWork
from workers.grading.records import Account, Collaborators, Provider
from workers.process.lanes_loop import LanesLoop
from workers.store import Store
from workers.store.claims import claim_jobs
from workers.store.enqueue import NewJob, add_jobs, open_batch
from workers.store.feed import Feed, due_jobs, mark_published
from workers.store.gates import GateRequest
from workers.store.lane_tables import submissions
from workers.store.ledger import (
    AttemptClosing,
    AttemptOpening,
    JobEnding,
    Purpose,
    close_attempts,
    finish_jobs,
    open_attempts,
)
from workers.store.sql import new_id
from workers.store.tables import attempts, batches, jobs, outcomes
from workers.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from workers.store.claims import ClaimedJob

START = 1_800_000_000.0
SHORTEST_SECONDS, LONGEST_SECONDS = 600.0, 86_400.0
PROFILE = ModelProfile(price_input_usd_per_mtok=1.0, price_output_usd_per_mtok=10.0)
USED = Usage(prompt_tokens=USAGE["prompt_tokens"], completion_tokens=USAGE["completion_tokens"])
LIVE_JOBS_PER_SECOND = 5.0
STEP_SECONDS = 10.0
FEED = Feed("bulk", "p")
_TIMES = {Lane.BATCH: (420.0, 3600.0), Lane.WINDOW_2H: (900.0, 4800.0), Lane.WINDOW_8H: (3600.0, 18_000.0)}
"""Seconds that half, and nine of ten, take."""
_NINE_OF_TEN = 1.2816  # of a normal distribution, in standard deviations


@dataclass
class Simulation:
    """2,000 jobs in 40 batches, handed in at once, each batch with its own deadline."""

    folder: Path
    jobs: int
    groups: int
    seed: int
    spread: str
    wish: str
    deadlines: dict[str, float] = field(default_factory=dict)
    """Batch -> seconds."""
    live: list[str] = field(default_factory=list)
    """Attempts that were answered live."""

    async def run(self) -> dict[str, Any]:
        """Let a day pass; what came of it."""
        store = Store.open(f"sqlite:///{self.folder / 'store.db'}")
        store.migrate()
        self.clock = clock = StoreClock(store, now=START)
        self.provider = PlayedLanes(
            clock,
            seconds_of=lambda lane, marker: self._seconds_of(lane, self._group_of(marker)),
            cancel_seconds=lambda: random.Random(self.seed + len(self.provider.batches)).uniform(5, 60),  # noqa: S311 - a simulation
        )
        writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop())
        writer.start()
        self.store, self.loop = store, self._loop(store, writer)
        self._enqueue()
        while self._unfinished() and clock.now < START + LONGEST_SECONDS + 3600:
            await self.loop.round()
            self._answer_live(STEP_SECONDS)
            clock.move(STEP_SECONDS)
        await self._settle_late()
        found = self._found()
        await asyncio.to_thread(writer.stop, patience_seconds=5.0)
        store.close()
        return found

    def _loop(self, store: Store, writer: Writer) -> LanesLoop:
        async def no_park(_park: object) -> None:
            raise AssertionError("nothing is refused here")

        provider = Provider(
            complete=no_park,  # type: ignore[arg-type]  # nothing is asked live by it
            profile_of=lambda _model: PROFILE,
            call_timeout_seconds=60.0,
            health=HealthMonitor(),
        )
        collaborators = Collaborators(
            writer=writer,
            budget=None,  # type: ignore[arg-type]  # lanes ask none
            registry=builtin_registry(),
            provider=provider,
            account=Account(park=no_park),
        )
        work = LaneWork(
            account="p",
            store=store,
            collaborators=collaborators,
            door=self.provider,  # type: ignore[arg-type]  # a played one
            folder=self.folder,
            live_jobs_per_second=LIVE_JOBS_PER_SECOND,
        )
        return LanesLoop(work, holder="w1")

    def _enqueue(self) -> None:
        fingerprint = builtin_registry().resolve("feedback", None).fingerprint
        gate = GateRequest(price=PriceWish(self.wish), starts_carefully=False)
        for number in range(self.groups):
            share = number / (self.groups - 1)
            even = SHORTEST_SECONDS + share * (LONGEST_SECONDS - SHORTEST_SECONDS)
            log = SHORTEST_SECONDS * (LONGEST_SECONDS / SHORTEST_SECONDS) ** share
            seconds = even if self.spread == "even" else log
            name = f"g{number}"
            batch = open_batch(self.store, name=name, provider="p", queue="bulk", gate=gate)
            self.deadlines[name] = seconds
            made = [
                NewJob(
                    spec=JobSpec(
                        id=f"{name}-{each}",
                        prompt="x" * 400,
                        schema="feedback",
                        model="m",
                        parameters=JobParameters(deadline_seconds=seconds),
                    ),
                    schema_fingerprint=fingerprint,
                )
                for each in range(self.jobs // self.groups)
            ]
            add_jobs(self.store, batch, made, gate=gate)

    def _group_of(self, submission_id: str) -> str:
        with self.store.snapshot() as connection:
            return str(
                connection.execute(
                    select(batches.c.name)
                    .join(submissions, submissions.c.batch_id == batches.c.id)
                    .where(submissions.c.id == submission_id)
                ).scalar_one()
            )

    def _seconds_of(self, lane: Lane, group: str) -> float:
        """How long this lane takes for the jobs of one batch, whenever they are handed over."""
        typical, likely = _TIMES[lane]
        sigma = math.log(likely / typical) / _NINE_OF_TEN
        drawn = random.Random(f"{self.seed} {lane} {group}").lognormvariate(math.log(typical), sigma)  # noqa: S311
        longest = lane.longest.total_seconds() if lane.longest is not None else math.inf
        return drawn if lane is Lane.BATCH else min(drawn, longest)

    def _unfinished(self) -> int:
        with self.store.snapshot() as connection:
            waiting = select(jobs.c.id).where(jobs.c.state.in_(["ready", "running"])).limit(1)
            return len(connection.execute(waiting).all())

    def _answer_live(self, seconds: float) -> None:
        """What workers do live in so much time: each call is answered at once and at the full price."""
        with self.store.snapshot() as connection:
            due = due_jobs(connection, FEED, at_most=int(seconds * LIVE_JOBS_PER_SECOND))
        if due:
            self.store.run(lambda connection: self._live(connection, due))

    def _live(self, connection: Connection, due: list[str]) -> None:
        mark_published(connection, due)
        claimed = list(claim_jobs(connection, due, worker_id="live").values())
        late = [job for job in claimed if (job.seconds_to_deadline or 0.0) <= 0]
        in_time = [job for job in claimed if job not in late]
        openings = [self._opening(job) for job in in_time]
        open_attempts(connection, openings)
        cost_usd = PROFILE.cost_usd(USED)
        closings = [
            AttemptClosing(attempt_id=each.attempt_id, ending=AttemptEnding.ANSWERED, usage=USED, cost_usd=cost_usd)
            for each in openings
        ]
        if closings:
            close_attempts(connection, closings)
        self.live += [each.attempt_id for each in openings]
        answer = Success(builtin_registry().resolve("feedback", None).model.model_construct())
        too_late = Failure(kind=FailureKind.DEADLINE_EXCEEDED, message="late")
        endings = [self._ending(job, answer) for job in in_time] + [self._ending(job, too_late) for job in late]
        finish_jobs(connection, endings)

    def _opening(self, job: ClaimedJob) -> AttemptOpening:
        return AttemptOpening(
            attempt_id=new_id(),
            job_id=job.id,
            batch_id=job.batch_id,
            account=job.account,
            round=job.round,
            claim=job.claim,
            worker_id="live",
            purpose=Purpose.GRADE,
            model=job.model,
        )

    def _ending(self, job: ClaimedJob, outcome: Success | Failure) -> JobEnding:
        return JobEnding(
            job_id=job.id,
            batch_id=job.batch_id,
            round=job.round,
            claim=job.claim,
            outcome=outcome,
            model_answered="m",
            is_standin=True,
        )

    async def _settle_late(self) -> None:
        """What was not cancelled in time ends once, and is billed."""
        for _ in range(200):
            await self.loop.round()
            self.clock.move(900.0)

    def _found(self) -> dict[str, Any]:
        with self.store.snapshot() as connection:
            rows = connection.execute(
                select(batches.c.name, outcomes.c.finished_at, outcomes.c.failure_kind)
                .join(jobs, jobs.c.batch_id == batches.c.id)
                .join(outcomes, outcomes.c.job_id == jobs.c.id)
            ).all()
            ledger = connection.execute(
                select(
                    attempts.c.id, attempts.c.job_id, attempts.c.ending, attempts.c.submission_id, attempts.c.cost_usd
                )
            ).all()
        in_time = sum(
            row.failure_kind is None and row.finished_at <= START + self.deadlines[row.name] + STEP_SECONDS
            for row in rows
        )
        live_usd = PROFILE.cost_usd(USED) or 0.0
        invoice = live_usd * len(self.live) + sum(live_usd * lane.price_factor for _, lane in self.provider.billed)
        seen = {row.id for row in ledger if row.ending in {"answered", "unknown"}}
        of_submission = {row.submission_id: row.id for row in ledger}  # a window's has one request
        billed = [*self.live, *(of_submission.get(name, name) for name, _ in self.provider.billed)]
        ledger_usd = sum(row.cost_usd or 0.0 for row in ledger)
        per_job = Counter(row.job_id for row in ledger if row.ending == "answered")
        oracle = self._oracle_usd(live_usd)
        return {
            "jobs": self.jobs,
            "in_time": in_time / self.jobs,
            "cost_ratio": invoice / oracle,
            "all_live_ratio": self.jobs * live_usd / oracle,
            "paid_unseen": sum(each not in seen for each in billed),
            "paid_twice": sum(count > 1 for count in per_job.values()),
            "ledger_off": abs(ledger_usd - invoice) / invoice,
            "live": len(self.live),
            "lanes": {str(lane): count for lane, count in Counter(lane for _, lane in self.provider.billed).items()},
        }

    def _oracle_usd(self, live_usd: float) -> float:
        """Each job in the cheapest lane that answers its line in time."""
        total, per_group = 0.0, self.jobs // self.groups
        for name, deadline in self.deadlines.items():
            for number in range(per_group):
                factors = [1.0]
                for lane in _TIMES:
                    seconds = self._seconds_of(lane, name)
                    share = (number + 1) / per_group if lane is Lane.BATCH else 1.0
                    if seconds * share <= min(deadline, lane.longest.total_seconds() if lane.longest else math.inf):
                        factors.append(lane.price_factor)
                total += live_usd * min(factors)
        return total
