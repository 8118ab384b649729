"""The lanes' loop: hands over what waits for a cheaper answer, and looks after it until its answers are persisted.

A task on the loop of every worker; a lease per account lets one be active at a time. Whatever it does is noted before
and after, so that a worker may die at any moment and another one goes on (see `workers.grading.lanes`).
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

from workers.completion.lanes.door import LaneDoor
from workers.contract.errors import ServiceUnavailable
from workers.grading.lanes.planning import plan
from workers.grading.lanes.steps import step
from workers.grading.lanes.work import LaneWork
from workers.log import get_logger, log_frames
from workers.store.lanes.submissions import due_submissions, has_work, uncleaned_submissions
from workers.store.leases import drop_lease, lease_holder, take_lease
from workers.store.process_mark import has_died, process_mark

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from workers.completion.transport.clients import Client
    from workers.grading.records import Collaborators
    from workers.settings import Settings
    from workers.store import Store
    from workers.store.day_caps import DayCaps
    from workers.store.lanes.submissions import Submission

logger = get_logger(__name__)

PERIOD_SECONDS = 2.0
LEASE_SECONDS = 60.0
RENEW_SECONDS = 15.0
MOST_PER_ROUND = 200
AT_ONCE = 8
"""Submissions looked at side by side: each is one call, or a file on its way."""
MOST_TURNS = 10
"""A submission takes several steps in one round where none of them has to wait."""
AFTER_FAULT_SECONDS = 60.0
STOP_SECONDS = 5.0
TIDY_SECONDS = 1.5
"""A stopping worker has two seconds for everything that it holds; what is left is the next worker's."""


class LanesLoop:
    """Runs on the current loop until stopped."""

    def __init__(self, work: LaneWork, *, holder: str, period_seconds: float = PERIOD_SECONDS) -> None:
        self._work = work
        self._holder = holder
        self._period_seconds = period_seconds
        self._task: asyncio.Task[None] | None = None
        self._lease = _lease_name(work.account)

    @classmethod
    def of(
        cls,
        settings: Settings,
        store: Store,
        collaborators: Collaborators,
        *,
        day_caps: DayCaps,
        client: Client,
    ) -> LanesLoop:
        """For the account that these settings speak of."""
        work = LaneWork(
            account=settings.provider,
            store=store,
            collaborators=collaborators,
            door=LaneDoor(client),
            folder=settings.data_dir,
            day_caps=day_caps,
        )
        return cls(work, holder=process_mark())

    def start(self) -> None:
        """Begin the rounds."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End at once, wherever it is, delete at the provider what is persisted, and let another worker's loop in."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task], timeout=STOP_SECONDS)
        with suppress(ServiceUnavailable, TimeoutError):
            async with asyncio.timeout(TIDY_SECONDS):
                await self.tidy()
        with suppress(ServiceUnavailable):
            await self._work.in_store(drop_lease, self._lease, holder=self._holder)

    async def tidy(self) -> None:
        """Delete what is persisted now: where these were the last jobs, nobody may come by again for days."""
        work = self._work
        persisted = await work.read(uncleaned_submissions, work.account, at_most=MOST_PER_ROUND)
        if persisted and await self._hold():
            places = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._step(each, places) for each in persisted))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._period_seconds)
            try:
                await self.round()
            except ServiceUnavailable as error:
                logger.warning("lanes.waiting", service=error.service, reason=error)
            except Exception as error:  # noqa: BLE001 - the next round may go well
                log_frames(logger, "lanes.failed", error)

    async def round(self) -> int:
        """Do what is due now; returns how many steps were taken. None while another worker has the lease."""
        if not await self._work.read(has_work, self._work.account) or not await self._hold():
            return 0
        turns = asyncio.get_running_loop().create_task(self._turns())
        keeping = asyncio.get_running_loop().create_task(self._keep(turns))
        try:
            await asyncio.wait([turns])
            return 0 if turns.cancelled() else turns.result()
        finally:
            turns.cancel()
            keeping.cancel()

    async def _turns(self) -> int:
        work, taken = self._work, 0
        for _ in range(MOST_TURNS):
            await plan(work)
            due = await work.read(due_submissions, work.account, at_most=MOST_PER_ROUND)
            if not due:
                break
            taken += len(due)
            places = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._step(each, places) for each in due))
        return taken

    async def _step(self, submission: Submission, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                await step(self._work, submission)
            except ServiceUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one submission must not stop the others
                log_frames(logger, "lanes.step_failed", error)
                await self._work.note(submission, look_after_seconds=AFTER_FAULT_SECONDS)

    async def _keep(self, turns: asyncio.Task[int]) -> None:
        """A round that takes long keeps its lease; one that lost it ends."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                is_ours = await self._hold()
            except ServiceUnavailable:
                continue
            if not is_ours:
                logger.warning("lanes.lease_lost")
                turns.cancel()
                return

    async def _hold(self) -> bool:
        return await self._work.in_store(_take, self._lease, holder=self._holder)


def _take(connection: Connection, lease: str, *, holder: str) -> bool:
    """Take or renew the lease, at once where its holder was killed on this machine."""
    if take_lease(connection, lease, holder=holder, seconds=LEASE_SECONDS):
        return True
    other = lease_holder(connection, lease)
    if other is None or not has_died(other):
        return False
    drop_lease(connection, lease, holder=other)
    return take_lease(connection, lease, holder=holder, seconds=LEASE_SECONDS)


def _lease_name(account: str) -> str:
    """A lease has at most 64 characters, an account may have more."""
    return f"lanes:{account}" if len(account) <= 50 else f"lanes:{hashlib.sha256(account.encode()).hexdigest()[:40]}"  # noqa: PLR2004 - see above
