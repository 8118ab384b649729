"""A call whose headers others wait for: nobody knows the model's limits yet, or whether the batch's requests are taken.

    asked     as a stream where the account's provider is not known to do without: its headers come before the answer
    heard     the limits reach the budget when the headers are here, whenever that is; a stream's open the batch further
    learned   whether the provider streams as it should; if not, the account is asked for no stream for a while

What the job gets is the same either way. A request that may have been rejected for being streamed is asked again
without, at no cost to its job; when that is answered, the account's provider does not stream.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workers.budget.records import UNREAD, RateSample
from workers.completion.attempt import Attempt
from workers.completion.classify import Transient
from workers.contract.outcome import Failure, FailureKind, Success
from workers.grading.translate import readings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.budget.budget import Budget
    from workers.budget.records import Grant
    from workers.completion.attempt import CompletionRequest
    from workers.completion.transport.response_note import RateLimits
    from workers.grading.records import Run

_NOT_FOUND = 404
_NOT_IMPLEMENTED = 501


class CarefulOpening:
    """One such call."""

    def __init__(self, budget: Budget, grant: Grant, run: Run, *, on_taken: Callable[[], object] | None) -> None:
        """`on_taken`: of a batch's first calls, what to do once the provider has taken the request."""
        self._run = run
        self._on_taken = on_taken
        self._budget = budget
        self._grant = grant
        self._is_streamed = False
        self._has_heard = False

    def asked(self, request: CompletionRequest) -> CompletionRequest:
        """The request as it is sent; most are sent as they are."""
        self._is_streamed = self._budget.wants_stream(self._grant, is_first=self._on_taken is not None)
        if not (self._is_streamed or self._grant.is_careful):
            return request
        return replace(request, is_streamed=self._is_streamed, on_limits=self._hear)

    def learned(self, attempt: Attempt, sample: RateSample) -> RateSample:
        """What is left for the budget to learn at the end."""
        if self.is_stream_refused(attempt):
            sample = replace(sample, answered=False)  # the call that follows shows whether others may
            self._budget.learn_streaming(is_in_vain=True, is_sure=False)
            self._run.was_stream_refused = True
        elif self._run.was_stream_refused:
            self._run.was_stream_refused = False
            self._budget.learn_streaming(is_in_vain=isinstance(attempt.ending, Success))
        elif self._is_streamed:
            self._learn_streaming(attempt)
        # headers of the beginning say nothing of the end
        return replace(sample, requests=UNREAD, tokens=UNREAD) if self._has_heard else sample

    def rejected(self, attempt: Attempt) -> Attempt:
        """What the ledger keeps of a request that is asked again without."""
        reply = attempt.reply
        message = "The provider rejected a request that was streamed; it is sent again unstreamed"
        return Attempt(Transient(message, None, reply.status_code), reply)

    def is_stream_refused(self, attempt: Attempt) -> bool:
        """It may have been rejected for being a stream."""
        if not self._is_streamed:
            return False
        match attempt.ending:
            case Failure(kind=FailureKind.REJECTED_REQUEST):
                return attempt.reply.status_code != _NOT_FOUND  # of a model or an address, streamed or not
            case Transient(status_code=status, timed_out=False) if status is not None:
                return status < 400 or status == _NOT_IMPLEMENTED  # noqa: PLR2004 - garbled under a good status
        return False

    def _hear(self, limits: RateLimits | None) -> None:
        requests, tokens = readings_of(limits)
        sample = RateSample(grant=self._grant, answered=False, requests=requests, tokens=tokens)
        self._has_heard = sample.has_headers
        self._budget.hear(sample)
        if self._is_streamed and self._on_taken is not None:
            self._on_taken()

    def _learn_streaming(self, attempt: Attempt) -> None:
        if isinstance(attempt.ending, Transient) and attempt.ending.status_code is not None:
            self._budget.learn_streaming(is_in_vain=True, is_sure=False)
        elif isinstance(attempt.ending, Success):
            reply = attempt.reply
            self._budget.learn_streaming(is_in_vain=not reply.is_streamed or reply.usage is None)
