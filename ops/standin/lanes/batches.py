"""The life of one batch, as a function of time: nothing runs, every question is answered for the moment it is asked.

    validating -> in_progress -> finalizing -> completed | expired
    validating -> failed                                              something is wrong with the file as a whole
    ... -> cancelling -> cancelled                                    what was answered until then is kept

Times are seconds on the server's clock. *Source*: openai 3.54, types/batch.py; OpenAI, "Batch API".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

    from ops.standin.lanes.batch_input import BatchInput, InputError, InputLine

_VALIDATING_SHARE = 0.05
_FINALIZING_SHARE = 0.05
_HAIR_SECONDS = 1e-6
ENDED = ("failed", "completed", "expired", "cancelled")


@dataclass(slots=True)
class BatchLine:
    """One request: when its turn comes, and what became of it."""

    input: InputLine
    due_at: float
    """Infinite where it never runs."""
    is_missing: bool = False
    """Stands in neither file."""
    written: dict[str, Any] | None = None
    """Its line in one of the two files."""
    has_failed: bool = False


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch of one account."""

    batch_id: str
    account: str
    endpoint: str
    input_file_id: str
    metadata: dict[str, str] | None
    model: str | None
    limit_name: str | None
    prompt_tokens: int
    created_at: float
    validated_at: float
    ends_at: float
    """Where nobody cancels it; at the latest the end of its window."""
    expires_at: float
    errors: tuple[InputError, ...] = ()
    lines: list[BatchLine] = field(default_factory=list)
    """In the order of their turns."""
    cancelled_at: float | None = None
    cancel_ends_at: float = math.inf
    output_file_id: str | None = None
    error_file_id: str | None = None
    is_closed: bool = False
    """Its files are written."""

    def status(self, now: float) -> str:
        """As the API names it."""
        if self.cancelled_at is not None:
            return "cancelled" if now >= self.cancel_ends_at else "cancelling"
        if now < self.validated_at:
            return "validating"
        if self.errors:
            return "failed"
        if now >= self.ends_at:
            return "expired" if self.has_expired else "completed"
        return "in_progress" if now < self.work_ends_at else "finalizing"

    @property
    def has_expired(self) -> bool:
        """Some line was not reached within the window."""
        return any(line.due_at > self.work_ends_at and not line.is_missing for line in self.lines)

    @property
    def work_ends_at(self) -> float:
        """When the last answer that counts is made."""
        return self.ends_at - (self.ends_at - self.validated_at) * _FINALIZING_SHARE

    def due(self, now: float) -> list[BatchLine]:
        """The lines whose turn has come, and that are not answered yet."""
        if self.errors or self.is_closed:
            return []
        until = min(now, self.work_ends_at, math.inf if self.cancelled_at is None else self.cancelled_at)
        return [line for line in self.lines if line.written is None and line.due_at <= until]

    def holds_queue(self, now: float) -> bool:
        """Whether its tokens count as enqueued."""
        return not self.errors and self.status(now) not in ENDED

    def as_json(self, now: float, *, epoch: float) -> dict[str, Any]:
        """As the API shows it; `epoch` added to a time of this clock gives seconds since 1970."""
        status = self.status(now)
        completed = sum(line.written is not None and not line.has_failed for line in self.lines)
        failed = sum(line.has_failed for line in self.lines)
        has_counts = status not in {"validating", "failed"}
        has_ended = status in ENDED

        def shown(at: float | None, *, is_past: bool = True) -> int | None:
            return None if at is None or not is_past or at > now else int(at + epoch)

        return {
            "id": self.batch_id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": self._errors_json() if status == "failed" else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": status,
            "output_file_id": self.output_file_id if has_ended else None,
            "error_file_id": self.error_file_id if has_ended else None,
            "created_at": int(self.created_at + epoch),
            "in_progress_at": shown(self.validated_at, is_past=not self.errors),
            "expires_at": int(self.expires_at + epoch),
            "finalizing_at": shown(self.work_ends_at, is_past=status in {"finalizing", "completed", "expired"}),
            "completed_at": shown(self.ends_at, is_past=status == "completed"),
            "failed_at": shown(self.validated_at, is_past=status == "failed"),
            "expired_at": shown(self.ends_at, is_past=status == "expired"),
            "cancelling_at": shown(self.cancelled_at),
            "cancelled_at": shown(self.cancel_ends_at, is_past=status == "cancelled"),
            "request_counts": {
                "total": len(self.lines) if has_counts else 0,
                "completed": completed if has_counts else 0,
                "failed": failed if has_counts else 0,
            },
            "metadata": self.metadata,
        }

    def _errors_json(self) -> dict[str, Any]:
        return {"object": "list", "data": [error.as_json() for error in self.errors]}


def plan(batch: Batch, read: BatchInput, *, takes_seconds: float, window_seconds: float, random: Random) -> None:
    """Give a batch its times: its lines' turns come evenly over its working time, in a random order."""
    batch.expires_at = batch.created_at + window_seconds
    batch.validated_at = batch.created_at + min(takes_seconds, window_seconds) * _VALIDATING_SHARE
    batch.ends_at = batch.created_at + min(takes_seconds, window_seconds)
    if batch.errors:
        return
    # beyond the window the work would go on, and its lines' turns come too late
    work_seconds = takes_seconds * (1 - _VALIDATING_SHARE) * (1 - _FINALIZING_SHARE)
    order = list(read.lines)
    random.shuffle(order)
    batch.lines = [BatchLine(each, _turn(batch, work_seconds, n / len(order))) for n, each in enumerate(order, 1)]


def _turn(batch: Batch, work_seconds: float, share: float) -> float:
    """When so much of the work is done; sums of shares may miss the end by a hair."""
    at = batch.validated_at + (work_seconds * share if work_seconds else 0.0)
    return min(at, batch.work_ends_at) if at - batch.work_ends_at < _HAIR_SECONDS else at
