"""Short forms for what the tests ask the scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.budget.records import BucketReading, Lesson, Limits, LineLength, QueuePolicy, Settlements

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
    line = LineLength(waiters=len(tokens), tokens=sum(tokens))
    return await shared.reserve(key, tokens, line=line, policy=QueuePolicy(ahead_seconds=ahead_seconds), limits=limits)


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
    return await _settle(shared, Lesson(grant=grant, answered=True, requests=requests, tokens=tokens))


async def refused(
    shared: SharedBudget, grant: Grant, *, wait_seconds: float | None = None, requests: BucketReading = UNREAD
) -> float:
    """The provider answered 429."""
    lesson = Lesson(grant=grant, answered=False, refused=True, refused_wait_seconds=wait_seconds, requests=requests)
    return await _settle(shared, lesson)


async def _settle(shared: SharedBudget, lesson: Lesson) -> float:
    settlements = Settlements()
    settlements.add(lesson)
    return await shared.settle(lesson.grant.key, settlements)


async def give_back(shared: SharedBudget, grant: Grant) -> None:
    """The call was never sent."""
    settlements = Settlements()
    settlements.give_back(grant)
    await shared.settle(grant.key, settlements)
