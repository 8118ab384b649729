"""What the provider gave back, stored: line by line, in bounded chunks, on the way that live answers take.

`lines_settled` follows each chunk; a chunk that is read twice changes nothing. The error file is read from its
beginning each time.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from workers.completion.lanes.errors import NotFound
from workers.completion.lanes.lines import read_line
from workers.completion.lanes.states import NotRun
from workers.contract.outcome import AttemptEnding
from workers.grading.decide import HEALTHY, Park, Snooze
from workers.grading.following import follow
from workers.grading.lanes.filing import request_of
from workers.grading.lanes.returning import return_all
from workers.grading.records import Run
from workers.grading.translate import closing_of, ledger_ending
from workers.log import get_logger
from workers.store.job_update import JobUpdate
from workers.store.lanes.waiting import attempt_named, lines, lines_of
from workers.store.ledger import NO_USAGE, AttemptClosing

if TYPE_CHECKING:
    from workers.completion.lanes.files import FileLine
    from workers.completion.lanes.lines import OutputLine
    from workers.completion.lanes.states import BackgroundState, Ended
    from workers.grading.lanes.work import LaneWork
    from workers.store.lanes.submissions import Submission
    from workers.store.lanes.waiting import Line

logger = get_logger(__name__)

CHUNK = 100
"""Lines a commit: what one crash reads twice."""
_COMPLETED = "completed"


async def persist_answers(work: LaneWork, submission: Submission) -> None:
    """Store what a batch that has ended answered, then give back the jobs of which it says nothing.

    Raises `NotFound` where a file is missing, after what the other one says is stored; and other `LaneError`.
    """
    lost = None
    if submission.error_file is not None:
        try:
            await _read_file(work, submission, submission.error_file, from_line=0, is_output=False)
        except NotFound as error:
            lost = error
    if submission.output_file is not None:
        await _read_file(work, submission, submission.output_file, from_line=submission.lines_settled, is_output=True)
    if lost is not None:
        raise lost
    if submission.ended_as in {_COMPLETED, "gone"}:
        # a line that is missing from whole files, or what nobody knows any more: it may have been answered
        await return_all(work, submission, ending=AttemptEnding.UNKNOWN, message="the provider returned no line for it")
        return
    message = f"the submission ended {submission.ended_as} before its answer"
    await return_all(work, submission, ending=AttemptEnding.NOT_SENT, message=message)


async def _read_file(work: LaneWork, submission: Submission, file_id: str, *, from_line: int, is_output: bool) -> None:
    some: list[FileLine] = []

    async def store_some() -> None:
        await _persist_lines(work, submission, some)
        work.after("chunk persisted")
        if is_output:
            await work.note(submission, lines_settled=some[-1].number + 1)
            work.after("chunk noted")
        some.clear()

    async with aclosing(work.door.download(file_id, from_line=from_line)) as found:
        async for line in found:
            some.append(line)
            if len(some) >= CHUNK:
                await store_some()
    if some:
        await store_some()


async def _persist_lines(work: LaneWork, submission: Submission, some: list[FileLine]) -> None:
    parsed = {attempt_named(line.custom_id): line for each in some if (line := read_line(each.content)) is not None}
    found = await work.in_store(lines_of, submission.id, list(parsed))
    updates = await asyncio.gather(*(_update(work, submission, line, parsed[line.attempt_id]) for line in found))
    await _persist(work, updates)


async def persist_response(work: LaneWork, submission: Submission, state: BackgroundState) -> None:
    """Store how a background response ended; what was not answered goes on in another lane."""
    for line in await work.in_store(lines, submission.id, after="", at_most=1):
        request = request_of(work, line)
        ended = work.door.answer(state, request)
        await _persist(work, [await _followed(work, submission, line, ended)])
    work.after("chunk persisted")
    await return_all(work, submission, ending=AttemptEnding.NOT_SENT, message=f"the response ended {state.status}")


async def _persist(work: LaneWork, updates: list[JobUpdate]) -> None:
    await asyncio.gather(*(work.collaborators.writer.persist(each) for each in updates))


async def _update(work: LaneWork, submission: Submission, line: Line, output: OutputLine) -> JobUpdate:
    request = await asyncio.to_thread(request_of, work, line)
    return await _followed(work, submission, line, work.door.read(output, request))


async def _followed(work: LaneWork, submission: Submission, line: Line, ended: Ended) -> JobUpdate:
    """What one line changes: its ledger row, and its job's outcome or what the job waits for next."""
    profile = work.collaborators.provider.profile_of(submission.model)
    attempt = ended.attempt
    if attempt is None or isinstance(ended.ending, NotRun):
        return JobUpdate(closing=_not_run(line, ended, submission, work))
    closing = closing_of(line.attempt_id, attempt, HEALTHY, profile, most_usd=line.most_usd, lane=submission.lane)
    run = Run.of(line.job)
    followed = await follow(run, attempt, ledger_ending(attempt, HEALTHY))
    if followed.ending is not None:
        provenance = {**(followed.ending.provenance or {}), "lane": str(submission.lane)}
        return JobUpdate(closing=closing, ending=replace(followed.ending, provenance=provenance))
    if not line.is_held:
        return JobUpdate(closing=closing)
    match followed.decision:
        case Park() as park:
            await work.collaborators.account.park(park)
            release = run.release()
        case Snooze() as snooze:
            release = run.release(snooze.after_seconds)
        case _:
            release = run.release()
    return JobUpdate(closing=closing, kept=followed.kept, release=release)


def _not_run(line: Line, ended: Ended, submission: Submission, work: LaneWork) -> AttemptClosing:
    """Spends no attempt; billed only where the provider counted tokens all the same."""
    usage = ended.reply.usage
    profile = work.collaborators.provider.profile_of(submission.model)
    message = ended.ending.message if isinstance(ended.ending, NotRun) else None
    return AttemptClosing(
        attempt_id=line.attempt_id,
        ending=AttemptEnding.NOT_SENT,
        message=message,
        usage=usage or NO_USAGE,
        cost_usd=profile.cost_usd(usage, tier=ended.reply.service_tier, lane=submission.lane) if usage else None,
    )
