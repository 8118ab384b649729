"""What the provider says of a batch or a background response, and how a request in a lane ended: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from workers.completion.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.completion.attempt import Reply
    from workers.completion.classify import Blocked, Ending, Throttled, Transient
    from workers.contract.outcome import Failure

FileId = str


class BatchStatus(StrEnum):
    """*Source*: openai 3.54, types/batch.py. What a server calls otherwise counts as in progress."""

    VALIDATING = "validating"
    FAILED = "failed"
    """Refused as a whole: nothing ran, nothing is billed, there are no output files."""
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        """Nothing changes any more; the files, if any, are whole."""
        return self in _ENDED_BATCH


_ENDED_BATCH = frozenset({BatchStatus.FAILED, BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """A batch as the provider sees it at one moment. Times are seconds since the epoch, provider's clock."""

    batch_id: str
    status: BatchStatus
    input_file_id: FileId | None = None
    output_file_id: FileId | None = None
    """Answered lines, in any order; None where none was answered, or not yet."""
    error_file_id: FileId | None = None
    """Lines without an answer. A cancelled batch may name some lines in neither file."""
    marker: str | None = None
    """Ours, from the metadata."""
    created_at: int | None = None
    expires_at: int | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    """Lines; the three are 0 while the file is being validated."""
    refusal: Failure | Throttled | Transient | Blocked | None = None
    """Why it `failed`: `Throttled` where the model's queue of enqueued tokens is full and empties by itself."""
    refused_lines: tuple[int, ...] = ()
    """Numbers, from 1, of the input file's lines that the refusal names."""

    @property
    def has_ended(self) -> bool:
        """As `BatchStatus.has_ended`."""
        return self.status.has_ended


class BackgroundStatus(StrEnum):
    """*Source*: openai 3.54, types/responses/response_status.py."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INCOMPLETE = "incomplete"

    @property
    def has_ended(self) -> bool:
        """Nothing changes any more."""
        return self not in {BackgroundStatus.QUEUED, BackgroundStatus.IN_PROGRESS}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundState:
    """A background response as the provider sees it at one moment."""

    response_id: str
    status: BackgroundStatus
    body: Mapping[str, Any] = field(repr=False)
    """The response as it came; `ended_background` reads it."""
    request_id: str | None = None
    """Of the HTTP response that brought it."""
    status_code: int = 200

    @property
    def has_ended(self) -> bool:
        """As `BackgroundStatus.has_ended`."""
        return self.status.has_ended


class NotRunReason(StrEnum):
    """Why the provider gave no answer at all."""

    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class NotRun:
    """The provider took the request and did not answer it in time, or before it was cancelled.

    Spends no attempt and costs nothing, unless the reply has a usage.
    """

    reason: NotRunReason
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A request in a lane, ended: as a live one would have, or not run."""

    ending: Ending | NotRun
    reply: Reply

    @property
    def attempt(self) -> Attempt | None:
        """The same as live calls return it; None where the request was not run."""
        return None if isinstance(self.ending, NotRun) else Attempt(self.ending, self.reply)
