"""The budget and the provider of a grader, played."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.budget.records import BudgetKey, Grant, NotGranted, RateSample
from workers.completion.attempt import Attempt, CompletionRequest, Reply
from workers.completion.transport.response_note import RateLimits
from workers.contract.errors import ServiceUnavailable
from workers.contract.model_profile import ModelProfile
from workers.contract.outcome import Success, Usage
from workers.contract.registry import builtin_registry
from workers.grading.grader import Grader
from workers.grading.health import HealthMonitor
from workers.grading.records import Account, Collaborators, Provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.grading.decide import Park
    from workers.store.writer import Writer

LIMITS = RateLimits(limit_requests=60, remaining_requests=59, reset_requests_seconds=1.0)


@dataclass
class Playing:
    """Budget and provider in one: what they answer, and what they were told, in order."""

    answers: list[Grant | NotGranted] = field(default_factory=list)
    endings: list[object] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    requests: list[CompletionRequest] = field(default_factory=list)
    samples: list[RateSample] = field(default_factory=list)
    heard: list[RateSample] = field(default_factory=list)
    streams_in_vain: bool = False
    learned: list[tuple[bool, bool]] = field(default_factory=list)
    """Of streams: whether they are in vain, and whether that is sure."""
    answers_streams: bool = True
    status_code: int | None = None
    tokens: int = 0
    blocked: asyncio.Event | None = None
    confirms: NotGranted | None = None
    is_draining: bool = False
    on_complete: Callable[[], object] = lambda: None
    on_reserve: Callable[[], object] = lambda: None
    usage: Usage = field(default_factory=lambda: Usage(prompt_tokens=1))
    gates: list[asyncio.Event] = field(default_factory=list)
    """One for each call to come."""
    profile: ModelProfile = field(default_factory=ModelProfile)
    hears_at_once: bool = False
    """The headers come before the gate opens."""
    parked: list[Park] = field(default_factory=list)
    store_is_away: bool = False

    async def reserve(
        self,
        model: str,
        tokens: int,
        *,
        within_seconds: float | None = None,  # noqa: ARG002 - the budget's own shape
        stays: bool = False,
        group: int | None = None,  # noqa: ARG002 - as above
    ) -> Grant | NotGranted:
        self.told.append("reserve")
        self.on_reserve()
        self.tokens = tokens
        if self.is_draining and not stays:
            return NotGranted.EVICTED
        if self.blocked is not None:
            self.blocked.set()
            await asyncio.Event().wait()
        return self.answers.pop(0) if self.answers else grant(model, tokens)

    def stop_waiting(self) -> None:
        self.is_draining = True

    async def confirm(self, grant: Grant, **_options: object) -> Grant | NotGranted:
        self.told.append("confirm")
        return self.confirms or grant

    def settle(self, sample: RateSample) -> None:
        self.told.append("settle")
        self.samples.append(sample)

    def wants_stream(self, grant: Grant, *, is_first: bool = False) -> bool:
        return (grant.is_careful or is_first) and not self.streams_in_vain

    def hear(self, sample: RateSample) -> None:
        self.told.append("hear")
        self.heard.append(sample)

    def learn_streaming(self, *, is_in_vain: bool, is_sure: bool = True) -> None:
        self.streams_in_vain = is_in_vain
        self.learned.append((is_in_vain, is_sure))

    def give_back(self, _grant: Grant) -> None:
        self.told.append("give_back")

    async def complete(self, request: CompletionRequest) -> Attempt:
        self.told.append("complete")
        self.requests.append(request)
        self.on_complete()
        if request.on_limits is not None and self.hears_at_once:
            request.on_limits(LIMITS)
        if self.gates:
            await self.gates.pop(0).wait()
        ending = self.endings.pop(0) if self.endings else Success(request.schema_model.model_construct())
        if isinstance(ending, Exception):
            raise ending
        if request.on_limits is not None and isinstance(ending, Success) and not self.hears_at_once:
            request.on_limits(LIMITS)
        is_streamed = request.is_streamed and self.answers_streams
        reply = Reply(
            parameters_sent={},
            usage=self.usage,
            rate_limits=LIMITS,
            is_streamed=is_streamed,
            received=True,
            status_code=self.status_code,
        )
        return Attempt(ending, reply)  # type: ignore[arg-type]

    async def park(self, park: Park) -> None:
        if self.store_is_away:
            raise ServiceUnavailable("store", "away")
        self.parked.append(park)

    async def resume(self) -> None:
        self.told.append("resume")

    def grader(self, writer: Writer, health: HealthMonitor | None = None) -> Grader:
        provider = Provider(
            complete=self.complete,
            profile_of=lambda _model: self.profile,
            call_timeout_seconds=5.0,
            health=health or HealthMonitor(),
        )
        collaborators = Collaborators(
            writer=writer,
            budget=self,  # type: ignore[arg-type]  # a played one
            registry=builtin_registry(),
            provider=provider,
            account=Account(park=self.park, resume=self.resume),
        )
        return Grader(collaborators, worker_id="w1", longest_countdown_seconds=120.0, draw=lambda: 0.5)


def grant(model: str, tokens: int, *, is_careful: bool = False) -> Grant:
    key = BudgetKey("p", model)
    return Grant(
        key=key,
        tokens=tokens,
        delay_seconds=0.0,
        starts_at=0.0,
        requests_base=None,
        tokens_base=None,
        is_careful=is_careful,
    )
