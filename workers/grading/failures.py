"""Failures that a run ends with before or beside its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.outcome import Failure, FailureKind

if TYPE_CHECKING:
    from workers.grading.records import Run


def unknown_schema(message: str) -> Failure:
    """No worker of this version can grade it."""
    return Failure(kind=FailureKind.UNKNOWN_SCHEMA, message=message)


def deadline_exceeded(message: str) -> Failure:
    """Its time is over."""
    return Failure(kind=FailureKind.DEADLINE_EXCEEDED, message=message)


def past_deadline(run: Run) -> Failure | None:
    """The failure of a run whose time was over before it began."""
    left = run.seconds_to_deadline
    return deadline_exceeded("the job's deadline passed while it waited") if left is not None and left <= 0 else None
