"""A submission on its way to the provider: its file is written and uploaded, its batch or response begun.

Every step is: the intention is in the store, with the marker; do it; note it. Who resumes asks for the marker before
doing it again. A background response cannot be found again: one that was not noted is `unknown` in the ledger.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO

from workers.completion.classify import Throttled
from workers.completion.lanes.errors import AlreadyEnded, LaneCallFailed, NotFound
from workers.completion.lanes.files import MAX_FILE_BYTES
from workers.contract.errors import InvalidInput
from workers.contract.lane import Lane
from workers.contract.lane_choice import reserve_seconds
from workers.contract.outcome import AttemptEnding, Failure
from workers.grading.following import schema_of
from workers.grading.lanes.returning import return_all, return_jobs
from workers.grading.records import Run
from workers.log import get_logger
from workers.store.lanes.submissions import SubmissionState
from workers.store.lanes.waiting import lines, note_leaving, seconds_to_first_deadline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.completion.attempt import CompletionRequest
    from workers.grading.lanes.work import LaneWork
    from workers.store.lanes.submissions import Submission
    from workers.store.lanes.waiting import Line

logger = get_logger(__name__)

CHUNK = 500
NEW_FILE_SECONDS = 5.0
"""A server may not know a file that it has only just taken."""
SEARCH_SECONDS = 3600.0
"""What was made for a submission is searched for down to so long before it was opened: clocks differ."""


async def hand_over(work: LaneWork, submission: Submission) -> None:
    """Take a submission that is being built to the provider's file, or to its response."""
    if not submission.requests:
        await work.advance(submission, since={SubmissionState.BUILDING}, to=SubmissionState.SETTLED)
        return
    left = await work.read(seconds_to_first_deadline, submission.id)
    if left is not None:
        reserve = reserve_seconds(
            submission.requests, seconds_left=left, live_jobs_per_second=work.live_jobs_per_second
        )
        await work.in_store(note_leaving, submission.id, reserve_seconds=reserve)
    if submission.lane.is_background:
        await _begin_response(work, submission)
    else:
        await _upload(work, submission)


async def _upload(work: LaneWork, submission: Submission) -> None:
    door = work.door
    found: tuple[str, ...] = ()
    if submission.id not in work.is_fresh:
        found = await door.find_files(submission.id, since=submission.opened_at - SEARCH_SECONDS)
    if found:
        file_id = found[0]
        for extra in found[1:]:
            await door.delete_file(extra)
    else:
        path = work.folder / f"lane-{submission.id}.jsonl"
        try:
            await _write(work, submission, path)
            work.after("written")
            with _asking(work, submission):
                file_id = await door.upload(path, submission.id)
        finally:
            with suppress(OSError):
                await asyncio.to_thread(path.unlink, missing_ok=True)
    work.after("uploaded")
    await work.advance(submission, since={SubmissionState.BUILDING}, to=SubmissionState.UPLOADED, input_file=file_id)
    work.is_fresh.add(submission.id)
    work.after("upload noted")


@contextmanager
def _asking(work: LaneWork, submission: Submission) -> Iterator[None]:
    """Around a call that makes something at the provider: from here on only a plain refusal says that it did not."""
    work.is_fresh.discard(submission.id)
    try:
        yield
    except LaneCallFailed as failed:
        if isinstance(failed.ending, Throttled) or failed.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            work.is_fresh.add(submission.id)
        raise


async def _write(work: LaneWork, submission: Submission, path: Path) -> None:
    """Every line; jobs that no line can be written for, and those that find no room, are given back."""
    after, size_bytes = "", 0
    with await asyncio.to_thread(_private, path) as file:
        while some := await work.in_store(lines, submission.id, after=after, at_most=CHUNK):
            after = some[-1].attempt_id
            content, unwritable = await asyncio.to_thread(_written, work, some)
            if size_bytes + len(content) > MAX_FILE_BYTES:
                jobs = [line.job.id for line in some]
                await return_jobs(work, submission, jobs, ending=AttemptEnding.NOT_SENT, same_lane=True)
                continue
            size_bytes += len(content)
            await asyncio.to_thread(file.write, content)
            if unwritable:  # the live path says what is wrong with each
                await return_jobs(work, submission, unwritable, ending=AttemptEnding.NOT_SENT, lane=Lane.LIVE)


def _private(path: Path) -> BinaryIO:
    """Prompts are student work."""
    file = path.open("wb")
    path.chmod(0o600)
    return file


def _written(work: LaneWork, some: list[Line]) -> tuple[bytes, list[str]]:
    door, written, unwritable = work.door, [], []
    for line in some:
        if line.is_held:
            try:
                written.append(door.line(line.custom_id, request_of(work, line)))
            except (InvalidInput, ValueError):
                unwritable.append(line.job.id)
    return b"".join(written), unwritable


def request_of(work: LaneWork, line: Line) -> CompletionRequest:
    """The request of a line, the same whenever it is asked for. ValueError where this worker has another schema."""
    schema_model = schema_of(work.collaborators.registry, line.job)
    if isinstance(schema_model, Failure):
        raise ValueError(schema_model.message)  # noqa: TRY004 - a value of the store, not an argument
    return Run.of(line.job).request(schema_model, work.collaborators.provider)


async def begin_batch(work: LaneWork, submission: Submission) -> None:
    """Start the batch of an uploaded file."""
    door = work.door
    found = []
    if submission.id not in work.is_fresh:
        found = list(await door.find(submission.id, since=submission.opened_at - SEARCH_SECONDS))
    if found:
        state = found.pop()  # the oldest
        for extra in found:
            logger.warning("lane.batch_made_twice", submission=submission.id)
            with suppress(AlreadyEnded):
                await door.cancel(extra.batch_id)
    else:
        try:
            with _asking(work, submission):
                state = await door.create(submission.input_file or "", submission.id)
        except NotFound:
            await _after_lost_file(work, submission)
            return
    work.after("created")
    await work.advance(
        submission, since={SubmissionState.UPLOADED}, to=SubmissionState.CREATED, provider_id=state.batch_id
    )
    work.after("creation noted")


async def _after_lost_file(work: LaneWork, submission: Submission) -> None:
    """The file is not there yet, or not any more."""
    if submission.now - submission.opened_at < SEARCH_SECONDS / 6:
        await work.note(submission, look_after_seconds=NEW_FILE_SECONDS)
        return
    await return_all(work, submission, ending=AttemptEnding.NOT_SENT, message="the provider lost the file")


async def _begin_response(work: LaneWork, submission: Submission) -> None:
    [line] = await work.in_store(lines, submission.id, after="", at_most=1)
    if submission.id not in work.is_fresh:
        message = "the worker died while it handed the request over"
        await return_all(work, submission, ending=AttemptEnding.UNKNOWN, message=message)
        return
    with _asking(work, submission):
        state = await work.door.begin(request_of(work, line), submission.lane, submission.id)
    work.after("created")
    await work.advance(
        submission, since={SubmissionState.BUILDING}, to=SubmissionState.CREATED, provider_id=state.response_id
    )
    work.after("creation noted")
