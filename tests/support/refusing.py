"""A provider that refuses, what all workers have counted of it, and a grader that works with both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.playing import Playing
from workers.budget.refusals import NOT_SINGLED
from workers.completion.attempt import Attempt, Reply
from workers.completion.classify import Blocked, Throttled, Transient
from workers.contract.outcome import Failure

if TYPE_CHECKING:
    from workers.budget.refusals import Singled
    from workers.completion.attempt import CompletionRequest
    from workers.grading.decide import Park
    from workers.grading.grader import Grader


@dataclass
class Counts:
    """What all workers have counted, as the test says."""

    refusals: int = 0
    suspicions: int = 1
    seconds: float = 0.0
    singled: Singled = NOT_SINGLED
    counted: list[str] = field(default_factory=list)
    alone_counts: list[bool] = field(default_factory=list)
    ends_a_row: bool = False

    async def refused(self, _job_id: str) -> int:
        self.counted.append("refused")
        return self.refusals

    async def refused_jobs(self) -> frozenset[str]:
        return frozenset({"refused before"})

    async def refused_seconds(self) -> float:
        return self.seconds

    async def suspected(self, _job_id: str) -> int:
        return self.suspicions

    async def singled_out(self, _model: str, _job_id: str, *, alone_counts: bool) -> Singled:
        self.alone_counts.append(alone_counts)
        return self.singled

    async def answered(self) -> bool:
        self.counted.append("answered")
        return self.ends_a_row


@dataclass
class Refusing(Playing):
    """A provider whose refusals carry a status."""

    status: int | None = 400
    received: bool = True

    async def complete(self, request: CompletionRequest) -> Attempt:
        attempt = await super().complete(request)
        if not isinstance(attempt.ending, Failure | Throttled | Blocked | Transient):
            return attempt
        return Attempt(attempt.ending, Reply(parameters_sent={}, received=self.received, status_code=self.status))


@dataclass
class Scene:
    grader: Grader
    playing: Refusing
    counts: Counts
    parked: list[Park]
    resumed: list[str]
