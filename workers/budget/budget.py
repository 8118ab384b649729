"""What the grader holds: reserve before a call, settle after it, give back what was never sent.

    reserve     stands in the line of its (account, model), then waits out the grant's delay
    settle      at once and without waiting: what the calls of a moment taught is told to Redis together
    give_back   the same, for a grant whose call was never made

Belongs to one event loop; one per worker process. A refusal stops this process's lines at once, before Redis has
heard of it, and so it also holds while Redis is away or has forgotten it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from workers.budget.line import AWAY, Line
from workers.budget.records import BudgetKey, Grant, Lesson, Limits, LineLength, NotGranted, QueuePolicy, Settlements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workers.budget.records import ReserveAnswer
    from workers.budget.shared import SharedBudget

logger = logging.getLogger(__name__)

SETTLE_EVERY_SECONDS = 0.05
"""Headers of one moment say the same; a refusal is told without this wait."""
LATE_SECONDS = 0.25
"""Half of what the scripts allow between a grant and its arrival."""
ANNOUNCE_EVERY_SECONDS = 10.0
"""How long the feeder may not know a model after Redis was emptied."""


@dataclass(slots=True)
class _Quota:
    """One (account, model) as this process sees it."""

    key: BudgetKey
    line: Line = field(init=False)
    limits: Limits
    """As last seen, or from the settings: where Redis has forgotten them, the pace goes on from an empty bucket."""
    paused_until: float = 0.0
    is_unlimited: bool = False
    """The last answer knew no limit, and no probe was out."""
    announced_at: float = float("-inf")
    unsettled: Settlements = field(default_factory=Settlements)
    settling: asyncio.Task[None] | None = None
    urgent: asyncio.Event = field(default_factory=asyncio.Event)


class Budget:
    """Requests and tokens a minute, for the jobs of one process."""

    def __init__(
        self,
        shared: SharedBudget,
        *,
        account: str,
        policy: QueuePolicy | None = None,
        limits: Limits | None = None,
        known: Mapping[str, Limits] | None = None,
    ) -> None:
        """Take limits from settings, or what is `known` of models since they were last used."""
        self._shared = shared
        self._account = account
        self._policy = policy or QueuePolicy()
        self._limits = limits or Limits()
        self._known = known or {}
        self._quotas: dict[str, _Quota] = {}
        self._is_draining = False

    async def reserve(
        self, model: str, tokens: int, *, within_seconds: float | None = None, stays: bool = False
    ) -> Grant | NotGranted:
        """Return when one call of this model may be sent. Waits for as long as it takes, spending nothing.

        `tokens` is what the provider will charge. Cancelled, it leaves the line and gives back. With `stays` it waits
        through a drain.
        """
        loop = asyncio.get_running_loop()
        deadline = float("inf") if within_seconds is None else loop.time() + within_seconds
        quota = self._quota(model)
        answer = await quota.line.join(tokens, within_seconds=within_seconds, stays=stays)
        if isinstance(answer, NotGranted):
            return answer
        if answer.starts_at >= deadline:
            self.give_back(answer)
            return NotGranted.DEADLINE
        try:
            await asyncio.sleep(max(0.0, answer.starts_at - loop.time()))
        except asyncio.CancelledError:
            self.give_back(answer)
            raise
        return answer

    async def confirm(
        self, grant: Grant, *, within_seconds: float | None = None, stays: bool = False
    ) -> Grant | NotGranted:
        """The grant, or another one when its moment has passed: after a stall, calls must not go out in a clump."""
        quota = self._quota(grant.key.model)
        if quota.is_unlimited or asyncio.get_running_loop().time() - grant.starts_at < LATE_SECONDS:
            return grant
        self.give_back(grant)
        return await self.reserve(grant.key.model, grant.tokens, within_seconds=within_seconds, stays=stays)

    def settle(self, lesson: Lesson) -> None:
        """Learn from a call that ended. Never waits, never raises."""
        quota = self._quota(lesson.grant.key.model)
        if lesson.has_headers:
            quota.limits = Limits(requests=lesson.requests.limit, tokens=lesson.tokens.limit)
        elif quota.is_unlimited and not lesson.refused:
            return  # a server without limits says the same a thousand times
        quota.unsettled.add(lesson)
        if lesson.refused:
            quota.urgent.set()
            if lesson.refused_wait_seconds is not None:
                until = asyncio.get_running_loop().time() + lesson.refused_wait_seconds
                quota.paused_until = max(quota.paused_until, until)
        self._settle_soon(quota)

    def give_back(self, grant: Grant) -> None:
        """A grant whose call was not sent. Never waits, never raises."""
        quota = self._quota(grant.key.model)
        quota.unsettled.give_back(grant)
        self._settle_soon(quota)

    def drain(self) -> None:
        """The worker stops: waiters give their jobs back, for a low limit may let them wait for hours."""
        self._is_draining = True
        for quota in self._quotas.values():
            quota.line.drain()

    async def close(self) -> None:
        """Tell what is still untold, and let go of Redis."""
        for quota in self._quotas.values():
            await quota.line.stop()
            quota.urgent.set()
            if quota.settling is not None:
                await asyncio.gather(quota.settling, return_exceptions=True)
        await self._shared.close()

    def _quota(self, model: str) -> _Quota:
        quota = self._quotas.get(model)
        if quota is None:
            quota = _Quota(BudgetKey(self._account, model), self._known.get(model, self._limits))
            quota.line = Line(
                name=model,
                ask=partial(self._ask, quota),
                give_back=self.give_back,
                pause_seconds=partial(_pause_seconds, quota),
                ahead_seconds=self._policy.ahead_seconds,
            )
            if self._is_draining:
                quota.line.drain()
            self._quotas[model] = quota
        return quota

    async def _ask(self, quota: _Quota, costs: Sequence[int], length: LineLength) -> ReserveAnswer:
        now = asyncio.get_running_loop().time()
        if now - quota.announced_at > ANNOUNCE_EVERY_SECONDS:
            await self._shared.announce(quota.key)
            quota.announced_at = now
        answer = await self._shared.reserve(quota.key, costs, line=length, policy=self._policy, limits=quota.limits)
        quota.is_unlimited = not (answer.is_probing or answer.seconds_per_request or answer.seconds_per_token)
        return answer

    def _settle_soon(self, quota: _Quota) -> None:
        if quota.settling is None or quota.settling.done():
            quota.settling = asyncio.get_running_loop().create_task(self._settle(quota))

    async def _settle(self, quota: _Quota) -> None:
        while quota.unsettled != Settlements():
            telling, quota.unsettled = quota.unsettled, Settlements()
            quota.urgent.clear()
            try:
                wait_seconds = await self._shared.settle(quota.key, telling)
            except AWAY as error:
                # The next headers correct what is lost here; a refusal's wait stands in this process all the same.
                logger.debug("budget.not_settled model=%s error=%s", quota.key.model, type(error).__name__)
            else:
                quota.paused_until = max(quota.paused_until, asyncio.get_running_loop().time() + wait_seconds)
                quota.line.has_news()
            try:
                async with asyncio.timeout(SETTLE_EVERY_SECONDS):
                    await quota.urgent.wait()
            except TimeoutError:
                continue


def _pause_seconds(quota: _Quota) -> float:
    return quota.paused_until - asyncio.get_running_loop().time()
