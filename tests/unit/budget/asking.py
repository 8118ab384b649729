"""Short forms for what the tests ask the scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.budget.records import BucketReading, Limits, PendingUpdates, QueueLength, QueuePolicy, RateSample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.budget.records import BudgetKey, Grant, ReserveAnswer
    from workers.budget.shared import SharedBudget

NO_LIMITS = Limits()
UNREAD = BucketReading()


async def ask(
    shared: SharedBudget,
    key: BudgetKey,
    costs: int | Sequence[int],
    *,
    limits: Limits = NO_LIMITS,
    ahead_seconds: float = 0.5,
) -> ReserveAnswer:
    """So many calls of 100 tokens, or calls of these tokens."""
    tokens = [100] * costs if isinstance(costs, int) else list(costs)
    waiting = QueueLength(waiters=len(tokens), tokens=sum(tokens))
    return await shared.reserve(
        key, tokens, waiting=waiting, policy=QueuePolicy(ahead_seconds=ahead_seconds), limits=limits
    )


def requests(limit: int, remaining: int, reset_seconds: float | None = None) -> BucketReading:
    """A bucket as the headers show it."""
    return BucketReading(limit=limit, remaining=remaining, reset_seconds=reset_seconds)


async def answered(
    shared: SharedBudget,
    grant: Grant,
    *,
    requests: BucketReading = UNREAD,
    tokens: BucketReading = UNREAD,
) -> float:
    """The provider took the call."""
    return await _settle(shared, RateSample(grant=grant, answered=True, requests=requests, tokens=tokens))


async def hear(shared: SharedBudget, grant: Grant, *, requests: BucketReading = UNREAD) -> None:
    """The headers are here, the answer is not."""
    updates = PendingUpdates()
    updates.hear(RateSample(grant=grant, answered=False, requests=requests))
    await shared.settle(grant.key, updates)


async def refused(
    shared: SharedBudget, grant: Grant, *, wait_seconds: float | None = None, requests: BucketReading = UNREAD
) -> float:
    """The provider answered 429."""
    sample = RateSample(grant=grant, answered=False, refused=True, refused_wait_seconds=wait_seconds, requests=requests)
    return await _settle(shared, sample)


async def _settle(shared: SharedBudget, sample: RateSample) -> float:
    updates = PendingUpdates()
    updates.add(sample)
    return await shared.settle(sample.grant.key, updates)


async def give_back(shared: SharedBudget, grant: Grant) -> None:
    """The call was never sent."""
    updates = PendingUpdates()
    updates.give_back(grant)
    await shared.settle(grant.key, updates)
