"""The graders of one worker process, one for each account that it serves; a job goes to that of its batch's account.

Each has its account's client, budget and health, so that a parked or slow account holds up no job of another: what they
share is the writer, the slots of the process, and the entrance of a job that has to run alone in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.grading.claiming import claimed
from workers.store.claims import ClaimedJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.grading.grader import Grader, RunEnding
    from workers.store.pauses import Paused
    from workers.store.writer import Writer


class AccountGraders:
    """Runs jobs of several accounts on one event loop; each method belongs to that loop."""

    def __init__(self, graders: Mapping[str, Grader], writer: Writer, *, longest_countdown_seconds: float) -> None:
        """`graders` by account; `writer` claims no job of another account."""
        self._graders = graders
        self._writer = writer
        self._longest_countdown_seconds = longest_countdown_seconds

    @property
    def held(self) -> set[str]:
        """Ids of the jobs that this process has claimed and neither finished nor released."""
        return set().union(*(grader.held for grader in self._graders.values()))

    def cancel(self, job_id: str) -> None:
        """See `Grader.cancel`."""
        for grader in self._graders.values():
            grader.cancel(job_id)

    def drain(self) -> None:
        """See `Grader.drain`."""
        for grader in self._graders.values():
            grader.drain()

    def evict_paused(self, paused: Paused) -> None:
        """See `Grader.evict_paused`."""
        for grader in self._graders.values():
            grader.evict_paused(paused)

    async def refuse(self, job_id: str, reason: str) -> None:
        """End a job whose message no worker of this version can read."""
        await self._writer.refuse(job_id, reason)

    async def run(self, job_id: str) -> RunEnding:
        """Take one message's job to its end; raises as `Grader.run` does."""
        job = await claimed(self._writer, job_id, longest_countdown_seconds=self._longest_countdown_seconds)
        return await self._graders[job.account].grade(job) if isinstance(job, ClaimedJob) else job
