"""What follows an attempt: one pure function over its ending, the counters and the job's parameters.

Waiting is not retrying: a throttled request and a parked account spend no attempt. Attempts are bounded by
max_retries + 1; a repair is an attempt of its own and does not need one of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.completion.attempt import Repair
from workers.completion.classify import Blocked, Throttled, Transient
from workers.contract.outcome import AccountState, Failure, FailureKind, Success

if TYPE_CHECKING:
    from workers.completion.classify import Ending
    from workers.contract.job import JobParameters
    from workers.contract.outcome import Outcome

LONGEST_BACKOFF_SECONDS = 60.0
"""An exponential wait stops growing here."""
UNNAMED_WAIT_SECONDS = 1.0
"""Before a refused job comes back when the server named no wait; it stands in line then like everybody."""
SHORTEST_SPREAD_SECONDS = 0.5
LONGEST_SPREAD_SECONDS = 10.0
SPREAD_OF_WAIT = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Where a job's round stands, the attempt just ended included."""

    attempts_spent: int
    """Answered or failed requests to the present model, those of earlier claims included; repairs excluded."""
    repairs: int
    on_fallback: bool
    seconds_to_deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The round is over."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Another attempt of this claim after a wait in place."""

    after_seconds: float
    repair: Repair | None = None
    fall_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Give the claim back and come again later; no attempt was spent.

    The wait is `after_seconds` and a random part of `spread_seconds`, so that those refused together do not come back
    in one instant. How often the provider is called is not decided here: who comes back reserves like everybody, and
    the refusal has made all workers wait already.
    """

    after_seconds: float
    spread_seconds: float


@dataclass(frozen=True, slots=True)
class Park:
    """The account, not the job, is at fault: its jobs wait for the operator."""

    account_state: AccountState
    message: str


Decision = Finish | Retry | Snooze | Park


def decide(ending: Ending, counters: Counters, parameters: JobParameters) -> Decision:
    """The one place that says what follows an attempt."""
    match ending:
        case Success():
            return Finish(ending)
        case Failure():
            return _after_failure(ending, counters, parameters)
        case Blocked():
            return Park(ending.account, ending.message)
        case Throttled():
            return _within_deadline(_snooze(ending), counters)
        case Transient():
            return _after_transient(ending, counters, parameters)


def _after_failure(failure: Failure, counters: Counters, parameters: JobParameters) -> Decision:
    repairable = failure.kind is FailureKind.INVALID_OUTPUT and failure.raw_output is not None
    # a repair that was lost with its claim is forgotten: the attempts bound how often its grade is bought again
    may_repair = parameters.allow_repair and not counters.repairs
    if repairable and may_repair and counters.attempts_spent <= parameters.max_retries + 1:
        return Retry(
            after_seconds=0.0,
            repair=Repair(raw_output=failure.raw_output or "", validation_errors=failure.validation_errors),
        )
    return Finish(failure)


def _after_transient(ending: Transient, counters: Counters, parameters: JobParameters) -> Decision:
    if counters.attempts_spent <= parameters.max_retries:
        backoff = parameters.retry_delay_seconds * 2 ** (counters.attempts_spent - 1)
        wait = ending.wait_seconds if ending.wait_seconds is not None else min(backoff, LONGEST_BACKOFF_SECONDS)
        return _within_deadline(Retry(after_seconds=wait), counters)
    if parameters.fallback_model is not None and not counters.on_fallback:
        return Retry(after_seconds=0.0, fall_back=True)
    message = f"Failed after {counters.attempts_spent} attempts: {ending.message}"
    return Finish(Failure(kind=FailureKind.PROVIDER_UNAVAILABLE, message=message))


def _within_deadline(decision: Retry | Snooze, counters: Counters) -> Decision:
    left = counters.seconds_to_deadline
    if left is not None and decision.after_seconds >= left:
        return Finish(
            Failure(kind=FailureKind.DEADLINE_EXCEEDED, message="the job's deadline passes before the next attempt")
        )
    return decision


def _snooze(ending: Throttled) -> Snooze:
    wait = UNNAMED_WAIT_SECONDS if ending.wait_seconds is None else ending.wait_seconds
    spread = min(max(wait * SPREAD_OF_WAIT, SHORTEST_SPREAD_SECONDS), LONGEST_SPREAD_SECONDS)
    return Snooze(after_seconds=wait, spread_seconds=spread)
