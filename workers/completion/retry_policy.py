"""Whether a request is sent once more, and when: one policy for `get_structured_completion` and the workers. Pure.

What both share:

    attempts   `max_retries` + 1 requests; the first repair is one more and takes none of them
    backoff    `retry_delay_seconds * 2**n`, up to `longest_backoff_seconds`
    wait       a server's own wait replaces the backoff exactly
    repair     once, of an answer that has text; a request that repairs and fails is retried as that repair
    final      everything that waiting does not change

What differs, because a caller waits where a worker has a store:

    backoff    a caller gets what the function promises, up to a day; a worker's stops growing at a minute, because the
               job occupies a slot meanwhile
    limits     a caller's rate-limited request is retried, and counts; a worker's job is snoozed and spends nothing
    blanks     a caller may ask for an empty answer to be retried; a worker's is final: it was paid for, and would be
               paid for again
    403        a caller gets a suspected `Blocked` at once; a worker's job is retried: other jobs show whose fault it is

`workers.grading.decide` decides what only a worker can do (snooze, hold, park, fall back) and comes here for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.repair import Repair, is_blank, repair_of
from workers.contract.outcome import Failure

if TYPE_CHECKING:
    from workers.completion.classify import Ending

_MAX_DOUBLINGS = 60
"""Beyond it the backoff is far above any bound, and the power no longer fits a float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """What a caller or a job allows."""

    max_retries: int
    retry_delay_seconds: float
    longest_backoff_seconds: float
    may_repair: bool = False
    retries_blank: bool = False
    """An answer without text is retried like a failure of the server, although it is paid for."""
    retries_suspected: bool = False
    """So is an answer about the account that may concern this request alone (`Blocked.is_suspected`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was sent so far, the attempt that just ended included."""

    attempts: int
    """Requests that count against `max_retries`. The first repair does not: see `repairs`."""
    repairs: int = 0
    """Requests that showed the model an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Send the request again after a wait; with `repair`, that is what it shows from now on."""

    after_seconds: float
    repair: Repair | None = None


def retry_of(ending: Ending, spent: Spent, rules: RetryRules) -> Retry | None:
    """Decide on another attempt of the same request; None when this ending is the last."""
    repair = repair_of(ending) if rules.may_repair and not spent.repairs else None
    # should the answer to repair ever be lost, the attempts bound how often it is bought again
    if repair is not None and spent.attempts <= rules.max_retries + 1:
        return Retry(after_seconds=0.0, repair=repair)
    if spent.attempts <= rules.max_retries and _may_pass(ending, rules):
        wait_seconds = ending.wait_seconds if isinstance(ending, Throttled | Transient) else None
        return Retry(after_seconds=_backoff_seconds(spent, rules) if wait_seconds is None else wait_seconds)
    return None


def _may_pass(ending: Ending, rules: RetryRules) -> bool:
    if isinstance(ending, Failure):
        return rules.retries_blank and is_blank(ending)
    if isinstance(ending, Blocked):
        return rules.retries_suspected and ending.is_suspected
    return isinstance(ending, Throttled | Transient)


def _backoff_seconds(spent: Spent, rules: RetryRules) -> float:
    doublings = min(max(0, spent.attempts - 1), _MAX_DOUBLINGS)
    return min(rules.retry_delay_seconds * 2.0**doublings, rules.longest_backoff_seconds)
