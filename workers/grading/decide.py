"""What follows an attempt of a job: one pure function over its ending, the counters and the job's parameters.

Waiting is not retrying: a rate-limited request, a parked account and an outage of the provider spend no attempt.
Whether the same request is sent again is the retry policy's, which the core uses too
(`workers.completion.retry_policy`); what only a worker can do is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.budget.outage import Blame
from workers.budget.refusals import NOT_SINGLED
from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.retry_policy import Retry, RetryRules, Spent, retry_of
from workers.contract.outcome import AccountState, Failure, FailureKind, Success

if TYPE_CHECKING:
    from workers.budget.refusals import Singled
    from workers.completion.classify import Ending
    from workers.contract.job import JobParameters
    from workers.contract.outcome import Outcome

LONGEST_BACKOFF_SECONDS = 60.0
"""An exponential wait stops growing here: the job occupies a slot meanwhile."""
LONGEST_WAIT_IN_PLACE_SECONDS = 60.0
"""A server that asks for more gets the job back later, for the same reason."""
LONGEST_SNOOZE_SECONDS = 900.0
"""The provider is asked again after so long, whatever wait it named: a limit may be raised meanwhile."""
UNNAMED_WAIT_SECONDS = 1.0
"""Before a refused job comes back when the server named no wait; it then waits for the budget like every other."""
SHORTEST_SPREAD_SECONDS = 0.5
LONGEST_SPREAD_SECONDS = 10.0
SPREAD_OF_WAIT = 0.25
JOBS_OF_AN_ALARM = 20
"""Refused one after the other without a success: no list of codes says more."""
JOBS_OF_AN_UNNAMED_LIMIT = 8
"""The same for a 429 that names neither its wait nor a known limit. The jobs are tried one by one, after 1, 2, 4 to 60
seconds: a limit a minute has passed by then."""
SECONDS_OF_AN_ALARM = 600.0
"""The same for rate limits alone, however few the jobs: a limit of minutes lets something through in that time, and
waits of more than a minute that are named do not count."""
JOBS_OF_A_SUSPICION = 2
REFUSALS_OF_ONE_JOB = 10
"""While others of its model were answered: it is the request, and it must not block them for ever."""
REFUSALS_OF_LAST_JOB = 7
SECONDS_OF_LAST_JOB = 60.0
"""While no other is refused, and none is answered because all have ended. Without a named wait it is tried after 1, 2,
4 to 32 seconds: a limit a minute has passed by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Where a job's round is, the attempt just ended included."""

    spent: Spent
    """Requests to the present model, those of earlier claims included."""
    on_fallback: bool
    seconds_to_deadline: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """What other requests of the account show about this ending."""

    blame: Blame = Blame.OWN
    """Of a failure; one that is not the job's own spends no attempt."""
    refused_jobs: int = 0
    """In a row, this one included."""
    is_stream_refused: bool = False
    """It may have been rejected for being streamed: ask again without."""
    refused_seconds: float = 0.0
    """For so long every call was refused for a rate limit, and none answered."""
    refused_before: frozenset[str] = frozenset()
    """The jobs of an alarm: some have failed for what was the account's fault."""
    is_unnamed_limit: bool = False
    """Nothing says that what was refused is a limit that passes."""
    suspected_jobs: int = 0
    """Since the last success, this one included."""
    singled: Singled = NOT_SINGLED
    """Refusals of this job and no other."""

    @property
    def is_alarm(self) -> bool:
        """The account must be the cause."""
        jobs = JOBS_OF_AN_UNNAMED_LIMIT if self.is_unnamed_limit else JOBS_OF_AN_ALARM
        return self.refused_jobs >= jobs or self.refused_seconds >= SECONDS_OF_AN_ALARM

    @property
    def is_requests_fault(self) -> bool:
        """Nothing but this one request can be the cause."""
        seen = self.singled
        is_last = seen.is_last and seen.among_others + seen.alone >= REFUSALS_OF_LAST_JOB
        return seen.among_others >= REFUSALS_OF_ONE_JOB or (is_last and seen.seconds >= SECONDS_OF_LAST_JOB)


HEALTHY = ProviderHealth()


@dataclass(frozen=True, slots=True)
class Finish:
    """The round is over."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class FallBack:
    """Ask the fallback model, at once and from the start."""

    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Give the claim back and come again later; no attempt was spent.

    The wait is `after_seconds` and a random part of `spread_seconds`, so that those refused together do not come back
    in one instant. How often the provider is called is not decided here: a job that comes back reserves like every
    other, and the refusal has made all workers wait already.
    """

    after_seconds: float
    spread_seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait for the budget again, at no cost to the job: the provider is or was away, or rejected a stream.

    The budget may hold the model; then one job at a time probes it.

    `after_seconds` is the wait that the server named, where the model is not held.
    """

    after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Park:
    """The account, not the job, is at fault: its jobs wait for the operator."""

    account_state: AccountState
    message: str
    reopens: frozenset[str] = frozenset()
    """Jobs that failed for it before it was known wait again."""


Decision = Finish | Retry | FallBack | Snooze | Hold | Park


def decide(ending: Ending, counters: Counters, parameters: JobParameters, health: ProviderHealth = HEALTHY) -> Decision:
    """The one place that says what follows an attempt of a job."""
    match ending:
        case Success():
            return Finish(ending)
        case Failure() | Throttled() if health.is_alarm:
            return Park(AccountState.REFUSING, _alarm_message(ending.message, health), health.refused_before)
        case Failure():
            return retry_of(ending, counters.spent, _rules(parameters)) or Finish(ending)
        case Blocked():
            return _after_block(ending, counters, parameters, health)
        case Throttled():
            return _after_limit(ending, counters, health)
        case Transient():
            return _after_transient(ending, counters, parameters, health)


def is_own(blocked: Blocked, health: ProviderHealth) -> bool:
    """Whether an answer about the account is taken for one about this job: no other job has met it."""
    return blocked.is_suspected and health.suspected_jobs < JOBS_OF_A_SUSPICION


def _rules(parameters: JobParameters) -> RetryRules:
    return RetryRules(
        max_retries=parameters.max_retries,
        retry_delay_seconds=parameters.retry_delay_seconds,
        longest_backoff_seconds=LONGEST_BACKOFF_SECONDS,
        may_repair=parameters.allow_repair,
        retries_suspected=True,
    )


def _park_message(blocked: Blocked, health: ProviderHealth) -> str:
    if not blocked.is_suspected:
        return blocked.message
    return f"{blocked.message}; {health.suspected_jobs} jobs got it, and none succeeded: check OPENAI_API_KEY"


def _alarm_message(last: str, health: ProviderHealth) -> str:
    if health.refused_seconds >= SECONDS_OF_AN_ALARM:
        return f"for {health.refused_seconds / 60:.0f} minutes every call was refused; the last: {last}"
    return f"{health.refused_jobs} jobs in a row were refused, and none succeeded; the last: {last}"


def _after_limit(throttled: Throttled, counters: Counters, health: ProviderHealth) -> Decision:
    if not health.is_requests_fault:
        return _within_deadline(_snooze(throttled), counters)
    times = health.singled.among_others + health.singled.alone
    message = f"Refused {times} times while no other request of its model was: {throttled.message}"
    return Finish(Failure(kind=FailureKind.REJECTED_REQUEST, message=message))


def _after_block(blocked: Blocked, counters: Counters, parameters: JobParameters, health: ProviderHealth) -> Decision:
    if not is_own(blocked, health):
        return Park(blocked.account, _park_message(blocked, health))
    retry = retry_of(blocked, counters.spent, _rules(parameters))
    if retry is not None:
        return _within_deadline(retry, counters)
    return Finish(Failure(kind=FailureKind.REJECTED_REQUEST, message=blocked.message))


def _after_transient(
    ending: Transient, counters: Counters, parameters: JobParameters, health: ProviderHealth
) -> Decision:
    if health.blame is Blame.AWAY:
        return Hold()  # of the model, for as long as the server named
    if health.blame is Blame.OVER or health.is_stream_refused:
        return Hold(min(ending.wait_seconds or 0.0, LONGEST_WAIT_IN_PLACE_SECONDS))
    retry = retry_of(ending, counters.spent, _rules(parameters))
    if retry is not None:
        is_short = retry.after_seconds <= LONGEST_WAIT_IN_PLACE_SECONDS
        return _within_deadline(retry if is_short else _snooze(ending), counters)
    if parameters.fallback_model is not None and not counters.on_fallback:
        return FallBack(parameters.fallback_model)
    message = f"Failed after {counters.spent.attempts} attempts: {ending.message}"
    return Finish(Failure(kind=FailureKind.PROVIDER_UNAVAILABLE, message=message))


def _within_deadline(decision: Retry | Snooze, counters: Counters) -> Decision:
    left = counters.seconds_to_deadline
    if left is not None and decision.after_seconds >= left:
        return Finish(
            Failure(kind=FailureKind.DEADLINE_EXCEEDED, message="the job's deadline passes before the next attempt")
        )
    return decision


def _snooze(ending: Throttled | Transient) -> Snooze:
    wait = UNNAMED_WAIT_SECONDS if ending.wait_seconds is None else min(ending.wait_seconds, LONGEST_SNOOZE_SECONDS)
    spread = min(max(wait * SPREAD_OF_WAIT, SHORTEST_SPREAD_SECONDS), LONGEST_SPREAD_SECONDS)
    return Snooze(after_seconds=wait, spread_seconds=spread)
