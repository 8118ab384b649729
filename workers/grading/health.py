"""Whether the provider is away, and whether the account is at fault: what one attempt's ending cannot say alone.

Watches every attempt of this process, and counts refusals with all others. Belongs to one event loop. Nothing here
delays a paid answer: a success is reported to the others in the background.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workers.budget.outage import Blame, Outage, Sign
from workers.budget.refusals import LONGEST_UNCOUNTED_WAIT_SECONDS, UncountedRefusals
from workers.completion.classify import Blocked, Throttled, Transient
from workers.contract.outcome import Failure, FailureKind, Success
from workers.grading.decide import JOBS_OF_AN_ALARM, UNNAMED_WAIT_SECONDS, ProviderHealth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workers.budget.refusals import RefusalCounts
    from workers.completion.attempt import Attempt, Reply

LOOK_AGAIN_SECONDS = 0.1
"""Whether others were answered after a call failed."""
LONGEST_WAIT_FOR_A_SUCCESS_SECONDS = 10.0
"""Before an alarm: a rejection comes at once, and the answers to calls that were sent with it take seconds."""


class HealthMonitor:
    """Judges the health of one provider account by the endings of attempts."""

    def __init__(
        self,
        refusals: RefusalCounts | None = None,
        *,
        on_end_of_refusals: Callable[[], Awaitable[None]] | None = None,
        patience_seconds: float = LONGEST_WAIT_FOR_A_SUCCESS_SECONDS,
    ) -> None:
        self._refusals = refusals or UncountedRefusals()
        self._on_end_of_refusals = on_end_of_refusals
        self._patience_seconds = patience_seconds
        self._outages: dict[str, Outage] = {}
        self._counted_until: dict[str, float] = {}
        self._succeeded_at = float("-inf")
        self._reporting: set[asyncio.Task[None]] = set()

    async def blame_for(self, attempt: Attempt, *, job_id: str, model: str, sent_at: float, is_alone: bool) -> Blame:
        """Whose fault this ending is; called for every attempt.

        At once, but for a failure that may be the first of many. One that `is_alone` in its process asks nobody.
        """
        outage = self._outages.setdefault(model, Outage())
        ending, now = attempt.ending, asyncio.get_running_loop().time()
        if not isinstance(ending, Transient):
            outage.answered(now, sent_at=sent_at)
            return Blame.OWN
        if ending.timed_out:
            return Blame.OWN  # a slow server is another matter: less is sent to it
        found = outage.failed(job_id, sent_at=sent_at, now=now, sign=_sign_of(ending, attempt.reply))
        if found is None and is_alone:
            return outage.alone(job_id)
        while found is None:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            found = outage.later(job_id, failed_at=now, now=asyncio.get_running_loop().time())
        return found

    async def after(
        self, attempt: Attempt, *, job_id: str, model: str, blame: Blame = Blame.OWN, is_alone: bool = True
    ) -> ProviderHealth:
        """Judge by all workers' refusals, this one included; a round trip for a refusal, none for an answer.

        A rejection that would raise the alarm waits for the answers to calls sent with it, unless it `is_alone`.
        """
        ending, refusals = attempt.ending, self._refusals
        if isinstance(ending, Success) or attempt.reply.usage is not None:
            self._succeeded_at = asyncio.get_running_loop().time()
            self._report_success()
            return ProviderHealth()
        if isinstance(ending, Blocked) and ending.is_suspected:
            return ProviderHealth(suspected_jobs=await refusals.suspected(job_id))
        if isinstance(ending, Throttled):
            counts = self._counts_as_refusal(ending, model)
            return await self._with_jobs_of_alarm(
                refused_jobs=await refusals.refused(job_id) if counts else 0,
                refused_seconds=await refusals.refused_seconds() if _is_short(ending) else 0.0,
                singled=await refusals.singled_out(model, job_id, alone_counts=_is_short(ending)),
                is_unnamed_limit=ending.could_be_account,
            )
        if _may_be_the_accounts(attempt):
            refused_jobs = await refusals.refused(job_id)
            if refused_jobs >= JOBS_OF_AN_ALARM and not is_alone and await self._succeeds_soon():
                return ProviderHealth()
            return await self._with_jobs_of_alarm(refused_jobs=refused_jobs)
        return ProviderHealth(blame=blame)

    async def _with_jobs_of_alarm(self, **seen: Any) -> ProviderHealth:
        health = ProviderHealth(**seen)
        return replace(health, refused_before=await self._refusals.refused_jobs()) if health.is_alarm else health

    async def _succeeds_soon(self) -> bool:
        """Another job of this process succeeds before the patience ends."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        while loop.time() - began_at < self._patience_seconds:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            if self._succeeded_at >= began_at:
                return True
        return False

    def _counts_as_refusal(self, ending: Throttled, model: str) -> bool:
        """Those refused together count once; a server that names a long wait says when it will serve again."""
        now = asyncio.get_running_loop().time()
        if not _is_short(ending) or now < self._counted_until.get(model, 0.0):
            return False
        self._counted_until[model] = now + max(ending.wait_seconds or 0.0, UNNAMED_WAIT_SECONDS)
        return True

    def _report_success(self) -> None:
        if self._reporting:
            return
        task = asyncio.get_running_loop().create_task(self._success_reported())
        self._reporting.add(task)
        task.add_done_callback(self._reporting.discard)

    async def _success_reported(self) -> None:
        if await self._refusals.answered() and self._on_end_of_refusals is not None:
            await self._on_end_of_refusals()


def _sign_of(failure: Transient, reply: Reply) -> Sign | None:
    if failure.is_unreachable:
        return Sign.UNREACHABLE
    if failure.is_unreached and _is_short(failure):
        return Sign.UNREACHED
    return Sign.BROKEN if failure.status_code is None and not reply.received else None


def _is_short(ending: Throttled | Transient) -> bool:
    """A longer wait that is named says when the server will serve again."""
    return (ending.wait_seconds or 0.0) <= LONGEST_UNCOUNTED_WAIT_SECONDS


def _may_be_the_accounts(attempt: Attempt) -> bool:
    """The provider refused the request itself, for a reason that no code or word distinguishes from the account's."""
    ending, status = attempt.ending, attempt.reply.status_code
    if not isinstance(ending, Failure) or ending.kind is not FailureKind.REJECTED_REQUEST:
        return False
    return ending.could_be_account and status is not None and 400 <= status < 500  # noqa: PLR2004 - HTTP's own numbers
