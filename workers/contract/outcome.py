"""What became of a job: one outcome per round, and the record of each attempt that led there.

Part of the contract: producers and workers both import it, it imports nothing of ours.
An outcome is what the model validly said, or a typed failure; a value is never invented.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel


class FailureKind(StrEnum):
    """Why a job has no result. Closed and stable: names stored today are read for years."""

    REFUSED = "refused"
    TRUNCATED = "truncated"
    CONTENT_FILTERED = "content_filtered"
    INVALID_OUTPUT = "invalid_output"
    CONTEXT_TOO_LONG = "context_too_long"
    REJECTED_REQUEST = "rejected_request"
    UNKNOWN_SCHEMA = "unknown_schema"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    NOT_GRADED = "not_graded"

    @property
    def advice(self) -> str:
        """One sentence for the person who reads the failure: what to do about it."""
        return _ADVICE[self]


_ADVICE: Mapping[FailureKind, str] = {
    FailureKind.REFUSED: "The model declined this text; retry with another --model, or read it and grade it by hand.",
    FailureKind.TRUNCATED: "The answer was cut off; retry with more --max-tokens, or a larger --model if it was full.",
    FailureKind.CONTENT_FILTERED: "The provider's filter withheld the answer; grade this submission by hand.",
    FailureKind.INVALID_OUTPUT: "The answer did not fit the schema; retry with --allow-repair, or simplify the schema.",
    FailureKind.CONTEXT_TOO_LONG: "Prompt and answer exceed the model's context; retry with a larger --model.",
    FailureKind.REJECTED_REQUEST: "The provider refused the request itself; retry with another --model.",
    FailureKind.UNKNOWN_SCHEMA: "The worker does not have this schema in this version; deploy it there and retry.",
    FailureKind.PROVIDER_UNAVAILABLE: "The provider kept failing; retry these jobs later.",
    FailureKind.DEADLINE_EXCEEDED: "The job's deadline passed before an answer came; retry with a later --deadline.",
    FailureKind.CANCELLED: "The job was cancelled; retry it if it is wanted after all.",
    FailureKind.NOT_GRADED: "There was nothing that a model could read; grade it by hand, or hand in a readable file.",
    FailureKind.INTERNAL: "gradequeue itself failed on this job; look into the worker's log, then retry.",
}


class JobState(StrEnum):
    """What the store keeps of a job. `deferred` and `parked` are derived, not kept.

    `ready` -> `running` by a claim; `running` -> `ready` by a release or the sweeper, -> `succeeded` or `failed` by its
    outcome; `failed` -> `ready` opens the next round. `following` -> `succeeded` or `failed` with the job whose work is
    the same.
    """

    READY = "ready"
    RUNNING = "running"
    FOLLOWING = "following"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


UNFINISHED_STATES = (JobState.READY, JobState.RUNNING)
"""Of jobs that are graded themselves; `following` ends with its leader."""
ENDED_STATES = (JobState.SUCCEEDED, JobState.FAILED)


class AccountState(StrEnum):
    """Answers about the account, not the job: they park its jobs, and fail none."""

    QUOTA_EXHAUSTED = "quota_exhausted"
    AUTH_FAILED = "auth_failed"
    REFUSING = "refusing"
    """So many refusals in a row that the account must be their cause, whatever each of them said."""

    @property
    def advice(self) -> str:
        """One sentence for the operator."""
        return _ACCOUNT_ADVICE[self]


_ACCOUNT_ADVICE: Mapping[AccountState, str] = {
    AccountState.QUOTA_EXHAUSTED: "The account's credit or limit is used up; raise it, then run: gradequeue resume",
    AccountState.AUTH_FAILED: "The provider refused the API key; correct OPENAI_API_KEY, then run: gradequeue resume",
    AccountState.REFUSING: "The provider refuses every request; remove the cause, then run: gradequeue resume",
}


class AttemptEnding(StrEnum):
    """How one request to the provider ended, as the ledger keeps it.

    `answered`, `failed` and `timed_out` count against max_retries; `not_sent`, `throttled` and `unavailable` (the
    provider did not answer anybody, or rejected a stream) cost nothing. `unknown` means that the worker died with the
    request in flight: it may have been billed, and so may one that timed out.
    """

    NOT_SENT = "not_sent"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    ANSWERED = "answered"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one or more answers, as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Part of prompt_tokens that was served from the provider's cache."""
    cache_write_tokens: int = 0
    """Part of prompt_tokens, beside the cached ones, that was written into the provider's cache."""
    reasoning_tokens: int = 0
    """Part of completion_tokens that the model spent thinking."""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Success:
    """The model's answer, validated by the job's schema."""

    value: BaseModel = field(repr=False)
    text: str | None = field(default=None, repr=False, compare=False)
    """The value as JSON, where that was written beforehand: see `as_json_text`."""

    def written(self) -> Success:
        """The same with its JSON. The schema's own code (computed fields, serializers) runs here and nowhere after.

        Whatever that code raises passes through; ValueError for NaN and Infinity.
        """
        return replace(self, text=self.as_json_text())

    def as_json_text(self) -> str:
        """One line, the computed fields in it."""
        if self.text is not None:
            return self.text
        content = self.value.model_dump(mode="json")
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A typed failure. `message` is safe to show and to log; the other fields hold model output and are not."""

    kind: FailureKind
    message: str
    raw_output: str | None = field(default=None, repr=False)
    validation_errors: tuple[Mapping[str, object], ...] = field(default=(), repr=False)
    refusal: str | None = field(default=None, repr=False)
    could_be_account: bool = False
    """The provider refused without saying that this request is to blame: a row of such failures, with no success
    between them, is the account's trouble. For the deciding worker alone; no outcome is stored with it."""


Outcome = Success | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One request to the provider, from the ledger. Times are seconds since the epoch, database clock."""

    attempt_id: str
    job_id: str
    round: int
    claim: int
    worker_id: str
    ending: AttemptEnding | None
    """None while the request is in flight."""
    model: str
    model_answered: str | None
    opened_at: float
    closed_at: float | None
    request_id: str | None
    usage: Usage
    cost_usd: float | None
    """None when the model's price is unknown, never 0 for that reason."""
