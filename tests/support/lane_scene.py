"""A store, a provider's lanes and the loop between them, all by one clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ops.bench.lanes.clock import StoreClock
from ops.bench.lanes.provider import PlayedLanes
from tests.store.steps import new_job
from tests.support.playing import Playing
from workers.contract.lane_choice import PriceWish
from workers.contract.model_profile import ModelProfile
from workers.contract.registry import builtin_registry
from workers.grading.health import HealthMonitor
from workers.grading.lanes.work import LaneWork
from workers.grading.records import Account, Collaborators, Provider
from workers.process.lanes_loop import LanesLoop
from workers.store.enqueue import add_jobs, open_batch
from workers.store.gates import GateRequest
from workers.store.lane_tables import submissions
from workers.store.tables import attempts, jobs, outcomes
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.store import Store

SCHEMA = "feedback"
START = 1_800_000_000.0
PROFILE = ModelProfile(price_input_usd_per_mtok=1.0, price_output_usd_per_mtok=10.0)


class Crashed(BaseException):
    """The process is gone: nothing of ours may catch it."""


@dataclass
class LaneScene:
    store: Store
    clock: StoreClock
    provider: PlayedLanes
    writer: Writer
    folder: Path
    playing: Playing = field(default_factory=Playing)
    crashes_after: str | None = None
    """The step after which the process dies, once."""
    seen: list[str] = field(default_factory=list)
    work: LaneWork = field(init=False)
    loop: LanesLoop = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another process takes over."""
        provider = Provider(
            complete=self.playing.complete,
            profile_of=lambda _model: PROFILE,
            call_timeout_seconds=5.0,
            health=HealthMonitor(),
        )
        self.work = LaneWork(
            account="p",
            store=self.store,
            collaborators=Collaborators(
                writer=self.writer,
                budget=self.playing,  # type: ignore[arg-type]  # a played one
                registry=builtin_registry(),
                provider=provider,
                account=Account(park=self.playing.park),
            ),
            door=self.provider,  # type: ignore[arg-type]  # a played one
            folder=self.folder,
            after=self._after,
        )
        self.loop = LanesLoop(self.work, holder="w1")

    def _after(self, step: str) -> None:
        self.seen.append(step)
        if step == self.crashes_after:
            self.crashes_after = None
            raise Crashed

    def enqueue(
        self,
        count: int,
        *,
        name: str = "b",
        price: PriceWish = PriceWish.LOWEST,
        max_usd: float | None = None,
        **parameters: Any,
    ) -> None:
        gate = GateRequest(price=price, starts_carefully=False, max_usd=max_usd)
        batch = open_batch(self.store, name=name, provider="p", queue="bulk", gate=gate)
        fingerprint = builtin_registry().resolve(SCHEMA, None).fingerprint
        made = [new_job(f"{name}{number}", prompt="x" * 400, **parameters) for number in range(count)]
        add_jobs(
            self.store,
            batch,
            [replace(each, spec=replace(each.spec, schema=SCHEMA), schema_fingerprint=fingerprint) for each in made],
            gate=gate,
        )

    async def go(self, seconds: float, *, every: float = 30.0) -> None:
        """Let so much time pass, with a round now and then."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            await self.round()
            self.clock.move(min(every, until - self.clock.now))
        await self.round()

    async def round(self) -> None:
        try:
            await self.loop.round()
        except Crashed:
            self.restart()

    def states(self) -> Counter[str]:
        with self.store.snapshot() as connection:
            return Counter(connection.execute(select(jobs.c.state)).scalars())

    def ledger(self) -> Counter[str | None]:
        with self.store.snapshot() as connection:
            return Counter(connection.execute(select(attempts.c.ending)).scalars())

    def outcomes(self) -> int:
        with self.store.snapshot() as connection:
            return len(connection.execute(select(outcomes.c.job_id)).all())

    def cost_usd(self) -> float:
        with self.store.snapshot() as connection:
            return sum(
                connection.execute(select(attempts.c.cost_usd).where(attempts.c.cost_usd.is_not(None))).scalars()
            )

    def submissions(self) -> list[Any]:
        with self.store.snapshot() as connection:
            return list(connection.execute(select(submissions).order_by(submissions.c.opened_at)).all())

    def waits_live(self) -> int:
        with self.store.snapshot() as connection:
            rows = connection.execute(select(jobs.c.id).where(jobs.c.state == "ready", jobs.c.lane.is_(None)))
            return len(rows.all())


@asynccontextmanager
async def lane_scene(store: Store, folder: Path) -> AsyncIterator[LaneScene]:
    clock = StoreClock(store, now=START)
    writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop())
    writer.start()
    yield LaneScene(store, clock, PlayedLanes(clock), writer, folder)
    await asyncio.to_thread(writer.stop, patience_seconds=5.0)
