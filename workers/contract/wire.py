"""What travels through the broker: a job id and a version, nothing of the student's.

Part of the contract. The claim check: who receives a message fetches the prompt from the store.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.job import QueueName

if TYPE_CHECKING:
    from collections.abc import Sequence

TASK_NAME = "gradequeue.grade"
WIRE_VERSION = 1
"""Raised when the message changes in a way an older worker cannot read; such a worker puts it back."""

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_A_QUEUE_NAME = re.compile(r"[^a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class JobMessage:
    """The whole content of one message."""

    job_id: str
    version: int = WIRE_VERSION

    @classmethod
    def from_args(cls, args: Sequence[object]) -> JobMessage | None:
        """What a message's arguments say, None when no producer of ours sent them."""
        match args:
            case [str(job_id), int(version)] if version >= 1 and not isinstance(version, bool):
                return cls(job_id, version) if _JOB_ID.fullmatch(job_id) else None
            case _:
                return None

    def as_args(self) -> tuple[str, int]:
        """Positional arguments of the Celery task."""
        return (self.job_id, self.version)


def broker_queue(queue: str, provider: str, store_id: str) -> str:
    """`bulk`, `api.openai.com` and `9f3c01ab77de` give `bulk.api.openai.com.9f3c01ab77de`.

    No two providers ever share a queue, nor do two stores that use one broker. A port or a path cannot be part of the
    name as it is: what is cleaned gets a digest, so that it stays the only one.
    """
    cleaned = _NOT_IN_A_QUEUE_NAME.sub("-", provider.lower()).strip("-.")
    if not cleaned:
        raise InvalidInput(f"provider {provider!r} cannot name a queue")
    if cleaned == provider:
        return f"{queue}.{cleaned}.{store_id}"
    return f"{queue}.{cleaned}-{hashlib.sha256(provider.encode()).hexdigest()[:8]}.{store_id}"


def broker_queues(account: str, store_id: str) -> list[str]:
    """The broker queues of one account, one for each queue that a batch may name."""
    return [broker_queue(name, account, store_id) for name in QueueName]


def celery_id(job_id: str, publish_number: int) -> str:
    """Unique per publish of ours: Celery drops a revoked id for ever, so one id must never come twice."""
    return f"{job_id}:{publish_number}"
