"""One request and its row in the ledger, which can never disagree: whatever happens, an opened row is closed.

    async with ledger_row(run, reserved, ...) as row:    opens the row, just before the request is sent
        confirmed = await row.confirm(reserved)          exchanges a grant whose moment has passed
        ended = await row.send(confirmed, schema_model)  sends the request; the budget learns how it ended
        closing = row.closing(ended)                     to be stored together with what follows

Left without an exception, the block has stored a closing together with what followed (the job's outcome or the release
of its claim). Left with one, a cancellation at any await included, the row is closed here by its phase:

    Reserved    not_sent, and the grant goes back to the budget
    Exchanging  not_sent; the budget has the grant
    Sent        unknown: the provider may have been reached, and may bill it

A closing that comes after another changes nothing in the store.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.budget.outage import Blame
from workers.budget.records import NotGranted
from workers.contract.outcome import AttemptEnding
from workers.grading.careful_opening import CarefulOpening
from workers.grading.decide import ProviderHealth
from workers.grading.translate import closing_of, rate_sample_of, unknown_sample
from workers.log import bind_attempt
from workers.store.admission import Admission
from workers.store.ledger import AttemptClosing, AttemptOpening, Purpose
from workers.store.sql import new_id
from workers.store.writer import JobUpdate, NotStored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import BaseModel

    from workers.budget.records import Grant
    from workers.completion.attempt import Attempt
    from workers.grading.records import Collaborators, Run


class ClaimLost(Exception):  # noqa: N818 - a sweeper's decision, not an error
    """This process was taken for dead, and the job is another's now: to send a request would be to pay twice."""


class NoRoom(Exception):  # noqa: N818 - as above
    """Calls in flight have taken what is left of a spend cap."""


class GateClosed(Exception):  # noqa: N818 - as above
    """The job's batch, or the day, waits for somebody's word."""


class StartPaused(GateClosed):
    """The job's batch, model, account or queue is paused."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """The budget has granted the request, and it was not sent."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Exchanging:
    """The budget took the grant back, and has not given another yet."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The request may have reached the provider."""


Phase = Reserved | Exchanging | Sent
_SHOWS_THE_REST = (Purpose.GRADE, Purpose.REPEAT)
"""The other jobs of the batch ask the same; another model's or a repair's request says nothing of theirs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt, and what other requests show about its ending."""

    attempt: Attempt
    health: ProviderHealth


@asynccontextmanager
async def ledger_row(
    run: Run, reserved: Reserved, collaborators: Collaborators, *, worker_id: str, most_usd: float | None
) -> AsyncIterator[LedgerRow]:
    """Open the row of the run's next request, and close it when the block fails or is cancelled.

    `most_usd` is held against spend caps until the cost is known; None where the model has no price.
    Raises `ClaimLost` when nothing may be sent for this job any more, `NoRoom`, `GateClosed` and `StartPaused`
    when nothing may be sent now. Costs one commit.
    """
    row = LedgerRow(run, reserved, collaborators)
    try:
        await row.open(worker_id, most_usd)
        yield row
    except (ClaimLost, NoRoom, GateClosed, NotStored):
        raise
    except (Exception, asyncio.CancelledError):
        await asyncio.shield(collaborators.writer.persist(JobUpdate(closing=row.unfinished())))
        raise
    finally:
        row.return_grant()


class LedgerRow:
    """One row, open."""

    def __init__(self, run: Run, reserved: Reserved, collaborators: Collaborators) -> None:
        self._run = run
        self._writer = collaborators.writer
        self._budget = collaborators.budget
        self._provider = collaborators.provider
        self._phase: Phase = reserved
        self._attempt_id = new_id()
        self._most_usd: float | None = None
        self._is_first = False
        bind_attempt(self._attempt_id)

    async def open(self, worker_id: str, most_usd: float | None) -> None:
        """Write the row, unless nothing may be sent: then it raises (see `ledger_row`)."""
        run, job = self._run, self._run.job
        self._most_usd = most_usd
        opening = AttemptOpening(
            attempt_id=self._attempt_id,
            job_id=job.id,
            batch_id=job.batch_id,
            account=job.account,
            round=job.round,
            claim=job.claim,
            worker_id=worker_id,
            purpose=run.purpose,
            model=run.model,
            most_usd=most_usd,
        )
        match admission := await self._writer.open_attempt(opening):
            case Admission.CLAIM_LOST:
                raise ClaimLost
            case Admission.NO_ROOM:
                raise NoRoom
            case Admission.PAUSED:
                raise StartPaused
            case Admission.CLOSED:
                raise GateClosed
            case Admission.MAY_SEND | Admission.MAY_SEND_FIRST:
                self._is_first = admission is Admission.MAY_SEND_FIRST and opening.purpose in _SHOWS_THE_REST

    async def confirm(self, reserved: Reserved) -> Reserved | NotGranted:
        """Exchange a grant whose moment has passed, because the store stalled; most are returned at once."""
        run, self._phase = self._run, Exchanging()
        answer = await self._budget.confirm(
            reserved.grant, within_seconds=run.seconds_to_deadline, stays=run.is_repairing
        )
        if isinstance(answer, NotGranted):
            return answer
        self._phase = confirmed = Reserved(answer)
        return confirmed

    async def send(self, confirmed: Reserved, schema_model: type[BaseModel], *, is_alone: bool) -> Ended:
        """Send the request, once. The budget learns of it however this ends.

        `is_alone`: no other job is in flight in this process, so none can show whether the provider is away.
        """
        run, provider, grant = self._run, self._provider, confirmed.grant
        sent_at = asyncio.get_running_loop().time()
        request, sample = run.request(schema_model, provider), unknown_sample(grant)
        opening = CarefulOpening(self._budget, grant, run, on_taken=self._tell_taken if self._is_first else None)
        request = opening.asked(request)
        self._phase = Sent()
        try:
            attempt = await provider.complete(request)
            latency_seconds = asyncio.get_running_loop().time() - sent_at
            blame = await provider.health.blame_for(
                attempt, job_id=run.job.id, model=run.model, sent_at=sent_at, is_alone=is_alone
            )
            if blame is Blame.AWAY and run.may_fall_back:
                blame = Blame.OWN
            is_away = blame is Blame.AWAY
            sample = rate_sample_of(grant, attempt, latency_seconds=latency_seconds, is_away=is_away)
            sample = opening.learned(attempt, sample)
        finally:
            self._budget.settle(sample)
        if opening.is_stream_refused(attempt):
            return Ended(opening.rejected(attempt), ProviderHealth(is_stream_refused=True))
        health = await provider.health.after(
            attempt, job_id=run.job.id, model=run.model, blame=blame, is_alone=is_alone
        )
        return Ended(attempt, health)

    def closing(self, ended: Ended) -> AttemptClosing:
        """How the ledger keeps a request that ended."""
        profile = self._provider.profile_of(self._run.model)
        return closing_of(self._attempt_id, ended.attempt, ended.health, profile, most_usd=self._most_usd)

    def unfinished(self) -> AttemptClosing:
        """How the ledger keeps a request that was not sent, or not waited for."""
        if isinstance(self._phase, Sent):
            message = "given up while it was in flight"
            return AttemptClosing(attempt_id=self._attempt_id, ending=AttemptEnding.UNKNOWN, message=message)
        return AttemptClosing(attempt_id=self._attempt_id, ending=AttemptEnding.NOT_SENT)

    def _tell_taken(self) -> None:
        """Nobody waits for it: a store that is away hears of the first answer instead."""
        told = self._writer.persist(JobUpdate(heard_batch=self._run.job.batch_id))
        told.add_done_callback(lambda future: future.cancelled() or future.exception())

    def return_grant(self) -> None:
        """Give back to the budget what was reserved for a request that was not sent."""
        if isinstance(self._phase, Reserved):
            self._budget.give_back(self._phase.grant)
