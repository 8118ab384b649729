"""The use case: one job, from its claim to its outcome. Knows the store's writer and the core; no Celery, no broker.

    claim -> resolve the schema
          -> [ reserve -> open the ledger row -> confirm -> complete -> settle -> decide -> store ]... -> outcome

A run ends finished (an outcome is stored), snoozed (nothing spent, come again later), or dropped (the message was for
a job that is finished, claimed by another, or parked). Whoever calls it acks only after it returned.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers import log_ids
from workers.budget.charge import charge_tokens
from workers.budget.records import UNREAD, BucketReading, Lesson, NotGranted
from workers.completion.attempt import CompletionRequest
from workers.completion.classify import Blocked, Throttled, Transient
from workers.contract.errors import GradequeueError, InvalidInput, ServiceUnavailable
from workers.contract.outcome import AttemptEnding, Failure, FailureKind, Success
from workers.retry_policy import Counters, Finish, Park, Retry, Snooze, decide
from workers.store.claims import NotDue, Release
from workers.store.ids import new_id
from workers.store.ledger import NO_USAGE, AttemptClosing, AttemptOpening, JobEnding, Purpose
from workers.store.writer import NotStored, Settlement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import BaseModel

    from workers.budget.budget import Budget
    from workers.budget.records import Grant
    from workers.completion.attempt import Attempt, Repair, Reply
    from workers.contract.model_profile import ModelProfile
    from workers.contract.outcome import Outcome
    from workers.contract.registry import SchemaRegistry
    from workers.store.claims import ClaimedJob
    from workers.store.writer import Writer

logger = logging.getLogger(__name__)

LONGEST_EARLY_SECONDS = 10.0
"""A message that comes so early waits in place: hosts' clocks differ, and a countdown ends by one of them."""
PARK_AGAIN_SECONDS = 5.0
"""For a job whose account could not be parked because the store was away."""
STANDIN_MARK = "standin"
"""What the stand-in provider puts into `system_fingerprint`; such grades are never real, whatever the base URL."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An outcome is stored; `failure` is its kind, None for a success."""

    failure: FailureKind | None


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The claim was given back; the job is due again after so many seconds."""

    after_seconds: float
    message_follows: bool
    """True when the caller has to send the message that comes after the wait."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """There was nothing to do for this message."""


RunEnding = Finished | Snoozed | Dropped


class _ClaimLost(Exception):  # noqa: N818 - a sweeper's decision, not an error
    """This process was taken for dead, and the job is another's now: to send a request would be to pay twice."""


@dataclass(slots=True)
class _Run:
    """One claim of one job, on its way."""

    job: ClaimedJob
    claimed_at: float
    model: str
    spent: int
    repairs: int
    on_fallback: bool
    task: asyncio.Task[object] | None
    schema_model: type[BaseModel] | None = None
    repair: Repair | None = None
    grant: Grant | None = None
    """Reserved, and its call not yet sent."""
    attempt_id: str | None = None
    is_sent: bool = False
    """The open attempt's request may have reached the provider."""
    cancelled: bool = field(default=False)

    @property
    def seconds_to_deadline(self) -> float | None:
        left = self.job.seconds_to_deadline
        return None if left is None else left - (time.monotonic() - self.claimed_at)

    @property
    def purpose(self) -> Purpose:
        if self.repair is not None:
            return Purpose.REPAIR
        return Purpose.FALLBACK if self.on_fallback else Purpose.GRADE


class Grader:
    """Runs jobs on one event loop. Many at once; each method belongs to that loop."""

    def __init__(
        self,
        *,
        writer: Writer,
        budget: Budget,
        registry: SchemaRegistry,
        complete: Callable[[CompletionRequest], Awaitable[Attempt]],
        profile_of: Callable[[str], ModelProfile],
        worker_id: str,
        park: Callable[[Park], Awaitable[None]],
        call_timeout_seconds: float,
        longest_countdown_seconds: float,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._writer = writer
        self._budget = budget
        self._registry = registry
        self._complete = complete
        self._profile_of = profile_of
        self._worker_id = worker_id
        self._park = park
        self._call_timeout_seconds = call_timeout_seconds
        self._longest_countdown_seconds = longest_countdown_seconds
        self._draw = draw
        self._runs: dict[str, _Run] = {}
        self._draining = asyncio.Event()

    @property
    def held(self) -> set[str]:
        """Ids of the jobs that this process has claimed and not settled."""
        return set(self._runs)

    def cancel(self, job_id: str) -> None:
        """Stop a running job on its owner's wish; it ends `cancelled`, and its HTTP request is closed."""
        run = self._runs.get(job_id)
        if run is not None and run.task is not None:
            run.cancelled = True
            run.task.cancel()

    def drain(self) -> None:
        """The worker stops: calls in flight are finished and stored, but no other is begun. Jobs wait elsewhere."""
        self._draining.set()
        self._budget.drain()

    async def run(self, job_id: str) -> RunEnding:
        """Take one message's job to its end.

        Raises `CancelledError` after the claim was given back, and `NotStored` when the worker had to stop while the
        store was away: the message must not be acked then.
        """
        job = await self._writer.claim(job_id)
        if isinstance(job, NotDue):
            if job.after_seconds > LONGEST_EARLY_SECONDS:
                follows = job.after_seconds <= self._longest_countdown_seconds
                return Snoozed(job.after_seconds, message_follows=follows)
            await asyncio.sleep(job.after_seconds)
            job = await self._writer.claim(job_id)
        if job is None or isinstance(job, NotDue):
            return Dropped()
        run = _new_run(job)
        self._runs[job.id] = run
        try:
            return await self._graded(run)
        except asyncio.CancelledError:
            return await asyncio.shield(self._abandoned(run))
        except NotStored:
            raise
        except _ClaimLost:
            logger.warning("job.claim_lost job=%s claim=%d", job.id, job.claim)
            return Dropped()
        except Exception as error:  # noqa: BLE001 - the task boundary: whatever it was, the job ends with a record
            return await self._broken(run, error)
        finally:
            if run.grant is not None:
                self._budget.give_back(run.grant)
            if self._runs.get(job.id) is run:  # taken for dead, this process may have claimed the job a second time
                del self._runs[job.id]

    async def _graded(self, run: _Run) -> RunEnding:
        failure = self._resolve_schema(run) or _past_deadline(run)
        if failure is not None:
            return await self._finish(run, failure, closing=None, reply=None)
        while True:
            refused = await self._reserve(run)
            if refused is not None:
                return await self._without_budget(run, refused)
            await self._open(run)
            refused = await self._confirm(run)
            if refused is not None:
                return await self._without_budget(run, refused)
            attempt = await self._complete_once(run)
            ending = await self._settle(run, attempt)
            if ending is not None:
                return ending

    def _resolve_schema(self, run: _Run) -> Failure | None:
        job = run.job
        try:
            entry = self._registry.resolve(job.schema_name, job.context)
        except InvalidInput:
            return Failure(
                kind=FailureKind.UNKNOWN_SCHEMA, message=f"this worker does not know the schema {job.schema_name!r}"
            )
        if entry.fingerprint != job.schema_fingerprint:
            message = f"schema {job.schema_name!r} differs between the producer and this worker"
            return Failure(kind=FailureKind.UNKNOWN_SCHEMA, message=message)
        run.schema_model = entry.model
        return None

    async def _reserve(self, run: _Run) -> NotGranted | None:
        """Wait for the budget of one call, spending nothing; None when it may be sent."""
        parameters = run.job.parameters
        texts = [run.job.prompt, *([run.repair.raw_output] if run.repair else [])]
        tokens = charge_tokens(*texts, max_tokens=parameters.max_tokens)
        answer = await self._budget.reserve(
            run.model, tokens, within_seconds=run.seconds_to_deadline, stays=run.repair is not None
        )
        return _take(run, answer)

    async def _confirm(self, run: _Run) -> NotGranted | None:
        """The store may have stalled: a grant whose moment has passed is exchanged for another."""
        assert run.grant is not None  # noqa: S101 - _reserve came first
        grant, run.grant = run.grant, None
        stays = run.repair is not None
        return _take(run, await self._budget.confirm(grant, within_seconds=run.seconds_to_deadline, stays=stays))

    async def _without_budget(self, run: _Run, refused: NotGranted) -> RunEnding:
        closing = self._open_closing(run)
        if refused is NotGranted.DEADLINE:
            message = "the job's deadline passed while it waited for the provider's limit"
            failure = Failure(kind=FailureKind.DEADLINE_EXCEEDED, message=message)
            return await self._finish(run, failure, closing=closing, reply=None)
        # the feeder brings it back when its model can start more
        release = Release(job_id=run.job.id, claim=run.job.claim)
        await asyncio.shield(self._writer.settle(Settlement(closing=closing, release=release)))
        run.attempt_id = None
        logger.info("job.crowded_out job=%s model=%s", run.job.id, run.model)
        return Snoozed(0.0, message_follows=False)

    async def _open(self, run: _Run) -> None:
        """Write the request into the ledger, just before it is sent."""
        job = run.job
        run.attempt_id, run.is_sent = new_id(), False
        log_ids.attempt_id.set(run.attempt_id)
        opened = await self._writer.open_attempt(
            AttemptOpening(
                attempt_id=run.attempt_id,
                job_id=job.id,
                batch_id=job.batch_id,
                round=job.round,
                claim=job.claim,
                worker_id=self._worker_id,
                purpose=run.purpose,
                model=run.model,
            )
        )
        if not opened:
            raise _ClaimLost

    async def _complete_once(self, run: _Run) -> Attempt:
        job = run.job
        assert run.schema_model is not None  # noqa: S101 - _resolve_schema came first
        assert run.grant is not None  # noqa: S101 - _reserve came first
        grant, run.grant, run.is_sent = run.grant, None, True
        attempt = await self._complete(
            CompletionRequest(
                prompt=job.prompt,
                model=run.model,
                schema_model=run.schema_model,
                temperature=job.parameters.temperature,
                max_tokens=job.parameters.max_tokens,
                timeout_seconds=self._call_timeout_seconds,
                repair=run.repair,
                profile=self._profile_of(run.model),
            )
        )
        self._budget.settle(_lesson(grant, attempt))
        return attempt

    async def _settle(self, run: _Run, attempt: Attempt) -> RunEnding | None:
        """Store what the attempt was and do what follows; None when another attempt follows in place."""
        closing = self._closing(run, attempt)
        if run.repair is None and closing.ending in {AttemptEnding.ANSWERED, AttemptEnding.FAILED}:
            run.spent += 1
        match decide(attempt.ending, _counters(run), run.job.parameters):
            case Finish(outcome):
                return await self._finish(run, outcome, closing=closing, reply=attempt.reply)
            case Retry() as retry:
                await self._writer.settle(Settlement(closing=closing))
                run.attempt_id = None
                await self._prepare(run, retry)
                return None
            case Snooze() as snooze:
                after_seconds = snooze.after_seconds + self._draw() * snooze.spread_seconds
                if run.repair is not None and after_seconds <= self._longest_countdown_seconds:
                    # what it repairs is paid for, and this run alone knows it
                    await self._writer.settle(Settlement(closing=closing))
                    run.attempt_id = None
                    await asyncio.sleep(after_seconds)
                    return None
                return await self._snooze(run, closing, after_seconds)
            case Park() as park:
                return await self._snooze(run, closing, await self._parked(park))

    async def _parked(self, park: Park) -> float | None:
        """None when the store has noted it; else how long this job waits: the next one to be refused parks."""
        try:
            await self._park(park)
        except ServiceUnavailable as error:
            logger.warning("job.park_not_stored state=%s reason=%s", park.account_state, error)
            return PARK_AGAIN_SECONDS
        return None

    async def _prepare(self, run: _Run, retry: Retry) -> None:
        run.repair = retry.repair
        if retry.repair is not None:
            run.repairs += 1
        if retry.fall_back and run.job.parameters.fallback_model:
            run.model = run.job.parameters.fallback_model
            run.on_fallback = True
            run.spent = 0
        logger.info("job.retry job=%s model=%s after_seconds=%.2f", run.job.id, run.model, retry.after_seconds)
        try:
            async with asyncio.timeout(retry.after_seconds):
                await self._draining.wait()
        except TimeoutError:
            return

    async def _finish(
        self, run: _Run, outcome: Outcome, *, closing: AttemptClosing | None, reply: Reply | None
    ) -> RunEnding:
        job = run.job
        ending = JobEnding(
            job_id=job.id,
            batch_id=job.batch_id,
            round=job.round,
            claim=job.claim,
            outcome=outcome,
            model_answered=reply.model_answered if reply else None,
            is_standin=bool(reply and STANDIN_MARK in (reply.system_fingerprint or "")),
        )
        # A paid answer outlives the cancellation of who asked for it.
        accepted = await asyncio.shield(self._writer.settle(Settlement(closing=closing, ending=ending)))
        run.attempt_id = None
        kind = outcome.kind if isinstance(outcome, Failure) else None
        logger.info("job.finished job=%s model=%s failure=%s stored=%s", job.id, run.model, kind, accepted)
        return Finished(kind) if accepted else Dropped()

    async def _snooze(self, run: _Run, closing: AttemptClosing | None, after_seconds: float | None) -> RunEnding:
        message_follows = after_seconds is not None and after_seconds <= self._longest_countdown_seconds
        release = Release(
            job_id=run.job.id, claim=run.job.claim, after_seconds=after_seconds, message_follows=message_follows
        )
        await asyncio.shield(self._writer.settle(Settlement(closing=closing, release=release)))
        run.attempt_id = None
        logger.info("job.snoozed job=%s model=%s after_seconds=%s", run.job.id, run.model, after_seconds)
        return Snoozed(after_seconds or 0.0, message_follows=message_follows)

    async def _abandoned(self, run: _Run) -> RunEnding:
        """The coroutine was cancelled: by the job's owner, or because the worker stops."""
        closing = self._open_closing(run)
        if run.cancelled:
            failure = Failure(kind=FailureKind.CANCELLED, message="cancelled while it ran")
            return await self._finish(run, failure, closing=closing, reply=None)
        release = Release(job_id=run.job.id, claim=run.job.claim)
        await self._writer.settle(Settlement(closing=closing, release=release))
        raise asyncio.CancelledError

    async def _broken(self, run: _Run, error: Exception) -> RunEnding:
        where = "".join(traceback.format_tb(error.__traceback__))  # frames only: the text may quote a prompt
        logger.error("job.internal job=%s error=%s\n%s", run.job.id, type(error).__name__, where)
        message = str(error) if isinstance(error, GradequeueError) else f"unexpected {type(error).__name__}"
        failure = Failure(kind=FailureKind.INTERNAL, message=message)
        return await self._finish(run, failure, closing=self._open_closing(run), reply=None)

    def _open_closing(self, run: _Run) -> AttemptClosing | None:
        if run.attempt_id is None:
            return None
        if not run.is_sent:
            return AttemptClosing(attempt_id=run.attempt_id, ending=AttemptEnding.NOT_SENT)
        return AttemptClosing(
            attempt_id=run.attempt_id, ending=AttemptEnding.UNKNOWN, message="given up while it was in flight"
        )

    def _closing(self, run: _Run, attempt: Attempt) -> AttemptClosing:
        ending, reply = attempt.ending, attempt.reply
        return AttemptClosing(
            attempt_id=run.attempt_id or "",
            ending=_ledger_ending(attempt),
            status_code=reply.status_code,
            message=None if isinstance(ending, Success) else ending.message,
            wait_seconds=ending.wait_seconds if isinstance(ending, Throttled | Transient) else None,
            parameters_sent=reply.parameters_sent,
            request_id=reply.request_id,
            model_answered=reply.model_answered,
            system_fingerprint=reply.system_fingerprint,
            usage=reply.usage or NO_USAGE,
            cost_usd=self._profile_of(run.model).cost_usd(reply.usage) if reply.usage else None,
        )


def _new_run(job: ClaimedJob) -> _Run:
    """Take a job up where its earlier claims of this round left it."""
    grades, fallbacks = job.spent.get(Purpose.GRADE, 0), job.spent.get(Purpose.FALLBACK, 0)
    fallback_model = job.parameters.fallback_model
    on_fallback = fallback_model is not None and (fallbacks > 0 or grades > job.parameters.max_retries)
    return _Run(
        job=job,
        claimed_at=time.monotonic(),
        model=fallback_model if on_fallback and fallback_model else job.model,
        spent=fallbacks if on_fallback else grades,
        repairs=job.spent.get(Purpose.REPAIR, 0),
        on_fallback=on_fallback,
        task=asyncio.current_task(),
    )


def _past_deadline(run: _Run) -> Failure | None:
    left = run.seconds_to_deadline
    if left is not None and left <= 0:
        return Failure(kind=FailureKind.DEADLINE_EXCEEDED, message="the job's deadline passed while it waited")
    return None


def _take(run: _Run, answer: Grant | NotGranted) -> NotGranted | None:
    if isinstance(answer, NotGranted):
        return answer
    run.grant = answer
    return None


def _lesson(grant: Grant, attempt: Attempt) -> Lesson:
    ending, reply = attempt.ending, attempt.reply
    refused = isinstance(ending, Throttled)
    limits = reply.rate_limits
    return Lesson(
        grant=grant,
        answered=reply.received and not isinstance(ending, Throttled | Transient),
        refused=refused,
        refused_wait_seconds=ending.wait_seconds if isinstance(ending, Throttled) else None,
        requests=BucketReading(
            limit=limits.limit_requests,
            remaining=limits.remaining_requests,
            reset_seconds=limits.reset_requests_seconds,
        )
        if limits
        else UNREAD,
        tokens=BucketReading(
            limit=limits.limit_tokens, remaining=limits.remaining_tokens, reset_seconds=limits.reset_tokens_seconds
        )
        if limits
        else UNREAD,
    )


def _counters(run: _Run) -> Counters:
    return Counters(
        attempts_spent=run.spent,
        repairs=run.repairs,
        on_fallback=run.on_fallback,
        seconds_to_deadline=run.seconds_to_deadline,
    )


def _ledger_ending(attempt: Attempt) -> AttemptEnding:
    match attempt.ending:
        case Throttled() | Blocked():
            return AttemptEnding.THROTTLED
        case Transient():
            return AttemptEnding.FAILED
        case Success():
            return AttemptEnding.ANSWERED
        case Failure():
            return AttemptEnding.ANSWERED if attempt.reply.usage is not None else AttemptEnding.FAILED
