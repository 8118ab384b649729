"""The scripts against a simulated provider, on a clock that needs no time: what the quota makes of them.

The provider is the stand-in's own limiter. Its headers are written when a call is admitted or when it is answered;
both kinds of provider exist, and neither says which it is.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from ops.standin.config import Config
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

    from tests.unit.budget.conftest import Clock
    from workers.budget.records import BudgetKey
    from workers.budget.shared import SharedBudget

STEP_SECONDS = 0.05
SETTLE_SECONDS = 0.1


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
    changes: dict[float, dict[str, object]] = field(default_factory=dict)
    admitted: list[tuple[float, int]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    async def run(self, seconds: float) -> None:  # noqa: C901 - an event loop of its own
        began, draw, order = self.clock.now, random.Random(7), itertools.count()  # noqa: S311 - jitter
        limiter = Limiter(self.config)
        updates, settled_at, ask_at, taken = PendingUpdates(), began, began, 0
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
                        settled_at = 0.0
                        continue
                    limiter.charge("a", model="m", cost_tokens=charge, now=at)
                    self.admitted.append((at - began, charge))
                    answers[number] = _sample(grant, self._headers(limiter, at))
                    heapq.heappush(events, (at + self.latency_seconds, number, "answer", grant, charge))
                else:
                    sample = answers.pop(number)
                    if not self.headers_at_admission:
                        sample = _sample(grant, self._headers(limiter, at))
                    updates.add(sample)
            if now - settled_at >= SETTLE_SECONDS and updates != PendingUpdates():
                await self.shared.settle(self.key, updates)
                updates, settled_at = PendingUpdates(), now
            if now >= ask_at:
                most = self.jobs_per_second * (now - began) - taken
                while len(pending) < min(100, most):
                    pending.append(self.tokens(draw))
                estimates = [estimate for estimate, _charge in pending]
                answer = await self.shared.reserve(
                    self.key,
                    estimates,
                    waiting=QueueLength(waiters=100, tokens=sum(estimates)),
                    policy=QueuePolicy(),
                    limits=Limits(),
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


@pytest.fixture
def drain(shared: SharedBudget, key: BudgetKey, clock: Clock) -> Callable[..., Drain]:
    """A drain with these settings."""

    def make(latency_seconds: float, config: dict[str, object], **options: object) -> Drain:
        return Drain(shared, key, clock, Config().changed(config), latency_seconds, **options)  # type: ignore[arg-type]

    return make


@pytest.mark.parametrize("headers_at_admission", [False, True], ids=["at answer", "at admission"])
@pytest.mark.parametrize("latency_seconds", [0.2, 3.0, 15.0])
@pytest.mark.parametrize("slice_seconds", [1.0, 10.0])
async def test_a_request_limit_is_used_up_without_refusals(
    drain: Callable[..., Drain],
    headers_at_admission: bool,  # noqa: FBT001 - pytest passes by name
    latency_seconds: float,
    slice_seconds: float,
):
    config = {"rpm": 1200, "slice_seconds": slice_seconds}
    run = drain(latency_seconds, config, headers_at_admission=headers_at_admission)

    await run.run(2 * latency_seconds + 40)

    start = 2 * latency_seconds + 15
    assert run.requests_between(start, start + 25) >= 0.97 * 20 * 25
    assert run.refused_per_thousand <= 5


@pytest.mark.parametrize("headers_at_admission", [False, True], ids=["at answer", "at admission"])
@pytest.mark.parametrize("share_charged", [0.5, 1.0, 1.3], ids=["overestimated", "right", "underestimated"])
async def test_a_token_limit_is_used_up_whatever_the_estimate_is_worth(
    drain: Callable[..., Drain],
    headers_at_admission: bool,  # noqa: FBT001 - pytest passes by name
    share_charged: float,
):
    def tokens(draw: random.Random) -> tuple[int, int]:
        estimate = draw.randint(500, 3000)
        return estimate, int(estimate * share_charged)

    config = {"tpm": 1_200_000, "slice_seconds": 5.0}
    run = drain(2.0, config, headers_at_admission=headers_at_admission, tokens=tokens)

    await run.run(80)

    assert run.tokens_between(30, 80) >= 0.96 * 20_000 * 50
    assert run.refused_per_thousand <= 20


@pytest.mark.parametrize("headers_at_admission", [False, True], ids=["at answer", "at admission"])
async def test_moving_limits_and_other_traffic_are_followed(
    drain: Callable[..., Drain],
    headers_at_admission: bool,  # noqa: FBT001 - pytest passes by name
):
    changes = {30.0: {"rpm": 600}, 60.0: {"rpm": 1200}, 90.0: {"foreign_share": 0.3}, 130.0: {"foreign_share": 0.0}}
    config = {"rpm": 1200, "slice_seconds": 5.0}
    run = drain(1.0, config, headers_at_admission=headers_at_admission, changes=changes)

    await run.run(160)

    for start, end, per_second in ((15, 30, 20), (40, 60, 10), (70, 90, 20), (105, 130, 14), (145, 160, 20)):
        used = run.requests_between(start, end) / ((end - start) * per_second)
        assert used >= 0.95, f"{used:.0%} between {start} s and {end} s"
    assert run.refused_per_thousand <= 15


@pytest.mark.parametrize(
    ("latency_seconds", "rpm", "slice_seconds", "used_where_refused_calls_count"),
    [
        (0.5, 1200, 1.0, 0.8),
        (3.0, 1200, 1.0, 0.8),
        (2.0, 1200, 60.0, 0.8),
        (15.0, 3000, 1.0, 0.75),
        (0.5, 30, 10.0, 0.4),
    ],
)
@pytest.mark.parametrize("charge_refused", [True, False], ids=["refused calls count", "they do not"])
async def test_a_limit_that_only_refusals_tell_is_found_and_used(  # noqa: PLR0917 - pytest passes by name
    drain: Callable[..., Drain],
    latency_seconds: float,
    rpm: int,
    slice_seconds: float,
    used_where_refused_calls_count: float,
    charge_refused: bool,  # noqa: FBT001 - pytest passes by name
):
    config = {"rpm": rpm, "slice_seconds": slice_seconds, "charge_refused": charge_refused}
    run = drain(latency_seconds, config, has_headers=False)

    await run.run(160)

    used = run.requests_between(60, 160) / (rpm / 60 * 100)
    assert used >= (used_where_refused_calls_count if charge_refused else 0.85)
    assert len([at for at in run.refused if at >= 60]) <= 20 + 0.1 * rpm / 60 * 100


async def test_a_lone_call_that_was_refused_is_no_pace(drain: Callable[..., Drain], clock: Clock):
    clock.now += 4.8  # near the end of a slot of grants: what came back later finds the count of it gone
    run = drain(0.5, {}, jobs_per_second=0.1, faults=lambda second: second < 15)

    await run.run(40)
    run.jobs_per_second = 50.0
    await run.run(60)

    assert run.requests_between(40, 100) >= 100


async def test_refusals_that_no_limit_explains_cost_seconds(drain: Callable[..., Drain]):
    run = drain(0.5, {}, jobs_per_second=20.0, faults=lambda second: 10 <= second < 14)

    await run.run(60)

    assert run.requests_between(22, 40) >= 0.9 * 20 * 18
    assert run.requests_between(0, 60) >= 0.97 * 20 * 60, "the jobs that waited are made up for"


async def test_a_provider_that_gives_nothing_is_called_ever_less(drain: Callable[..., Drain]):
    run = drain(0.5, {"rpm": 1200, "slice_seconds": 5.0}, changes={20.0: {"foreign_share": 1.0}})

    await run.run(80)

    assert len([at for at in run.refused if 20 <= at < 50]) <= 60
    assert len([at for at in run.refused if 50 <= at < 80]) <= 30


async def test_after_a_collapse_the_pace_comes_back_with_the_budget(drain: Callable[..., Drain]):
    changes = {20.0: {"foreign_share": 1.0}, 40.0: {"foreign_share": 0.0}}
    run = drain(0.5, {"rpm": 1200, "slice_seconds": 5.0}, changes=changes)

    await run.run(80)

    assert run.requests_between(55, 80) >= 0.95 * 20 * 25
