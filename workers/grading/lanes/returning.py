"""Jobs that a submission gives back: they take the next faster lane that their time and their batch's price allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.lane_choice import LONGEST_CANCEL_SECONDS, reserve_seconds
from workers.contract.outcome import AttemptEnding
from workers.log import get_logger
from workers.store.lanes.placing import price_of
from workers.store.lanes.returning import close_rest, give_back, least_time_left, unanswered
from workers.store.lanes.submissions import SubmissionState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.contract.lane import Lane
    from workers.grading.lanes.work import LaneWork
    from workers.store.lanes.submissions import Submission

logger = get_logger(__name__)

CHUNK = 500
BEFORE_PERSISTED = frozenset(SubmissionState) - {SubmissionState.PERSISTED}


async def return_all(
    work: LaneWork,
    submission: Submission,
    *,
    ending: AttemptEnding,
    message: str | None = None,
    lane: Lane | None = None,
) -> None:
    """Give back every job that the submission still holds, as `return_jobs` does; then all of it is persisted."""
    await return_unanswered(work, submission, ending=ending, message=message, lane=lane)
    if ending is AttemptEnding.NOT_SENT:
        while await work.in_store(close_rest, submission.id, message=message or "", at_most=CHUNK):
            pass
    work.after("returned")
    await work.advance(submission, since=BEFORE_PERSISTED, to=SubmissionState.PERSISTED, message=message)
    work.after("persisted")


async def return_unanswered(
    work: LaneWork,
    submission: Submission,
    *,
    ending: AttemptEnding,
    message: str | None = None,
    lane: Lane | None = None,
) -> int:
    """Give back what it still holds; returns how many jobs wait again. Doing it twice is harmless."""
    returned = 0
    while held := await work.read(unanswered, submission.id, at_most=CHUNK):
        returned += await return_jobs(work, submission, held, ending=ending, message=message, lane=lane)
    if returned:
        logger.info("lane.returned", lane=str(submission.lane), model=submission.model, jobs=returned)
    return returned


async def return_jobs(
    work: LaneWork,
    submission: Submission,
    job_ids: Sequence[str],
    *,
    ending: AttemptEnding,
    message: str | None = None,
    lane: Lane | None = None,
) -> int:
    """Give back these, for this lane or the next faster one."""
    if lane is None:
        left = await work.read(least_time_left, job_ids)
        lane = await _next_lane(work, submission, left, len(job_ids))
    return await work.in_store(
        give_back,
        submission.id,
        job_ids,
        lane=lane,
        reserve_seconds=reserve_seconds(len(job_ids), live_jobs_per_second=work.live_jobs_per_second),
        ending=ending,
        message=message,
    )


async def _next_lane(work: LaneWork, submission: Submission, left: float | None, jobs: int) -> Lane:
    wish = await work.read(price_of, submission.batch_id)
    known = await work.known_lanes()
    if left is not None and submission.is_late:
        left -= LONGEST_CANCEL_SECONDS  # it is no time for another try that the cancellation was quick
    return known.choose(
        wish,
        model=submission.model,
        seconds_to_deadline=left,
        jobs=jobs,
        cheapest=submission.lane,
        is_left=True,
    )
