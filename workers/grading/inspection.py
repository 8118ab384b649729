"""What is looked at in an answer before it is stored: its evidence, its doubts, and the work that it is about.

Work is searched for passages that address the grader where it is separate from the instructor's words: in the fence,
or where the job has instructions of its own.

Nothing here changes a grade. With strict evidence, an answer that quotes what is not in the work is not valid: its
repair is asked for once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from workers.contract.doubt import doubts
from workers.contract.flag import FlagKind
from workers.contract.job import STRICT_EVIDENCE
from workers.contract.outcome import Failure, FailureKind, Success
from workers.contract.pictures import has_pictures, visible_text
from workers.grading.counterfactual import prompt_without_passages
from workers.grading.evidence.check import NOT_FOUND, EvidenceCheck, check_evidence, fenced_works
from workers.grading.tripwire.scan import injection_flags, rules_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

    from workers.completion.classify import Ending
    from workers.contract.flag import Flag
    from workers.contract.job import JobParameters
    from workers.store.claims import ClaimedJob

LONGEST_IN_PLACE = 100_000
"""Characters; the check of a longer work is a thread's, or every other job of the process would wait for it."""
_CORRECTION = "this is not in the submission; quote word for word, or leave it empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """An ending as it is decided on, with what goes with the outcome."""

    ending: Ending
    flags: tuple[Flag, ...] = ()
    findings: Mapping[str, object] = field(default_factory=dict)
    """What was looked at, for the outcome's provenance."""
    may_repair: bool = False

    def changed(self, parameters: JobParameters) -> JobParameters:
        """The run's, with the repair that strict evidence asks for."""
        return replace(parameters, allow_repair=True) if self.may_repair else parameters


async def inspected(ending: Ending, job: ClaimedJob, *, is_compared: bool = False) -> Inspection:
    """Look at an ending; one that is no answer, valid or not, or only compared with one, is passed on as it is."""
    if is_compared or not isinstance(ending, Success | Failure):
        return Inspection(ending=ending)
    if len(job.prompt) <= LONGEST_IN_PLACE:
        return inspect_answer(ending, job)
    return await asyncio.to_thread(inspect_answer, ending, job)


async def asked_again(job: ClaimedJob, seen: Inspection) -> str | None:
    """The prompt of a counterfactual, where the job wants one and the work gives a reason; else None."""
    is_suspected = any(flag.kind is FlagKind.INJECTION_SUSPECTED for flag in seen.flags)
    return await without_passages(job) if job.parameters.counterfactual and is_suspected else None


async def without_passages(job: ClaimedJob) -> str | None:
    """See `prompt_without_passages`."""
    if len(job.prompt) <= LONGEST_IN_PLACE:
        return prompt_without_passages(job)
    return await asyncio.to_thread(prompt_without_passages, job)


def inspect_answer(answer: Success | Failure, job: ClaimedJob) -> Inspection:
    """Look at the work and at the answer. Line numbers in it that are wrong are put right."""
    prompt = visible_text(job.prompt, job.instructions)
    fenced = fenced_works(prompt)
    works = fenced or ([prompt] if job.instructions is not None else [])
    suspicions = injection_flags(works)
    findings: dict[str, object] = (
        {"tripwire": {"version": rules_version(), "passages": len(suspicions)}} if works else {}
    )
    if isinstance(answer, Failure):
        return Inspection(ending=answer, flags=suspicions, findings=findings)
    return _inspect_success(answer, job, fenced or [prompt], suspicions, findings)


def _inspect_success(
    success: Success,
    job: ClaimedJob,
    works: Sequence[str],
    suspicions: tuple[Flag, ...],
    findings: dict[str, object],
) -> Inspection:
    # words in a picture cannot be looked up, so that a quotation which is nowhere in the text says nothing
    is_seen = has_pictures(job.prompt, job.instructions)
    evidence = EvidenceCheck() if is_seen else check_evidence(success.value, works)
    flags = (*suspicions, *evidence.flags, *doubts(success.value))
    if evidence.checked:
        findings["evidence"] = evidence.as_json()
    if evidence.not_found and job.parameters.evidence == STRICT_EVIDENCE:
        failure = _unfounded(success.value, evidence)
        return Inspection(ending=failure, flags=flags, findings=findings, may_repair=True)
    return Inspection(ending=success, flags=flags, findings=findings)


def _unfounded(answer: BaseModel, evidence: EvidenceCheck) -> Failure:
    return Failure(
        kind=FailureKind.INVALID_OUTPUT,
        message=f"{NOT_FOUND}: {len(evidence.not_found)} of {evidence.checked}",
        raw_output=answer.model_dump_json(exclude_computed_fields=True),
        validation_errors=tuple({"loc": (path,), "msg": _CORRECTION} for path in evidence.not_found),
    )
