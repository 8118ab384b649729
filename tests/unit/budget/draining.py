"""A simulated provider, on a clock that needs no time, and calls without end against it.

The provider is the stand-in's own limiter. Its headers are written when a call is admitted or when it is answered;
both kinds of provider exist, and neither says which it is.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ops.standin.errors import ApiError
from ops.standin.limits import Limiter
from workers.budget.records import (
    BucketReading,
    Grant,
    Limits,
    PendingUpdates,
    QueueLength,
    QueuePolicy,
    RateSample,
)
from workers.completion.errors.server_wait import duration_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.standin.config import Config
    from tests.unit.budget.conftest import Clock
    from workers.budget.records import BudgetKey
    from workers.budget.shared import SharedBudget

STEP_SECONDS = 0.05
FLUSH_SECONDS = 0.1


@dataclass
class Drain:
    """Calls without end against a provider; `events` are (time, change)."""

    shared: SharedBudget
    key: BudgetKey
    clock: Clock
    config: Config
    latency_seconds: float
    headers_at_admission: bool = False
    has_headers: bool = True
    faults: Callable[[float], bool] = lambda _second: False
    """Whether a call at this second is refused for no reason that a limit would explain."""
    jobs_per_second: float = 2000.0
    tokens: Callable[[random.Random], tuple[int, int]] = lambda _random: (1000, 1000)
    """What we estimate, and what the provider charges."""
    lag_seconds: float = 0.1
    streams: bool = False
    """A careful call's headers come when it is admitted, and say nothing when it ends."""
    limits: Limits = field(default_factory=Limits)
    """Known in advance."""
    most_jobs: int | None = None
    held_back_share: float = 0.0
    changes: dict[float, dict[str, object]] = field(default_factory=dict)
    admitted: list[tuple[float, int]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    async def run(self, seconds: float) -> None:  # noqa: C901, PLR0912, PLR0915 - an event loop of its own
        began, draw, order = self.clock.now, random.Random(7), itertools.count()  # noqa: S311 - jitter
        limiter = Limiter(self.config)
        updates, flushed_at, ask_at, taken = PendingUpdates(), began, began, 0
        events: list[tuple[float, int, str, Grant, int]] = []
        pending: list[tuple[int, int]] = []
        answers: dict[int, RateSample] = {}
        while self.clock.now < began + seconds:
            now = self.clock.now
            for at in [at for at in self.changes if began + at <= now]:
                self.config = self.config.changed(self.changes.pop(at))
                limiter.change(self.config, now=now)
            while events and events[0][0] <= now:
                at, number, kind, grant, charge = heapq.heappop(events)
                if kind == "send":
                    try:
                        self._admit(limiter, charge, at=at, second=at - began)
                    except ApiError as refusal:
                        self.refused.append(at - began)
                        wait = float(refusal.headers["Retry-After"])
                        headers = self._headers(limiter, at)
                        updates.add(_sample(grant, headers, refused_wait_seconds=wait))
                        flushed_at = 0.0
                        continue
                    limiter.charge("a", model="m", cost_tokens=charge, now=at)
                    self.admitted.append((at - began, charge))
                    answers[number] = _sample(grant, self._headers(limiter, at))
                    if self.streams and grant.is_careful:
                        updates.hear(answers[number])
                        flushed_at, answers[number] = 0.0, _sample(grant, {})
                        ask_at = now  # waiters are woken
                    heapq.heappush(events, (at + self.latency_seconds, number, "answer", grant, charge))
                else:
                    sample = answers.pop(number)
                    if not self.headers_at_admission and not (self.streams and grant.is_careful):
                        sample = _sample(grant, self._headers(limiter, at))
                    updates.add(sample)
            if now - flushed_at >= FLUSH_SECONDS and updates != PendingUpdates():
                await self.shared.settle(self.key, updates)
                updates, flushed_at = PendingUpdates(), now
            if now >= ask_at:
                most = self.jobs_per_second * (now - began) - taken
                if self.most_jobs is not None:
                    most = min(most, self.most_jobs - taken)
                while len(pending) < min(100, most):
                    pending.append(self.tokens(draw))
                estimates = [estimate for estimate, _charge in pending]
                answer = await self.shared.reserve(
                    self.key,
                    estimates,
                    waiting=QueueLength(waiters=len(estimates), tokens=sum(estimates)),
                    policy=QueuePolicy(held_back_share=self.held_back_share),
                    limits=self.limits,
                )
                taken += len(answer.grants)
                for grant in answer.grants:
                    _estimate, charge = pending.pop(0)
                    at = now + grant.delay_seconds + draw.random() * self.lag_seconds
                    heapq.heappush(events, (at, next(order), "send", grant, charge))
                ask_at = now + min(max(answer.wait_seconds, 0.25), 0.5) if len(answer.grants) < 100 else now
            self.clock.now = round(now + STEP_SECONDS, 6)

    def _admit(self, limiter: Limiter, charge: int, *, at: float, second: float) -> None:
        if self.faults(second):
            raise ApiError(429, "Slow down.", headers={"Retry-After": "1"})
        limiter.check("a", model="m", cost_tokens=charge, now=at)

    def _headers(self, limiter: Limiter, at: float) -> dict[str, str]:
        return limiter.headers("a", model="m", now=at) if self.has_headers else {}

    def requests_between(self, start: float, end: float) -> int:
        return sum(1 for at, _charge in self.admitted if start <= at < end)

    def tokens_between(self, start: float, end: float) -> int:
        return sum(charge for at, charge in self.admitted if start <= at < end)

    @property
    def refused_per_thousand(self) -> float:
        return 1000 * len(self.refused) / len(self.admitted)


def _sample(grant: Grant, headers: dict[str, str], *, refused_wait_seconds: float | None = None) -> RateSample:
    return RateSample(
        grant=grant,
        answered=refused_wait_seconds is None,
        refused=refused_wait_seconds is not None,
        refused_wait_seconds=refused_wait_seconds,
        requests=_reading(headers, "requests"),
        tokens=_reading(headers, "tokens"),
    )


def _reading(headers: dict[str, str], name: str) -> BucketReading:
    if f"x-ratelimit-limit-{name}" not in headers:
        return BucketReading()
    return BucketReading(
        limit=int(headers[f"x-ratelimit-limit-{name}"]),
        remaining=int(headers[f"x-ratelimit-remaining-{name}"]),
        reset_seconds=duration_seconds(headers[f"x-ratelimit-reset-{name}"]),
    )
