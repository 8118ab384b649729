"""What travels through the broker: a job id and a version, nothing of the student's.

Part of the contract. The claim check: who receives a message fetches the prompt from the store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workers.contract.errors import InvalidInput

TASK_NAME = "gradequeue.grade"
WIRE_VERSION = 1
"""Raised when the message changes in a way an older worker cannot read; such a worker puts it back."""

_NOT_IN_A_QUEUE_NAME = re.compile(r"[^a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class JobMessage:
    """The whole content of one message."""

    job_id: str
    version: int = WIRE_VERSION

    def as_args(self) -> tuple[str, int]:
        """Positional arguments of the Celery task."""
        return (self.job_id, self.version)


def broker_queue(queue: str, provider: str) -> str:
    """`bulk` and `api.openai.com` give `bulk.api.openai.com`: no worker meets another provider's jobs."""
    cleaned = _NOT_IN_A_QUEUE_NAME.sub("-", provider.lower()).strip("-.")
    if not cleaned:
        raise InvalidInput(f"provider {provider!r} cannot name a queue")
    return f"{queue}.{cleaned}"


def celery_id(job_id: str, publish_number: int) -> str:
    """Unique per publish of ours: Celery drops a revoked id for ever, so one id must never come twice."""
    return f"{job_id}:{publish_number}"
