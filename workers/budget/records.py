"""What a reservation asks for, what it gets, and what an answer teaches. Frozen; seconds and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence


CROWDED_SECONDS = 5.0
"""Where models share slots, a waiter may stand in one for so long; its model's other jobs wait in the store."""


@dataclass(frozen=True, slots=True, order=True)
class BudgetKey:
    """One quota of the provider."""

    account: str
    model: str

    @property
    def tag(self) -> str:
        """The key as part of a Redis key: in braces, so that a cluster keeps what belongs together."""
        return f"{{{quote(self.account, safe='')}/{quote(self.model, safe='')}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How the waiters of one queue ask.

    `held_back_share` is the part of the bucket that this queue leaves to others; it is 0 until the interactive queue
    gets a share of its own.
    """

    ahead_seconds: float = 0.5
    """Grants reach so far ahead, at most 2 s: further ahead, a limit that falls is noticed too late."""
    held_back_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Requests and tokens a minute as they are known before the first answer; None is not known."""

    requests: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One call may be made, `delay_seconds` after the answer."""

    key: BudgetKey
    tokens: int
    delay_seconds: float
    starts_at: float
    """When the call should go out, on the loop's clock."""
    requests_base: float | None
    tokens_base: float | None
    """Levels right after this grant's charge, as the script counts them; handed back with the answer's headers.
    None while no limit was known."""


class NotGranted(Enum):
    """Why a waiter left the line without a grant."""

    DEADLINE = "deadline"
    """Its time was over."""
    CROWDED_OUT = "crowded out"
    """It would wait for long, and other models have work for its slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketReading:
    """One bucket as a response's headers show it. `reset_seconds` is the time until the bucket is full."""

    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


UNREAD = BucketReading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one ended call says about the budget."""

    grant: Grant
    answered: bool
    """The provider took the call; neither a refusal nor a connection that failed."""
    refused: bool = False
    refused_wait_seconds: float | None = None
    requests: BucketReading = UNREAD
    tokens: BucketReading = UNREAD

    @property
    def has_headers(self) -> bool:
        """True when there is something to learn about a limit."""
        return self.requests.limit is not None or self.tokens.limit is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineLength:
    """What stands in one process's line."""

    waiters: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveAnswer:
    """The script's answer to one line."""

    grants: Sequence[Grant] = field(default=())
    wait_seconds: float
    """Until it is worth asking again, when not everybody got a grant."""
    is_probing: bool
    sheds: bool
    """Other models have work: who would wait for long should give up the slot."""
    seconds_per_request: float
    seconds_per_token: float
    """0 where there is no limit."""


@dataclass(slots=True, kw_only=True)
class Settlements:
    """What one process has learned since it last told; the newest headers stand for all."""

    answered: int = 0
    refusals: int = 0
    refused_wait_seconds: float | None = None
    returned_requests: int = 0
    returned_tokens: int = 0
    newest: Lesson | None = None

    def add(self, lesson: Lesson) -> None:
        """Take one call's lesson in."""
        self.answered += lesson.answered
        self.refusals += lesson.refused
        if lesson.refused_wait_seconds is not None:
            self.refused_wait_seconds = max(self.refused_wait_seconds or 0.0, lesson.refused_wait_seconds)
        if lesson.has_headers:
            self.newest = lesson

    def give_back(self, grant: Grant) -> None:
        """Take back what was never sent."""
        self.returned_requests += 1
        self.returned_tokens += grant.tokens
