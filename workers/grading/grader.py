"""The use case: one job, from its claim to its outcome. Knows the store's writer and the core; no Celery, no broker.

    claim -> resolve the schema
          -> [ reserve -> open the ledger row -> confirm -> send -> decide -> store ]... -> outcome

A run ends finished (an outcome is stored), snoozed (nothing spent, come again later), or dropped (the message was for
a job that is finished, claimed by another, or parked). The caller acks only after it returned.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from workers.budget.charge import charge_tokens
from workers.budget.records import NotGranted
from workers.contract.errors import GradequeueError, ServiceUnavailable
from workers.contract.outcome import AttemptEnding, Failure, FailureKind, Success
from workers.grading.attempt import ClaimLost, GateClosed, NoRoom, Reserved, StartPaused, ledger_row
from workers.grading.cap_waiters import Room
from workers.grading.claiming import claimed
from workers.grading.decide import Hold, Park, Snooze
from workers.grading.failures import deadline_exceeded, past_deadline
from workers.grading.following import ending_of, follow, schema_of
from workers.grading.inspection import without_passages
from workers.grading.records import Again, Dropped, Finished, Run, RunEnding, Snoozed
from workers.grading.running_alone import Entrance, StillBusyError
from workers.grading.warmth import Warmth
from workers.log import get_logger, log_frames
from workers.store.claims import ClaimedJob
from workers.store.writer import JobUpdate, NotStored

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from workers.contract.outcome import Outcome
    from workers.grading.attempt import Ended
    from workers.grading.records import Collaborators
    from workers.store.ledger import AttemptClosing, JobEnding
    from workers.store.pauses import Paused

__all__ = ["Dropped", "Finished", "Grader", "RunEnding", "Snoozed"]

logger = get_logger(__name__)

PARK_AGAIN_SECONDS = 5.0
"""For a job whose account could not be parked because the store was away."""
LONGEST_REPAIR_SECONDS = 5.0
"""For the repair of a paid answer while the worker stops; after it, the job goes back, and its answer is kept."""
PAUSED_AGAIN_SECONDS = 1.0
"""Between two looks of a job that has to wait in place while what it asks next is paused."""
ALONE_AGAIN_SECONDS = 30.0
"""For a job that has to run alone and did not find its process empty in time."""


class Grader:
    """Runs jobs on one event loop. Many at once; each method belongs to that loop."""

    def __init__(
        self,
        collaborators: Collaborators,
        *,
        worker_id: str,
        longest_countdown_seconds: float,
        entrance: Entrance | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`entrance`: shared by the graders of one process, for a job that has to run alone in it."""
        self.collaborators = collaborators
        self._writer = collaborators.writer
        self._budget = collaborators.budget
        self._worker_id = worker_id
        self._longest_countdown_seconds = longest_countdown_seconds
        self._entrance = entrance or entrance_of(collaborators.provider.call_timeout_seconds)
        self._room = Room()
        self._warmth = Warmth(collaborators.warm_parts)
        self._draw = draw
        self._runs: dict[str, Run] = {}
        self._draining = asyncio.Event()

    @property
    def held(self) -> set[str]:
        """Ids of the jobs that this process has claimed and neither finished nor released."""
        return set(self._runs)

    def cancel(self, job_id: str) -> None:
        """Stop a running job on its owner's wish; it ends `cancelled`, and its HTTP request is closed."""
        run = self._runs.get(job_id)
        if run is not None and run.task is not None:
            run.is_cancelled = True
            run.task.cancel()

    def drain(self) -> None:
        """The worker stops: requests in flight are finished and stored, no other is sent, jobs go back."""
        self._draining.set()
        self._budget.stop_waiting()
        self._room.wake_all()
        self._warmth.stop_waiting()
        asyncio.get_running_loop().call_later(LONGEST_REPAIR_SECONDS, lambda: self._budget.stop_waiting(everyone=True))

    def evict_paused(self, paused: Paused) -> None:
        """Give back the jobs that wait for the budget of what is paused, so that their slots serve others."""
        self._budget.evict(paused.holds)

    async def run(self, job_id: str) -> RunEnding:
        """Take one message's job to its end.

        Raises `CancelledError` after the claim was given back, and `NotStored` when the worker had to stop while the
        store was away: the message must not be acked then.
        """
        job = await claimed(self._writer, job_id, longest_countdown_seconds=self._longest_countdown_seconds)
        return await self.grade(job) if isinstance(job, ClaimedJob) else job

    async def grade(self, job: ClaimedJob) -> RunEnding:
        """Take a job that this worker has claimed to its end; raises as `run` does."""
        run = self._runs[job.id] = Run.of(job)
        run.task = asyncio.current_task()
        try:
            return await self._enter(run)
        except asyncio.CancelledError:
            return await asyncio.shield(self._after_cancellation(run))
        except NotStored:
            raise
        except ClaimLost:
            logger.warning("job.claim_lost", claim=job.claim)
            return Dropped()
        except Exception as error:  # noqa: BLE001 - the task boundary: whatever it was, the job ends with a record
            return await self._after_bug(run, error)
        finally:
            if self._runs.get(job.id) is run:  # taken for dead, this process may have claimed the job a second time
                del self._runs[job.id]

    async def _enter(self, run: Run) -> RunEnding:
        try:
            async with self._entrance.entered(alone=run.job.runs_alone):
                return await self._grade(run)
        except StillBusyError:
            return await self._snooze(run, ALONE_AGAIN_SECONDS)

    async def _grade(self, run: Run) -> RunEnding:
        """Attempt until something other than another attempt follows."""
        schema_model = schema_of(self.collaborators.registry, run.job)
        if isinstance(schema_model, Failure):
            return await self._finish(run, schema_model)
        if failure := past_deadline(run):
            return await self._finish(run, failure)
        if (kept := run.job.kept) is not None and isinstance(kept.outcome, Success):
            run.ask_without(kept, await without_passages(run.job) or run.job.prompt)
        while True:
            async with self._warmth.entered(run.cached_part(self.collaborators.provider), run.seconds_to_deadline):
                step = await self._attempt(run, schema_model)
            if not isinstance(step, Again):
                return step
            await self._wait_in_place(step.after_seconds)

    async def _attempt(self, run: Run, schema_model: type[BaseModel]) -> RunEnding | Again:
        """Send one request, once budget and spend caps allow it, and store how it ended with what follows."""
        batch_id = run.job.batch_id
        if self._room.is_crowded(batch_id) and not run.has_turn:
            await self._room.wait(batch_id)
        run.has_turn = True
        try:
            return await self._attempt_in_turn(run, schema_model)
        except NoRoom:
            await self._room.wait(batch_id)
            return Again(0.0)
        except GateClosed as closed:
            return await self._after_closed(run, closed)
        finally:
            self._room.wake(batch_id)

    async def _attempt_in_turn(self, run: Run, schema_model: type[BaseModel]) -> RunEnding | Again:
        reserved = await self._reserve(run)
        if isinstance(reserved, NotGranted):
            return await self._after_no_grant(run, reserved)
        most_usd = run.most_usd(schema_model, self.collaborators.provider)
        opened = ledger_row(run, reserved, self.collaborators, worker_id=self._worker_id, most_usd=most_usd)
        async with opened as row:
            run.has_turn = False
            self._room.wake(run.job.batch_id)
            confirmed = await row.confirm(reserved)
            if isinstance(confirmed, NotGranted):
                return await self._after_no_grant(run, confirmed, closing=row.unfinished())
            ended = await row.send(confirmed, schema_model, is_alone=len(self._runs) == 1)
            closing = row.closing(ended)
            if closing.ending is AttemptEnding.ANSWERED:
                self._warmth.answered(run.cached_part(self.collaborators.provider))
            return await self._follow(run, ended, closing)

    async def _reserve(self, run: Run) -> Reserved | NotGranted:
        """Wait for the budget of one request, spending nothing."""
        provider = self.collaborators.provider
        tokens = charge_tokens(
            *run.texts,
            max_tokens=run.max_tokens(provider),
            picture_tokens=run.picture_tokens(provider),
            takes_larger=provider.profile_of(run.model).charges_larger,
        )
        group = None if run.on_fallback or run.job.probes_account else run.job.batch_id
        answer = await self._budget.reserve(
            run.model, tokens, within_seconds=run.seconds_to_deadline, stays=run.is_repairing, group=group
        )
        return answer if isinstance(answer, NotGranted) else Reserved(answer)

    async def _follow(self, run: Run, ended: Ended, closing: AttemptClosing) -> RunEnding | Again:
        """Do what follows an attempt, and store it together with the attempt."""
        followed = await follow(run, ended.attempt, closing.ending, ended.health)
        if followed.ending is not None:
            finished = await self._store_ending(run, followed.ending, closing=closing)
            if run.job.probes_account and closing.ending is AttemptEnding.ANSWERED:
                await self.collaborators.account.resume()
            return finished
        again = followed.again
        match followed.decision:
            case Park() as park:
                return await self._snooze(run, await self._park(park), closing=closing)
            case Snooze() as snooze:
                after_seconds = snooze.after_seconds + self._draw() * snooze.spread_seconds
                if not run.is_repairing or after_seconds > self._longest_countdown_seconds:
                    return await self._snooze(run, after_seconds, closing=closing)
                again = Again(after_seconds)
            case Hold() as hold:
                logger.info("job.held", model=run.model)
                again = Again(hold.after_seconds)
        await self._writer.persist(JobUpdate(closing=closing, kept=followed.kept))
        return again or Again(0.0)

    async def _wait_in_place(self, seconds: float) -> None:
        """End early when the worker stops: the budget then refuses the next reservation, and the job goes back."""
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            return

    async def _park(self, park: Park) -> float | None:
        """None when the store has noted it; else how long this job waits: the next one to be refused parks."""
        try:
            await self.collaborators.account.park(park)
        except ServiceUnavailable as error:
            logger.warning("job.park_not_stored", state=str(park.account_state), reason=str(error))
            return PARK_AGAIN_SECONDS
        return None

    async def _after_no_grant(
        self, run: Run, refused: NotGranted, *, closing: AttemptClosing | None = None
    ) -> RunEnding:
        if refused is NotGranted.DEADLINE:
            message = "the job's deadline passed while it waited for the provider's limit"
            return await self._finish(run, deadline_exceeded(message), closing=closing)
        return await self._give_back(run, closing=closing)

    async def _give_back(self, run: Run, *, closing: AttemptClosing | None = None) -> Snoozed:
        """The feeder brings it back when its model can start more, or its batch is open again."""
        await asyncio.shield(self._writer.persist(JobUpdate(closing=closing, release=run.release())))
        logger.info("job.evicted", model=run.model)
        return Snoozed(0.0, message_follows=False)

    async def _after_closed(self, run: Run, closed: GateClosed) -> RunEnding | Again:
        """A job whose fallback is paused keeps its slot: its own model is not paused, so it would come back at once."""
        if not (run.on_fallback and isinstance(closed, StartPaused)):
            return await self._give_back(run)
        run.wait_paused(PAUSED_AGAIN_SECONDS)
        return Again(PAUSED_AGAIN_SECONDS)

    async def _after_cancellation(self, run: Run) -> RunEnding:
        """The job's owner cancelled it, or the worker stops."""
        if run.is_cancelled:
            return await self._finish(run, Failure(kind=FailureKind.CANCELLED, message="cancelled while it ran"))
        await self._writer.persist(JobUpdate(release=run.release()))
        raise asyncio.CancelledError

    async def _after_bug(self, run: Run, error: Exception) -> RunEnding:
        log_frames(logger, "job.internal", error)
        message = str(error) if isinstance(error, GradequeueError) else f"unexpected {type(error).__name__}"
        return await self._finish(run, Failure(kind=FailureKind.INTERNAL, message=message))

    async def _finish(self, run: Run, outcome: Outcome, *, closing: AttemptClosing | None = None) -> Finished | Dropped:
        return await self._store_ending(run, ending_of(run, outcome), closing=closing)

    async def _store_ending(self, run: Run, ending: JobEnding, *, closing: AttemptClosing | None) -> Finished | Dropped:
        # A paid answer outlives the cancellation of who asked for it.
        accepted = await asyncio.shield(self._writer.persist(JobUpdate(closing=closing, ending=ending)))
        kind = ending.outcome.kind if isinstance(ending.outcome, Failure) else None
        logger.info("job.finished", model=run.model, failure=kind and str(kind), stored=accepted)
        return Finished(kind) if accepted else Dropped()

    async def _snooze(self, run: Run, after_seconds: float | None, *, closing: AttemptClosing | None = None) -> Snoozed:
        """Give the claim back; None leaves it to the store when the job is due again."""
        follows = after_seconds is not None and after_seconds <= self._longest_countdown_seconds
        release = run.release(after_seconds, message_follows=follows)
        await asyncio.shield(self._writer.persist(JobUpdate(closing=closing, release=release)))
        logger.info("job.snoozed", model=run.model, after_seconds=after_seconds)
        return Snoozed(after_seconds or 0.0, message_follows=follows)


def entrance_of(call_timeout_seconds: float) -> Entrance:
    """Patient enough for a call that is under way, and the repair of its answer."""
    return Entrance(patience_seconds=call_timeout_seconds + LONGEST_REPAIR_SECONDS)
