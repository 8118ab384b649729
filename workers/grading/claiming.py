"""From a message to a claimed job: one that came early waits, and nobody gets what another worker holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from workers.grading.records import Dropped, Snoozed
from workers.store.claims import ClaimedJob, NotDue

if TYPE_CHECKING:
    from workers.store.writer import Writer

LONGEST_EARLY_SECONDS = 10.0
"""A message that comes so early waits in place: hosts' clocks differ, and a countdown ends by one of them."""


async def claimed(writer: Writer, job_id: str, *, longest_countdown_seconds: float) -> ClaimedJob | Snoozed | Dropped:
    """The job, claimed for this worker; else how its message ends."""
    job = await writer.claim(job_id)
    if isinstance(job, NotDue):
        if job.after_seconds > LONGEST_EARLY_SECONDS:
            return Snoozed(job.after_seconds, message_follows=job.after_seconds <= longest_countdown_seconds)
        await asyncio.sleep(job.after_seconds)
        job = await writer.claim(job_id)
    return job if isinstance(job, ClaimedJob) else Dropped()
