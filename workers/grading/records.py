"""What the grader works with: its collaborators, one run of a job, and how a run ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from workers.budget.charge import most_usd
from workers.completion.attempt import CompletionRequest
from workers.completion.prompt_cache import LEAST_CACHED_TOKENS, cache_key
from workers.completion.retry_policy import Spent
from workers.contract.lane import Lane
from workers.contract.model_parameters import output_limit
from workers.contract.pictures import pictures_tokens, visible_text
from workers.grading.decide import Counters
from workers.grading.translate import ATTEMPTS, kept_repair
from workers.store.ledger import Purpose
from workers.store.releases import Release

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from pydantic import BaseModel

    from workers.budget.budget import Budget
    from workers.budget.warm_parts import WarmParts
    from workers.completion.attempt import Attempt
    from workers.completion.repair import Repair
    from workers.completion.retry_policy import Retry
    from workers.contract.job import JobParameters
    from workers.contract.model_profile import ModelProfile
    from workers.contract.outcome import AttemptEnding, FailureKind
    from workers.contract.registry import SchemaRegistry
    from workers.grading.decide import Park
    from workers.grading.health import HealthMonitor
    from workers.store.claims import ClaimedJob
    from workers.store.ledger import JobEnding
    from workers.store.writer import Writer


LEAST_CACHED_CHARACTERS = 2 * LEAST_CACHED_TOKENS
"""Densely written text has two characters a token; what is longer is worth a call in advance, and seldom too short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who answers."""

    complete: Callable[[CompletionRequest], Awaitable[Attempt]]
    profile_of: Callable[[str], ModelProfile]
    """By the model's name."""
    call_timeout_seconds: float
    health: HealthMonitor


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The provider account of this worker, as the store knows it."""

    park: Callable[[Park], Awaitable[None]]
    """Raises `ServiceUnavailable` while the store is away."""
    resume: Callable[[], Awaitable[None]] = _nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """Everything outside the grader that a job needs."""

    writer: Writer
    budget: Budget
    registry: SchemaRegistry
    provider: Provider
    account: Account
    warm_parts: WarmParts | None = None
    """What other processes know of the provider's cache; None when there are none."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An outcome is stored; `failure` is its kind, None for a success."""

    failure: FailureKind | None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The claim was given back; the job is due again after so many seconds."""

    after_seconds: float
    message_follows: bool
    """True when the caller has to send the message that comes after the wait."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """There was nothing to do for this message."""


RunEnding = Finished | Snoozed | Dropped


@dataclass(frozen=True, slots=True)
class Again:
    """The run goes on with another attempt, after a wait in place."""

    after_seconds: float


@dataclass(slots=True)
class Run:
    """One claim of one job: what is asked next, and what has been spent."""

    job: ClaimedJob
    model: str
    attempts: int
    """Requests to `model` that count against max_retries, those of earlier claims of the round included."""
    repairs: int
    """Requests of the round that showed an answer; the first of them is not in `attempts`."""
    on_fallback: bool
    task: asyncio.Task[object] | None = None
    """In which it is asked live."""
    claimed_at: float = field(default_factory=time.monotonic)
    repair: Repair | None = None
    """The paid answer that the next request shows; None asks for the grade itself."""
    has_turn: bool = False
    """It has waited for room under a spend cap, and asks before those that came later."""
    kept: JobEnding | None = None
    """The paid answer that is the grade; what is asked next shows what it owes to passages that address the grader."""
    prompt_without: str | None = field(default=None, repr=False)
    """What is asked then."""
    was_stream_refused: bool = False
    """Its last request was streamed and rejected: the next one shows whether for that."""
    is_cancelled: bool = False
    """Its owner wants it to end; a cancelled task alone means that the worker stops."""

    @classmethod
    def of(cls, job: ClaimedJob) -> Run:
        """Take a job up where its earlier claims of this round left it."""
        grades = job.spent.get(Purpose.GRADE, 0) + job.spent.get(Purpose.REPEAT, 0)
        fallbacks, repairs = job.spent.get(Purpose.FALLBACK, 0), job.spent.get(Purpose.REPAIR, 0)
        retried_repairs = max(0, repairs - 1)  # the first one takes none of the attempts
        fallback_model = job.parameters.fallback_model
        repair = None if fallbacks else kept_repair(job.kept, job.model)
        attempts = grades + (retried_repairs if repair else 0)
        is_untried = repair is not None and not repairs
        if fallback_model is None or not (fallbacks or (attempts > job.parameters.max_retries and not is_untried)):
            return cls(job, job.model, attempts, repairs, on_fallback=False, repair=repair)
        repair = kept_repair(job.kept, fallback_model)
        attempts = fallbacks + (retried_repairs if repair else 0)
        return cls(job, fallback_model, attempts, repairs, on_fallback=True, repair=repair)

    def ask_without(self, kept: JobEnding, prompt: str) -> None:
        """From here on ask for the counterfactual, with a count of attempts of its own."""
        self.kept, self.prompt_without, self.repair = kept, prompt, None
        self.attempts, self.repairs = self.job.spent.get(Purpose.COUNTERFACTUAL, 0), 0

    @property
    def parameters(self) -> JobParameters:
        """The job's; a counterfactual is asked of the model that graded, and its answer is not repaired."""
        if self.kept is None:
            return self.job.parameters
        return replace(self.job.parameters, allow_repair=False, fallback_model=None)

    @property
    def _prompt(self) -> str:
        return self.job.prompt if self.prompt_without is None else self.prompt_without

    def wait_paused(self, seconds: float) -> None:
        """A pause counts towards no deadline that is a span; a moment stays where it is."""
        if self.job.parameters.deadline_at is None:
            self.claimed_at += seconds

    @property
    def seconds_to_deadline(self) -> float | None:
        """None without a deadline; may be negative."""
        left = self.job.seconds_to_deadline
        return None if left is None else left - (time.monotonic() - self.claimed_at)

    @property
    def texts(self) -> tuple[str, ...]:
        """What the next request sends beside schema and pictures."""
        prompt = visible_text(self._prompt, self.job.instructions)
        shown = (self.job.instructions, prompt, self.repair.raw_output if self.repair else None)
        return tuple(text for text in shown if text is not None)

    def picture_tokens(self, provider: Provider) -> int:
        """What the pictures of the next request count."""
        return pictures_tokens(self._prompt, self.job.instructions, provider.profile_of(self.model))

    @property
    def is_repairing(self) -> bool:
        """What it does next completes an answer that is paid for."""
        return self.repair is not None

    @property
    def may_fall_back(self) -> bool:
        """Another model is worth a try before this one is waited for."""
        return self.parameters.fallback_model is not None and not self.on_fallback

    @property
    def purpose(self) -> Purpose:
        """Of the next request."""
        if self.kept is not None:
            return Purpose.COUNTERFACTUAL
        if self.is_repairing:
            return Purpose.REPAIR
        if self.on_fallback:
            return Purpose.FALLBACK
        return Purpose.REPEAT if self.job.parameters.is_repeat else Purpose.GRADE

    @property
    def counters(self) -> Counters:
        """For the decision on what follows."""
        return Counters(
            spent=Spent(attempts=self.attempts, repairs=self.repairs),
            on_fallback=self.on_fallback,
            seconds_to_deadline=self.seconds_to_deadline,
        )

    @property
    def cache_key(self) -> str | None:
        """Equal for jobs of a batch that share their instructions; None without any."""
        instructions = self.job.instructions
        return None if instructions is None else cache_key(self.job.batch_id, instructions)

    def cached_part(self, provider: Provider) -> tuple[str, str] | None:
        """Equal for requests that read one part from the provider's cache; None where nothing will be cached."""
        instructions, profile = self.job.instructions, provider.profile_of(self.model)
        if instructions is None or not profile.takes_cache_key or len(instructions) < LEAST_CACHED_CHARACTERS:
            return None
        return self.model, cache_key(self.job.batch_id, instructions)

    def max_tokens(self, provider: Provider) -> int:
        """The limit of the next answer, reasoning included."""
        parameters = self.job.parameters
        return output_limit(provider.profile_of(self.model), parameters.max_tokens, parameters.effort)

    def most_usd(self, schema_model: type[BaseModel], provider: Provider, lane: Lane = Lane.LIVE) -> float | None:
        """The most that the next request can cost; None where the model has no price."""
        most = most_usd(
            provider.profile_of(self.model),
            *self.texts,
            schema_model=schema_model,
            max_tokens=self.max_tokens(provider),
            picture_tokens=self.picture_tokens(provider),
        )
        return None if most is None else most * lane.price_factor

    def request(self, schema_model: type[BaseModel], provider: Provider) -> CompletionRequest:
        """The next request."""
        job = self.job
        return CompletionRequest(
            prompt=self._prompt,
            instructions=job.instructions,
            cache_key=self.cache_key,
            model=self.model,
            schema_model=schema_model,
            temperature=job.parameters.temperature,
            max_tokens=self.max_tokens(provider),
            effort=job.parameters.effort,
            verbosity=job.parameters.verbosity,
            asks_standard_tier=True,
            timeout_seconds=provider.call_timeout_seconds,
            repair=self.repair,
            profile=provider.profile_of(self.model),
        )

    def release(self, after_seconds: float | None = None, *, message_follows: bool = False) -> Release:
        """How its claim is given back."""
        job = self.job
        return Release(job_id=job.id, claim=job.claim, after_seconds=after_seconds, message_follows=message_follows)

    def count(self, ending: AttemptEnding) -> None:
        """Count a request that ended so, if it counts at all."""
        if ending not in ATTEMPTS:
            return
        if self.is_repairing:
            self.repairs += 1
        if not self.is_repairing or self.repairs > 1:
            self.attempts += 1

    def follow(self, retry: Retry) -> Again:
        """Ask the same model again."""
        self.repair = retry.repair or self.repair
        return Again(retry.after_seconds)

    def fall_back(self, model: str) -> Again:
        """Ask another model, from the start."""
        self.model, self.on_fallback, self.attempts, self.repair = model, True, 0, None
        return Again(0.0)
