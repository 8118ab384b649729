"""One look at one submission: what its state asks for is done, and noted. Every step may be repeated after a crash."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from workers.completion.classify import Blocked, Throttled
from workers.completion.lanes.errors import AlreadyEnded, LaneCallFailed, LaneError, LaneUnavailable, NotFound
from workers.completion.lanes.states import BatchStatus
from workers.contract.lane import Lane
from workers.contract.lane_choice import live_seconds
from workers.contract.outcome import AttemptEnding, Failure
from workers.grading.decide import Park
from workers.grading.lanes.filing import begin_batch, hand_over, is_surely_unsent, take_back
from workers.grading.lanes.reading import persist_answers, persist_response
from workers.grading.lanes.returning import return_all, return_unanswered
from workers.log import get_logger
from workers.store.lanes.submissions import (
    AT_PROVIDER,
    BEFORE_PROVIDER,
    SubmissionState,
    cancellation_is_asked,
    is_held_back,
    note_cleaned,
)
from workers.store.lanes.times import note_refusal
from workers.store.lanes.waiting import seconds_to_first_deadline

if TYPE_CHECKING:
    from workers.completion.lanes.states import BackgroundState, BatchState
    from workers.grading.lanes.work import LaneWork
    from workers.store.lanes.submissions import Submission

logger = get_logger(__name__)

SHORTEST_LOOK_SECONDS = 5.0
LONGEST_LOOK_SECONDS = 300.0
SHARE_OF_AGE = 0.1
"""A submission that has taken an hour is looked at every five minutes, one that has just begun every five seconds."""
AGAIN_SECONDS = 15.0
"""After a call that failed."""
DELETE_AGAIN_SECONDS = 600.0
GONE_SECONDS = 600.0
"""What the provider does not know for so long is gone; a moment means a new id, or a gateway that is being changed."""


async def step(work: LaneWork, submission: Submission) -> None:
    """Take the submission one step further, or say when to look again. Raises what the store raises."""
    try:
        await _step(work, submission)
    except LaneUnavailable as problem:
        await _refused(work, submission, problem)
    except LaneCallFailed as failed:
        await _after_failed_call(work, submission, failed)
    except LaneError as problem:
        logger.warning("lane.call_failed", submission=submission.id, reason=str(problem))
        await work.note(submission, look_after_seconds=AGAIN_SECONDS)


async def _step(work: LaneWork, submission: Submission) -> None:
    if submission.state in BEFORE_PROVIDER and (submission.is_late or await _is_unwanted(work, submission)):
        await take_back(work, submission)
        return
    match submission.state:
        case SubmissionState.BUILDING:
            await hand_over(work, submission)
        case SubmissionState.UPLOADED:
            await begin_batch(work, submission)
        case SubmissionState.CREATED | SubmissionState.CANCELLING if submission.lane.is_background:
            await _look_at_response(work, submission)
        case SubmissionState.CREATED | SubmissionState.CANCELLING:
            await _look_at_batch(work, submission)
        case SubmissionState.ENDED:
            await _read_answers(work, submission)
        case SubmissionState.PERSISTED:
            await _clean(work, submission)


async def _is_unwanted(work: LaneWork, submission: Submission) -> bool:
    return await work.read(cancellation_is_asked, submission.id) or await work.read(is_held_back, submission.id)


async def _look_at_batch(work: LaneWork, submission: Submission) -> None:
    door, batch_id = work.door, submission.provider_id or ""
    try:
        state = await door.retrieve(batch_id)
    except NotFound:
        await _gone(work, submission)
        return
    work.unknown_since.pop(submission.id, None)
    work.after("looked")
    if state.has_ended:
        await _note_end(work, submission, state)
    elif submission.state is SubmissionState.CREATED and await _has_to_leave(work, submission):
        try:
            await door.cancel(batch_id)
        except AlreadyEnded:
            await work.note(submission)
            return
        work.after("cancelled")
        await work.advance(
            submission,
            since={SubmissionState.CREATED},
            to=SubmissionState.CANCELLING,
            look_after_seconds=SHORTEST_LOOK_SECONDS,
        )
        work.after("cancellation noted")
    else:
        await _look_later(work, submission)


async def _note_end(work: LaneWork, submission: Submission, state: BatchState) -> None:
    if state.refusal is not None:
        await _after_refusal(work, submission, state)
        return
    await work.advance(
        submission,
        since=AT_PROVIDER,
        to=SubmissionState.ENDED,
        ended_as=str(state.status),
        output_file=state.output_file_id,
        error_file=state.error_file_id,
    )
    if state.status is BatchStatus.COMPLETED and submission.model in work.most_tokens:
        work.most_tokens[submission.model] *= 2
    work.after("end noted")


async def _after_refusal(work: LaneWork, submission: Submission, state: BatchState) -> None:
    """The provider refused the batch as a whole: nothing ran, and nothing is billed."""
    refusal = state.refusal
    if isinstance(refusal, Throttled):
        # its queue is full: less at once from now on
        work.most_tokens[submission.model] = max(submission.input_tokens // 2, 1)
        logger.warning("lane.queue_full", model=submission.model, tokens=submission.input_tokens)
        is_one = submission.requests <= 1
        await return_all(
            work,
            submission,
            ending=AttemptEnding.THROTTLED,
            message=refusal.message,
            lane=None if is_one else submission.lane,
        )
        return
    message = refusal.message if refusal is not None else "the provider refused the batch"
    if isinstance(refusal, Blocked):
        await work.collaborators.account.park(Park(refusal.account, refusal.message))
    else:
        await _bar(work, submission, submission.model, message)
    await return_all(work, submission, ending=AttemptEnding.NOT_SENT, message=message)


async def _look_at_response(work: LaneWork, submission: Submission) -> None:
    door, response_id = work.door, submission.provider_id or ""
    try:
        state: BackgroundState = await door.look(response_id)
        work.unknown_since.pop(submission.id, None)
        work.after("looked")
        if (
            not state.has_ended
            and submission.state is SubmissionState.CREATED
            and await _has_to_leave(work, submission)
        ):
            state = await door.stop(response_id)
            work.after("cancelled")
            if not state.has_ended:
                await work.advance(
                    submission,
                    since={SubmissionState.CREATED},
                    to=SubmissionState.CANCELLING,
                    look_after_seconds=SHORTEST_LOOK_SECONDS,
                )
                return
    except NotFound:
        await _gone(work, submission)
        return
    if state.has_ended:
        await work.note(submission, ended_at=submission.now, ended_as=str(state.status))
        await persist_response(work, submission, state)
    else:
        await _look_later(work, submission)


async def _has_to_leave(work: LaneWork, submission: Submission) -> bool:
    return submission.is_late or await work.read(cancellation_is_asked, submission.id)


async def _look_later(work: LaneWork, submission: Submission) -> None:
    age = submission.now - (submission.created_at or submission.opened_at)
    wait = min(max(age * SHARE_OF_AGE, SHORTEST_LOOK_SECONDS), LONGEST_LOOK_SECONDS)
    if submission.leave_at is not None and not submission.is_late:
        wait = min(wait, max(submission.leave_at - submission.now, 0.0) + 0.1)
    if submission.state is SubmissionState.CANCELLING and submission.leave_at is not None:
        wait = SHORTEST_LOOK_SECONDS
        await _send_what_cannot_wait(work, submission, "not cancelled in time; its answer, should one come, is billed")
    await work.note(submission, look_after_seconds=wait)


async def _send_what_cannot_wait(work: LaneWork, submission: Submission, message: str) -> None:
    """Where a deadline leaves only the time that live calls need, its jobs go, whatever becomes of the submission."""
    left = await work.read(seconds_to_first_deadline, submission.id)
    needed = live_seconds(submission.requests, live_jobs_per_second=work.live_jobs_per_second)
    if left is not None and left < needed:
        await return_unanswered(work, submission, ending=AttemptEnding.UNKNOWN, message=message)


async def _read_answers(work: LaneWork, submission: Submission) -> None:
    try:
        await persist_answers(work, submission)
    except NotFound:
        await _gone(work, submission)


async def _gone(work: LaneWork, submission: Submission) -> None:
    """The provider does not know it, or its files. Once that is sure, nobody can say what became of its requests."""
    since = work.unknown_since.setdefault(submission.id, submission.now)
    if submission.now - since < GONE_SECONDS:
        await _send_what_cannot_wait(work, submission, "not found at the provider in time; it may be billed")
        await work.note(submission, look_after_seconds=AGAIN_SECONDS)
        return
    logger.warning("lane.submission_gone", submission=submission.id, lane=str(submission.lane))
    await work.advance(submission, since=AT_PROVIDER, to=SubmissionState.ENDED, ended_as="gone")
    message = "the provider does not know the submission any more; it may be billed"
    await return_all(work, submission, ending=AttemptEnding.UNKNOWN, message=message)
    work.unknown_since.pop(submission.id, None)


async def _refused(work: LaneWork, submission: Submission, problem: LaneUnavailable) -> None:
    """The server has no such lane: said once, and everything that waits for it goes another way."""
    is_of_model = problem.status_code == HTTPStatus.BAD_REQUEST
    await _bar(work, submission, submission.model if is_of_model else "", str(problem))
    if submission.state in BEFORE_PROVIDER:
        await return_all(work, submission, ending=_unsent(work, submission), message=str(problem))
    elif submission.state is SubmissionState.PERSISTED:
        await work.in_store(note_cleaned, submission.id)
    else:
        await _gone(work, submission)


async def _bar(work: LaneWork, submission: Submission, model: str, message: str) -> None:
    for lane in Lane:
        is_same = lane is submission.lane or (lane.is_background and submission.lane.is_background)
        if is_same and await work.in_store(note_refusal, submission.account, lane, model, message):
            logger.warning("lane.unavailable", lane=str(lane), model=model or "every model", reason=message)


async def _after_failed_call(work: LaneWork, submission: Submission, failed: LaneCallFailed) -> None:
    ending = failed.ending
    if isinstance(ending, Blocked):
        await work.collaborators.account.park(Park(ending.account, ending.message))
    may_be_there = isinstance(ending, Blocked) and not is_surely_unsent(work, submission)
    if submission.state in BEFORE_PROVIDER and isinstance(ending, Failure | Blocked) and not may_be_there:
        # a response is one job's request: what is wrong with that request is no reason to close its lane to others
        is_jobs_own = submission.lane.is_background and isinstance(ending, Failure) and not ending.could_be_account
        if isinstance(ending, Failure) and not is_jobs_own:
            await _bar(work, submission, submission.model, ending.message)
        lane = Lane.LIVE if is_jobs_own else None  # where the job ends by what is wrong with it
        unsent = _unsent(work, submission)
        await return_all(work, submission, ending=unsent, message=ending.message, lane=lane)
        return
    wait = getattr(ending, "wait_seconds", None) or AGAIN_SECONDS
    if submission.state is SubmissionState.PERSISTED:  # nobody waits for the deletion of its files
        wait = DELETE_AGAIN_SECONDS
    else:
        await _send_what_cannot_wait(work, submission, "the provider was not reached in time; it may be billed")
    logger.warning("lane.call_failed", submission=submission.id, state=str(submission.state), reason=ending.message)
    await work.note(submission, look_after_seconds=min(wait, DELETE_AGAIN_SECONDS))


def _unsent(work: LaneWork, submission: Submission) -> AttemptEnding:
    """How requests end that the provider refused, or refused to look for."""
    return AttemptEnding.NOT_SENT if is_surely_unsent(work, submission) else AttemptEnding.UNKNOWN


async def _clean(work: LaneWork, submission: Submission) -> None:
    """Delete at the provider what was made there for it."""
    door = work.door
    if submission.lane.is_background:
        if submission.provider_id is not None:
            await door.forget(submission.provider_id)
    else:
        for file_id in (submission.input_file, submission.output_file, submission.error_file):
            if file_id is not None:
                await door.delete_file(file_id)
    work.after("deleted")
    await work.in_store(note_cleaned, submission.id)
    work.after("cleaned")
