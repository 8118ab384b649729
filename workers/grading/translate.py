"""Between the words of the core, of the budget and of the ledger: what one attempt means to each. No I/O."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from workers.budget.outage import Blame
from workers.budget.records import UNREAD, BucketReading, RateSample
from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.repair import Repair
from workers.contract.identity import with_names
from workers.contract.lane import Lane
from workers.contract.outcome import AttemptEnding, Failure, FailureKind, Success
from workers.grading.decide import is_own
from workers.log import get_logger
from workers.store.ledger import NO_USAGE, AttemptClosing, JobEnding

if TYPE_CHECKING:
    from workers.budget.records import Grant
    from workers.completion.attempt import Attempt, Reply
    from workers.completion.transport.response_note import RateLimits
    from workers.contract.model_profile import ModelProfile
    from workers.contract.outcome import Outcome
    from workers.grading.decide import ProviderHealth
    from workers.grading.inspection import Inspection
    from workers.store.claims import ClaimedJob

logger = get_logger(__name__)

ATTEMPTS = frozenset({AttemptEnding.ANSWERED, AttemptEnding.FAILED, AttemptEnding.TIMED_OUT})
"""The endings that count against max_retries."""
MOST_BELIEVED_TIMES = 4.0
"""A cost beyond this multiple of the most that the request can cost comes from counts that the peer made up: hidden
prompts and servers that overlook max_tokens stay below it. Then the most is what counts against spend caps."""
_ASKED = "asked"
"""Key of the model that was asked, in what is kept of an invalid answer."""
STANDIN_MARK = "standin"
"""What the stand-in provider puts into `system_fingerprint`; such grades are never real, whatever the base URL."""


def rate_sample_of(grant: Grant, attempt: Attempt, *, latency_seconds: float, is_away: bool) -> RateSample:
    """What the budget learns from an attempt. `is_away`: of the provider, so that the model is held."""
    ending, reply = attempt.ending, attempt.reply
    requests, tokens = readings_of(reply.rate_limits)
    return RateSample(
        grant=grant,
        answered=reply.received and not isinstance(ending, Throttled | Transient),
        refused=isinstance(ending, Throttled),
        refused_wait_seconds=ending.wait_seconds if isinstance(ending, Throttled) else None,
        latency_seconds=latency_seconds if _is_answer(attempt) else None,
        timed_out=isinstance(ending, Transient) and ending.timed_out,
        away=is_away,
        away_wait_seconds=ending.wait_seconds if isinstance(ending, Transient) and is_away else None,
        cause=ending.message if isinstance(ending, Throttled | Transient) else "",
        requests=requests,
        tokens=tokens,
    )


def unknown_sample(grant: Grant) -> RateSample:
    """What the budget learns from a request that was abandoned in flight: it is over, and nothing else is known."""
    return RateSample(grant=grant, answered=False)


def closing_of(
    attempt_id: str,
    attempt: Attempt,
    health: ProviderHealth,
    profile: ModelProfile,
    *,
    most_usd: float | None = None,
    lane: Lane = Lane.LIVE,
) -> AttemptClosing:
    """What the ledger keeps of an attempt. `most_usd`: what the request can cost at the most."""
    ending, reply = attempt.ending, attempt.reply
    cost_usd = profile.cost_usd(reply.usage, tier=reply.service_tier, lane=lane) if reply.usage else None
    surcharge_usd = profile.surcharge_usd(reply.usage, tier=reply.service_tier, lane=lane) if reply.usage else None
    if cost_usd is not None and most_usd is not None and cost_usd > MOST_BELIEVED_TIMES * most_usd:
        logger.warning("usage.not_believed", cost_usd=round(cost_usd, 4), most_usd=round(most_usd, 4))
        cost_usd, surcharge_usd = most_usd, 0.0
    return AttemptClosing(
        attempt_id=attempt_id,
        ending=ledger_ending(attempt, health),
        status_code=reply.status_code,
        message=None if isinstance(ending, Success) else ending.message,
        wait_seconds=ending.wait_seconds if isinstance(ending, Throttled | Transient) else None,
        parameters_sent=reply.parameters_sent,
        request_id=reply.request_id,
        model_answered=reply.model_answered,
        system_fingerprint=reply.system_fingerprint,
        usage=reply.usage or NO_USAGE,
        service_tier=reply.service_tier,
        cost_usd=cost_usd,
        surcharge_usd=surcharge_usd,
        may_be_billed=_may_be_billed(attempt),
    )


def _may_be_billed(attempt: Attempt) -> bool:
    """The request was sent, and what came back says neither that it was answered nor that it was refused."""
    ending, reply = attempt.ending, attempt.reply
    if not isinstance(ending, Transient) or ending.is_unreachable or reply.usage is not None:
        return False
    return ending.timed_out or reply.status_code is None or reply.status_code < HTTPStatus.MULTIPLE_CHOICES


def ledger_ending(attempt: Attempt, health: ProviderHealth) -> AttemptEnding:
    """The ledger's word for an ending."""
    if _is_answer(attempt):
        return AttemptEnding.ANSWERED
    match attempt.ending:
        case Blocked() as blocked:
            return AttemptEnding.FAILED if is_own(blocked, health) else AttemptEnding.THROTTLED
        case Transient() if health.blame is not Blame.OWN or health.is_stream_refused:
            return AttemptEnding.UNAVAILABLE
        case Transient() as transient:
            return AttemptEnding.TIMED_OUT if transient.timed_out else AttemptEnding.FAILED
        case ending:
            is_refused = isinstance(ending, Throttled) or health.is_alarm
            return AttemptEnding.THROTTLED if is_refused else AttemptEnding.FAILED


def job_ending_of(job: ClaimedJob, outcome: Outcome, reply: Reply | None, seen: Inspection | None = None) -> JobEnding:
    """What the store keeps of a round; `reply` and `seen` belong to the attempt that decided it, None when none did.

    Pseudonyms in the answer are names again.
    """
    if isinstance(outcome, Success) and job.pseudonyms:
        outcome = replace(outcome, text=with_names(outcome.as_json_text(), job.pseudonyms))
    return JobEnding(
        job_id=job.id,
        batch_id=job.batch_id,
        round=job.round,
        claim=job.claim,
        outcome=outcome,
        model_answered=reply.model_answered if reply else None,
        is_standin=bool(reply and STANDIN_MARK in (reply.system_fingerprint or "")),
        flags=seen.flags if seen else (),
        provenance=_provenance(job, reply, seen),
    )


def unrepaired_of(job: ClaimedJob, repair: Repair | None, reply: Reply, *, model: str) -> JobEnding | None:
    """What is kept of an invalid answer of `model` until its repair has ended; no round ends with it."""
    if repair is None:
        return None
    invalid = Failure(
        kind=FailureKind.INVALID_OUTPUT,
        message="to be repaired",
        raw_output=repair.raw_output,
        validation_errors=repair.validation_errors,
    )
    return replace(job_ending_of(job, invalid, reply), provenance={_ASKED: model})


def kept_repair(kept: JobEnding | None, model: str) -> Repair | None:
    """The repair of an answer of `model` that an earlier claim of the round did not end; None where there is none."""
    if kept is None or not isinstance(kept.outcome, Failure) or (kept.provenance or {}).get(_ASKED) != model:
        return None
    return Repair(kept.outcome.raw_output or "", kept.outcome.validation_errors)


def _provenance(job: ClaimedJob, reply: Reply | None, seen: Inspection | None) -> dict[str, object]:
    if reply is None:
        return {**job.asked, **(seen.findings if seen else {})}
    answered = {
        "request_id": reply.request_id,
        "system_fingerprint": reply.system_fingerprint,
        "service_tier": reply.service_tier,
        "parameters_sent": dict(reply.parameters_sent),
    }
    return {**job.asked, **answered, **(seen.findings if seen else {})}


def _is_answer(attempt: Attempt) -> bool:
    """The model answered, whatever it said: this was paid for."""
    ending = attempt.ending
    return isinstance(ending, Success) or (isinstance(ending, Failure) and attempt.reply.usage is not None)


def readings_of(limits: RateLimits | None) -> tuple[BucketReading, BucketReading]:
    """Both buckets as a response's headers show them."""
    if limits is None:
        return UNREAD, UNREAD
    requests = BucketReading(
        limit=limits.limit_requests,
        remaining=limits.remaining_requests,
        reset_seconds=limits.reset_requests_seconds,
    )
    tokens = BucketReading(
        limit=limits.limit_tokens, remaining=limits.remaining_tokens, reset_seconds=limits.reset_tokens_seconds
    )
    return requests, tokens
