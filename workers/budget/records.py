"""Values of a reservation: what is asked, what is granted, and what a response says. Seconds and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence


EVICT_AFTER_SECONDS = 5.0
"""Where models compete for slots, a job with a longer estimated wait gives its slot up and waits in the store."""


@dataclass(frozen=True, slots=True, order=True)
class BudgetKey:
    """One quota of the provider."""

    account: str
    model: str

    @property
    def tag(self) -> str:
        """The hash tag of its Redis keys: the braces put them on one node of a cluster."""
        return f"{{{quote(self.account, safe='')}/{quote(self.model, safe='')}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How the waiters of one queue are served.

    `held_back_share` is the share of the bucket left to other queues; 0 until the interactive queue gets its own.
    """

    ahead_seconds: float = 0.5
    """Grants may start so far in the future, at most 2 s: further ahead, a falling limit is noticed too late."""
    held_back_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Requests and tokens per minute, known before the first response; None is unknown."""

    requests: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLimits:
    """What a person allows a model, over all workers and whatever the provider allows; None is no limit."""

    requests: int | None = None
    """Per minute, as the tokens."""
    tokens: int | None = None
    in_flight: int | None = None


NO_OWN_LIMITS = OwnLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One call may be sent, `delay_seconds` after the script's answer."""

    key: BudgetKey
    tokens: int
    delay_seconds: float
    starts_at: float
    """When the call should go out, on the loop's clock."""
    requests_base: float | None
    tokens_base: float | None
    """Bucket levels right after this grant's charge, to compare with the response's headers. None: no limit known."""
    is_careful: bool = False
    """Nothing was known of the model's limits: the others wait for this call's headers."""


class NotGranted(Enum):
    """Why a waiter left the queue without a grant."""

    DEADLINE = "deadline"
    """Its deadline passed."""
    EVICTED = "evicted"
    """Its estimated wait is long and other models need the slot, or the worker stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketReading:
    """One bucket in a response's headers. `reset_seconds`: until the bucket is full."""

    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


UNREAD = BucketReading()


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSample:
    """What one ended call says about rate limits."""

    grant: Grant
    answered: bool
    """The provider accepted the call: neither a 429 nor a failed connection."""
    refused: bool = False
    refused_wait_seconds: float | None = None
    latency_seconds: float | None = None
    """From sending to the complete response; None for other endings, because only responses occupy a server."""
    timed_out: bool = False
    away: bool = False
    """An outage of the provider, as far as this process can tell: hold the model."""
    away_wait_seconds: float | None = None
    cause: str = ""
    """Of a hold; safe to show."""
    requests: BucketReading = UNREAD
    tokens: BucketReading = UNREAD

    @property
    def has_headers(self) -> bool:
        """True when a limit was named."""
        return self.requests.limit is not None or self.tokens.limit is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLength:
    """The waiters of one process for one model."""

    waiters: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveAnswer:
    """The answer of reserve.lua to one wait queue."""

    grants: Sequence[Grant] = field(default=())
    wait_seconds: float
    """Until asking again makes sense, if some waiters got no grant."""
    is_probing: bool
    """One call is in flight to find out whether others may follow."""
    is_full: bool = False
    """A server without named limits has as many calls in flight as it can process."""
    evicts: bool
    """Other models have work: evict waiters with a long estimated wait."""
    seconds_per_request: float
    seconds_per_token: float
    """0 without a limit."""


@dataclass(slots=True, kw_only=True)
class PendingUpdates:
    """Updates not yet sent to Redis; only the newest headers are kept."""

    answered: int = 0
    answered_started_at: float = float("-inf")
    """The latest start of an answered call's grant, on the loop's clock."""
    refusals: int = 0
    refused_wait_seconds: float | None = None
    returned_requests: int = 0
    returned_tokens: int = 0
    newest: RateSample | None = None
    ended: int = 0
    """Grants whose call ended or was never sent."""
    latencies: int = 0
    latency_seconds: float = 0.0
    """The sum of them."""
    timed_out: int = 0
    away: int = 0
    away_wait_seconds: float | None = None
    cause: str = ""

    def add(self, sample: RateSample) -> None:
        """Add one call."""
        self.ended += 1
        if sample.answered:
            self.answered += 1
            self.answered_started_at = max(self.answered_started_at, sample.grant.starts_at)
        self.refusals += sample.refused
        self.refused_wait_seconds = _longer(self.refused_wait_seconds, sample.refused_wait_seconds)
        if sample.has_headers:
            self.newest = sample
        if sample.latency_seconds is not None:
            self.latencies += 1
            self.latency_seconds += sample.latency_seconds
        self.timed_out += sample.timed_out
        self.away += sample.away
        self.away_wait_seconds = _longer(self.away_wait_seconds, sample.away_wait_seconds)
        self.cause = sample.cause or self.cause

    def hear(self, sample: RateSample) -> None:
        """Add the headers of a call that has not ended."""
        self.newest = sample

    def give_back(self, grant: Grant) -> None:
        """Add an unused grant."""
        self.ended += 1
        self.returned_requests += 1
        self.returned_tokens += grant.tokens


def _longer(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)
