"""A submission on its way to the provider: its file is written and uploaded, its batch or response begun.

Every step is: the intention is in the store, with the marker; do it; note it. Who resumes asks for the marker before
doing it again. A background response cannot be found again: one that was not noted is `unknown` in the ledger.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from http import HTTPStatus
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from workers.completion.classify import Transient
from workers.completion.lanes.errors import AlreadyEnded, LaneCallFailed, LaneError, NotFound
from workers.completion.lanes.files import MAX_FILE_BYTES
from workers.contract.errors import InvalidInput
from workers.contract.lane import Lane
from workers.contract.lane_choice import reserve_seconds
from workers.contract.outcome import AttemptEnding, Failure
from workers.grading.following import schema_of
from workers.grading.lanes.returning import return_all, return_jobs
from workers.grading.records import Run
from workers.log import get_logger
from workers.store.lanes.submissions import BEFORE_PROVIDER, SubmissionState
from workers.store.lanes.waiting import lines, note_leaving, seconds_to_first_deadline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

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
        await work.advance(submission, since={SubmissionState.BUILDING}, to=SubmissionState.PERSISTED)
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


async def find_begun(work: LaneWork, submission: Submission) -> bool:
    """Whether a worker that died made something at the provider and noted it not; it is noted now.

    Raises `LaneError`: then nobody knows.
    """
    if submission.id in work.is_fresh or submission.lane.is_background:
        return False
    since = submission.opened_at - SEARCH_SECONDS
    if submission.state is SubmissionState.BUILDING:
        files = await work.door.find_files(submission.id, since=since)
        for extra in files[1:]:
            await work.door.delete_file(extra)
        if files:
            await _note_upload(work, submission, files[0])
        return bool(files)
    batches = await work.door.find(submission.id, since=since)
    for extra_batch in batches[:-1]:
        logger.warning("lane.batch_made_twice", submission=submission.id)
        with suppress(AlreadyEnded):
            await work.door.cancel(extra_batch.batch_id)
    if batches:
        await _note_creation(work, submission, batches[-1].batch_id)  # the oldest
    return bool(batches)


def is_surely_unsent(work: LaneWork, submission: Submission) -> bool:
    """Whether the provider works on nothing of it: a file alone is no request."""
    is_file = submission.state is SubmissionState.BUILDING and not submission.lane.is_background
    return is_file or submission.id in work.is_fresh


async def _upload(work: LaneWork, submission: Submission) -> None:
    if await find_begun(work, submission):
        return
    with await asyncio.to_thread(_nameless, work.folder) as file:
        if not await _write(work, submission, file):
            await return_all(work, submission, ending=AttemptEnding.NOT_SENT, message="no request of it can be written")
            return
        work.after("written")
        with _asking(work, submission):
            file_id = await work.door.upload(file, submission.id)
    work.after("uploaded")
    await _note_upload(work, submission, file_id)
    work.is_fresh.add(submission.id)
    work.after("upload noted")


@contextmanager
def _asking(work: LaneWork, submission: Submission) -> Iterator[None]:
    """Around a call that makes something at the provider: from here on only a plain refusal says that it did not."""
    work.is_fresh.discard(submission.id)
    try:
        yield
    except LaneError as error:
        is_open = isinstance(error, LaneCallFailed) and isinstance(error.ending, Transient)
        if not is_open or error.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            work.is_fresh.add(submission.id)
        raise


def _nameless(folder: Path) -> IO[bytes]:
    """Prompts are student work: nobody else can open the file, and a killed process leaves nothing of it."""
    return TemporaryFile(dir=folder)


async def _write(work: LaneWork, submission: Submission, file: IO[bytes]) -> int:
    """Every line; jobs that no line can be written for, and those that find no room, are given back.

    Returns the number of bytes, and leaves the file at its beginning.
    """
    after, size_bytes = "", 0
    while some := await work.in_store(lines, submission.id, after=after, at_most=CHUNK):
        after = some[-1].attempt_id
        content, unwritable = await asyncio.to_thread(_written, work, some)
        if size_bytes + len(content) > MAX_FILE_BYTES:
            jobs = [line.job.id for line in some]
            await return_jobs(work, submission, jobs, ending=AttemptEnding.NOT_SENT, lane=submission.lane)
            continue
        size_bytes += len(content)
        await asyncio.to_thread(file.write, content)
        if unwritable:  # the live path says what is wrong with each
            await return_jobs(work, submission, unwritable, ending=AttemptEnding.NOT_SENT, lane=Lane.LIVE)
    await asyncio.to_thread(file.seek, 0)
    return size_bytes


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
    if await find_begun(work, submission):
        return
    try:
        with _asking(work, submission):
            state = await work.door.create(submission.input_file or "", submission.id)
    except NotFound:
        await _after_lost_file(work, submission)
        return
    work.after("created")
    await _note_creation(work, submission, state.batch_id)


async def _note_upload(work: LaneWork, submission: Submission, file_id: str) -> None:
    await work.advance(submission, since={SubmissionState.BUILDING}, to=SubmissionState.UPLOADED, input_file=file_id)


async def _note_creation(work: LaneWork, submission: Submission, provider_id: str) -> None:
    await work.advance(submission, since=BEFORE_PROVIDER, to=SubmissionState.CREATED, provider_id=provider_id)
    work.after("creation noted")


async def _after_lost_file(work: LaneWork, submission: Submission) -> None:
    """The file is not there yet, or not any more."""
    if submission.now - submission.opened_at < SEARCH_SECONDS / 6:
        await work.note(submission, look_after_seconds=NEW_FILE_SECONDS)
        return
    await return_all(work, submission, ending=AttemptEnding.NOT_SENT, message="the provider lost the file")


async def _begin_response(work: LaneWork, submission: Submission) -> None:
    if not is_surely_unsent(work, submission):
        await take_back(work, submission)
        return
    [line] = await work.in_store(lines, submission.id, after="", at_most=1)
    with _asking(work, submission):
        state = await work.door.begin(request_of(work, line), submission.lane, submission.id)
    work.after("created")
    await _note_creation(work, submission, state.response_id)


async def take_back(work: LaneWork, submission: Submission) -> None:
    """Give back the jobs of one that is not at the provider, as far as anybody knows. Raises `LaneError`."""
    if await find_begun(work, submission):
        return  # it is cancelled as any other, or its file deleted
    if is_surely_unsent(work, submission) or not submission.lane.is_background:
        ending, message = AttemptEnding.NOT_SENT, "taken back before it was handed over"
    else:
        ending, message = AttemptEnding.UNKNOWN, "the worker died while it handed the request over"
    await return_all(work, submission, ending=ending, message=message)
