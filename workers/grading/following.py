"""What follows an attempt, in every lane: the decision, with what is stored of the answer and what is asked next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.completion.retry_policy import Retry
from workers.contract.errors import InvalidInput, UntrustedSchema
from workers.contract.outcome import Failure, Success
from workers.grading.counterfactual import concluded
from workers.grading.decide import HEALTHY, FallBack, Finish, decide
from workers.grading.failures import unknown_schema
from workers.grading.inspection import asked_again, inspected
from workers.grading.records import Again
from workers.grading.translate import job_ending_of, unrepaired_of
from workers.log import get_logger

if TYPE_CHECKING:
    from pydantic import BaseModel

    from workers.completion.attempt import Attempt, Reply
    from workers.contract.outcome import AttemptEnding, Outcome
    from workers.contract.registry import SchemaRegistry
    from workers.grading.decide import Decision, ProviderHealth
    from workers.grading.inspection import Inspection
    from workers.grading.records import Run
    from workers.store.claims import ClaimedJob
    from workers.store.ledger import JobEnding

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """At the most one of `ending` and `again` is there; with neither, the decision says what the job waits for."""

    decision: Decision
    ending: JobEnding | None = None
    """The round is over."""
    again: Again | None = None
    """The run goes on with another request."""
    kept: JobEnding | None = None
    """A paid answer that waits for it."""


async def follow(run: Run, attempt: Attempt, ending: AttemptEnding, health: ProviderHealth = HEALTHY) -> Followed:
    """Count the attempt, which the ledger keeps as `ending`, and say what follows it."""
    run.count(ending)
    seen = await inspected(attempt.ending, run.job, is_compared=run.kept is not None)
    decision = decide(seen.ending, run.counters, seen.changed(run.parameters), health)
    match decision:
        case Finish(Success() as graded) if run.kept is None and (prompt := await asked_again(run.job, seen)):
            kept = job_ending_of(run.job, graded, attempt.reply, seen)
            run.ask_without(kept, prompt)
            logger.info("job.counterfactual", model=run.model)
            return Followed(decision=decision, again=Again(0.0), kept=kept)
        case Finish(outcome):
            return Followed(decision=decision, ending=ending_of(run, outcome, reply=attempt.reply, seen=seen))
        case Retry() as retry:
            logger.info("job.retry", model=run.model, after_seconds=round(retry.after_seconds, 2))
            unrepaired = unrepaired_of(run.job, retry.repair, attempt.reply, model=run.model)
            return Followed(decision=decision, again=run.follow(retry), kept=unrepaired)
        case FallBack() as fallback:
            logger.info("job.fall_back", model=fallback.model)
            return Followed(decision=decision, again=run.fall_back(fallback.model))
    return Followed(decision=decision)


def ending_of(run: Run, outcome: Outcome, *, reply: Reply | None = None, seen: Inspection | None = None) -> JobEnding:
    """What the store keeps of a round that ends so; the graded answer where this is the end of its counterfactual."""
    ending = job_ending_of(run.job, outcome, reply, seen)
    return ending if run.kept is None else concluded(run.kept, ending.outcome, claim=run.job.claim)


def schema_of(registry: SchemaRegistry, job: ClaimedJob) -> type[BaseModel] | Failure:
    """The schema that the job was enqueued with, or the failure of a worker that has another."""
    try:
        entry = registry.resolve(job.schema_name, job.context)
    except UntrustedSchema as error:
        return unknown_schema(error.message)
    except InvalidInput:
        return unknown_schema(f"this worker does not know the schema {job.schema_name!r}")
    if entry.fingerprint != job.schema_fingerprint:
        return unknown_schema(f"schema {job.schema_name!r} differs between the producer and this worker")
    return entry.model
