"""What the grader holds: reserve before a call, settle after it, give back what was never sent.

    reserve     waits in the queue of its (account, model), then until the grant's start
    settle      correct the budget by a response; returns at once, updates are flushed to Redis in batches
    give_back   return an unused grant; also flushed later
    hear        correct the budget by the headers of a call that is still in flight: the others wait for them

Belongs to one event loop; one per worker process. A refusal pauses this process's queues at once, before Redis has the
update; so the pause also works while Redis is away or has lost its memory.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from workers.budget.records import (
    NO_OWN_LIMITS,
    BudgetKey,
    Grant,
    Limits,
    NotGranted,
    PendingUpdates,
    QueueLength,
    QueuePolicy,
    RateSample,
)
from workers.budget.shared import NOT_COUNTED
from workers.budget.wait_queue import AWAY, WaitQueue
from workers.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workers.budget.records import OwnLimits, ReserveAnswer
    from workers.budget.shared import SharedBudget

logger = get_logger(__name__)

FLUSH_EVERY_SECONDS = 0.05
"""Headers that arrive together say the same; a refusal is flushed without this wait."""
LATE_SECONDS = 0.25
"""Half of what the scripts allow between a grant and the arrival of its request."""
AWAY_SECONDS = 0.4
"""After a call that did not reach the provider, other processes may be granted calls for so long; shorter than the
first hold."""
LONGEST_PAUSE_SECONDS = 60.0
"""The longest that one refusal pauses this process; no single job's wait may hold the model for a day."""
ANNOUNCE_EVERY_SECONDS = 10.0
"""After Redis was emptied, the feeder may miss a model for so long."""


@dataclass(slots=True)
class _Quota:
    """One (account, model) as this process sees it."""

    key: BudgetKey
    wait_queue: WaitQueue = field(init=False)
    limits: Limits
    """As last seen, or from the settings; used to refill an empty bucket when Redis has lost its memory."""
    paused_until: float = 0.0
    away_at: float = float("-inf")
    """When a call last failed to reach the provider."""
    is_unlimited: bool = False
    """The last reservation found no limit and no probe."""
    in_flight: int = 0
    """Granted to this process, neither settled nor given back."""
    announced_at: float = float("-inf")
    pending: PendingUpdates = field(default_factory=PendingUpdates)
    flushing: asyncio.Task[None] | None = None
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
        call_timeout_seconds: float = 0.0,
    ) -> None:
        """Start from `known` limits by model, else from `limits`.

        `call_timeout_seconds` is a call's deadline: at a server that names no limits, calls in flight are bounded so
        that they end well before it. 0 means no bound.
        """
        self._shared = shared
        self._account = account
        self._policy = policy or QueuePolicy()
        self._limits = limits or Limits()
        self._known = known or {}
        self._call_timeout_seconds = call_timeout_seconds
        self._quotas: dict[str, _Quota] = {}
        self._own_limits: Mapping[str, OwnLimits] = {}
        self._is_stopping = False
        self._streams_in_vain: bool | None = None
        """None until Redis was asked."""
        self._telling: asyncio.Task[None] | None = None

    async def reserve(
        self,
        model: str,
        tokens: int,
        *,
        within_seconds: float | None = None,
        stays: bool = False,
        group: int | None = None,
    ) -> Grant | NotGranted:
        """Return when one call of this model may be sent.

        `tokens` is what the provider will charge. Cancelling leaves the queue and returns the grant. With `stays` it
        goes on waiting after `stop_waiting()` and `evict()`, which evicts by `group`; None is never evicted by it.
        """
        loop = asyncio.get_running_loop()
        deadline = float("inf") if within_seconds is None else loop.time() + within_seconds
        quota = self._quota(model)
        answer = await quota.wait_queue.join(tokens, within_seconds=within_seconds, stays=stays, group=group)
        if isinstance(answer, NotGranted):
            return answer
        if answer.starts_at >= deadline:
            self.give_back(answer)
            return NotGranted.DEADLINE
        if (wait_seconds := answer.starts_at - loop.time()) > 0:
            try:
                await asyncio.sleep(wait_seconds)
            except asyncio.CancelledError:
                self.give_back(answer)
                raise
        return answer

    async def confirm(
        self, grant: Grant, *, within_seconds: float | None = None, stays: bool = False
    ) -> Grant | NotGranted:
        """The grant, or a new one if it is too old or the provider went away; after a stall, calls must not burst."""
        quota, now = self._quota(grant.key.model), asyncio.get_running_loop().time()
        is_in_time = quota.is_unlimited or now - grant.starts_at < LATE_SECONDS
        is_from_before = grant.starts_at <= quota.away_at or now - quota.away_at < AWAY_SECONDS
        if is_in_time and not is_from_before:
            return grant
        self.give_back(grant)
        return await self.reserve(grant.key.model, grant.tokens, within_seconds=within_seconds, stays=stays)

    def settle(self, sample: RateSample) -> None:
        """Correct the budget by a call that ended. Never waits, never raises."""
        quota = self._quota(sample.grant.key.model)
        quota.in_flight -= 1
        if sample.has_headers:
            quota.limits = Limits(requests=sample.requests.limit, tokens=sample.tokens.limit)
        elif quota.is_unlimited and not (self._call_timeout_seconds or sample.refused or sample.away):
            return  # a server without limits has nothing to correct
        quota.pending.add(sample)
        if sample.refused or sample.away:
            quota.urgent.set()
        if sample.away:
            quota.away_at = asyncio.get_running_loop().time()
        if sample.refused_wait_seconds is not None:
            pause = min(sample.refused_wait_seconds, LONGEST_PAUSE_SECONDS)
            quota.paused_until = max(quota.paused_until, asyncio.get_running_loop().time() + pause)
        self._flush_soon(quota)

    def wants_stream(self, grant: Grant, *, is_first: bool = False) -> bool:
        """Whether this call's headers are waited for, and may come before its answer if it is streamed.

        Those of the first call of a batch (`is_first`) are, whatever is known of limits.
        """
        return (grant.is_careful or is_first) and not self._streams_in_vain

    def hear(self, sample: RateSample) -> None:
        """Correct the budget by the headers of a response that has begun; its call is settled when it ends."""
        if not sample.has_headers:
            return
        quota = self._quota(sample.grant.key.model)
        quota.limits = Limits(requests=sample.requests.limit, tokens=sample.tokens.limit)
        quota.pending.hear(sample)
        quota.urgent.set()
        self._flush_soon(quota)

    def learn_streaming(self, *, is_in_vain: bool, is_sure: bool = True) -> None:
        """From now on stream no call, or again those that are waited for; all workers learn what is sure."""
        is_news, self._streams_in_vain = is_in_vain and is_sure and self._telling is None, is_in_vain
        if is_news:
            self._telling = asyncio.get_running_loop().create_task(self._tell_streams_in_vain())

    async def _tell_streams_in_vain(self) -> None:
        with suppress(*AWAY):  # each worker finds it out for itself then
            await self._shared.note_streams_in_vain(self._account)

    def give_back(self, grant: Grant) -> None:
        """Return a grant whose call was not sent. Never waits, never raises."""
        quota = self._quota(grant.key.model)
        quota.in_flight -= 1
        quota.pending.give_back(grant)
        self._flush_soon(quota)

    def stop_waiting(self, *, everyone: bool = False) -> None:
        """Evict current and future waiters (they may wait for hours), those with `stays` only if `everyone`."""
        self._is_stopping = True
        for quota in self._quotas.values():
            quota.wait_queue.stop_waiting(everyone=everyone)

    def set_own_limits(self, limits: Mapping[str, OwnLimits]) -> None:
        """From the next reservation on, keep these limits by model beside the provider's, and no other."""
        self._own_limits = limits

    def evict(self, is_leaving: Callable[[int, str], bool]) -> None:
        """Evict those who wait now and of whose group and model this is true; grants that were given stay."""
        for model, quota in self._quotas.items():
            quota.wait_queue.evict(partial(_leaves, is_leaving, model))

    async def close(self) -> None:
        """Flush pending updates, close the client."""
        for quota in self._quotas.values():
            await quota.wait_queue.stop()
            quota.urgent.set()
            if quota.flushing is not None:
                await asyncio.gather(quota.flushing, return_exceptions=True)
        if self._telling is not None:
            await self._telling
        await self._shared.close()

    def _quota(self, model: str) -> _Quota:
        quota = self._quotas.get(model)
        if quota is None:
            quota = _Quota(BudgetKey(self._account, model), self._known.get(model, self._limits))
            quota.wait_queue = WaitQueue(
                model=model,
                ask=partial(self._ask, quota),
                give_back=self.give_back,
                pause_seconds=partial(_pause_seconds, quota),
                ahead_seconds=self._policy.ahead_seconds,
            )
            if self._is_stopping:
                quota.wait_queue.stop_waiting()
            self._quotas[model] = quota
        return quota

    async def _ask(self, quota: _Quota, costs: Sequence[int], waiting: QueueLength) -> ReserveAnswer:
        now = asyncio.get_running_loop().time()
        if now - quota.announced_at > ANNOUNCE_EVERY_SECONDS:
            await self._shared.announce(quota.key)
            quota.announced_at = now
        if self._streams_in_vain is None:
            self._streams_in_vain = await self._shared.streams_in_vain(self._account)
        answer = await self._shared.reserve(
            quota.key,
            costs,
            waiting=waiting,
            policy=self._policy,
            limits=quota.limits,
            in_flight=quota.in_flight if self._call_timeout_seconds else NOT_COUNTED,
            own=self._own_limits.get(quota.key.model, NO_OWN_LIMITS),
        )
        quota.in_flight += len(answer.grants)
        quota.is_unlimited = not (answer.is_probing or answer.seconds_per_request or answer.seconds_per_token)
        return answer

    def _flush_soon(self, quota: _Quota) -> None:
        if quota.flushing is None or quota.flushing.done():
            quota.flushing = asyncio.get_running_loop().create_task(self._flush(quota))

    async def _flush(self, quota: _Quota) -> None:
        while quota.pending != PendingUpdates():
            updates, quota.pending = quota.pending, PendingUpdates()
            quota.urgent.clear()
            try:
                wait_seconds = await self._shared.settle(
                    quota.key, updates, call_timeout_seconds=self._call_timeout_seconds
                )
            except AWAY as error:
                # The next headers correct what is lost here; a refusal has paused this process already.
                logger.debug("budget.not_settled", model=quota.key.model, error=type(error).__name__)
            else:
                quota.paused_until = max(quota.paused_until, asyncio.get_running_loop().time() + wait_seconds)
                quota.wait_queue.wake()
            try:
                async with asyncio.timeout(FLUSH_EVERY_SECONDS):
                    await quota.urgent.wait()
            except TimeoutError:
                continue


def _leaves(is_leaving: Callable[[int, str], bool], model: str, group: int) -> bool:
    return is_leaving(group, model)


def _pause_seconds(quota: _Quota) -> float:
    return quota.paused_until - asyncio.get_running_loop().time()
