"""A provider's lanes, played in this process with a clock of its own: what it took, answered and billed."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workers.completion.lanes.background import ended_background
from workers.completion.lanes.batches import request_line
from workers.completion.lanes.errors import AlreadyEnded, LaneUnavailable, NotFound
from workers.completion.lanes.files import FileLine
from workers.completion.lanes.lines import ended_line
from workers.completion.lanes.states import BackgroundState, BackgroundStatus, BatchState, BatchStatus
from workers.contract.lane import Lane

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from typing import IO

    from workers.completion.attempt import CompletionRequest
    from workers.completion.lanes.lines import OutputLine
    from workers.completion.lanes.states import Ended

ANSWER = json.dumps({"summary": "fine", "score": 80, "suggestions": []})
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def completion(content: str = ANSWER) -> dict[str, Any]:
    """The body of an answered request."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE}


def answered(custom_id: str, content: str = ANSWER) -> dict[str, Any]:
    """A line of an output file."""
    return {"custom_id": custom_id, "response": {"status_code": 200, "body": completion(content)}, "error": None}


def failed(custom_id: str, code: str) -> dict[str, Any]:
    """A line of an error file."""
    return {"custom_id": custom_id, "response": None, "error": {"code": code, "message": code}}


@dataclass
class PlayedBatch:
    """A batch at the provider."""

    id: str
    marker: str
    file_id: str
    custom_ids: list[str]
    created_at: float
    seconds: float
    """Until its last line; its lines are answered one after the other."""
    cancelled_at: float | None = None
    stopped_at: float | None = None
    """When the cancellation takes effect."""
    output: str | None = None
    errors: str | None = None
    status: BatchStatus | None = None
    refusal: Any = None


@dataclass
class PlayedLanes:
    """Files, batches and background responses of one account."""

    clock: Callable[[], float]
    seconds_of: Callable[[Lane, str], float] = lambda lane, _marker: 600.0 if lane.is_background else 420.0
    """Of a lane and the marker of what is handed over: until its last answer."""
    cancel_seconds: Callable[[], float] = lambda: 30.0
    line_of: Callable[[str, int], dict[str, Any]] = lambda custom_id, _number: answered(custom_id)
    is_offered: bool = True
    refusals: list[Any] = field(default_factory=list)
    """Why the next batches are refused as a whole."""
    files: dict[str, tuple[str, list[bytes]]] = field(default_factory=dict)
    batches: dict[str, PlayedBatch] = field(default_factory=dict)
    responses: dict[str, dict[str, Any]] = field(default_factory=dict)
    billed: list[tuple[str, Lane]] = field(default_factory=list)
    """Attempts that were answered."""
    calls: list[str] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # what is pure is the real thing

    def line(self, custom_id: str, request: CompletionRequest) -> bytes:
        """See `LaneDoor.line`."""
        return request_line(custom_id, request)

    def read(self, line: OutputLine, request: CompletionRequest) -> Ended:
        """See `LaneDoor.read`."""
        return ended_line(line, request)

    def answer(self, state: BackgroundState, request: CompletionRequest) -> Ended:
        """See `LaneDoor.answer`."""
        return ended_background(state, request)

    # files

    async def upload(self, content: IO[bytes], marker: str) -> str:
        """See `LaneDoor.upload`."""
        self._offered("upload")
        return self._file(marker, (await asyncio.to_thread(content.read)).splitlines())

    async def find_files(self, marker: str, *, since: float) -> tuple[str, ...]:  # noqa: ARG002 - the door's own shape
        """See `LaneDoor.find_files`."""
        self._offered("find_files")
        return tuple(each for each, (of, _) in self.files.items() if of == marker)

    async def download(self, file_id: str, *, from_line: int = 0) -> AsyncGenerator[FileLine, None]:
        """See `LaneDoor.download`."""
        self._offered("download")
        if file_id not in self.files:
            raise NotFound(file_id)
        for number, content in enumerate(self.files[file_id][1]):
            if number >= from_line:
                yield FileLine(number, content)

    async def delete_file(self, file_id: str) -> bool:
        """See `LaneDoor.delete_file`."""
        self._offered("delete_file")
        self.deleted.add(file_id)
        return self.files.pop(file_id, None) is not None

    # batches

    async def create(self, file_id: str, marker: str) -> BatchState:
        """See `LaneDoor.create`."""
        self._offered("create")
        if file_id not in self.files:
            raise NotFound(file_id)
        custom_ids = [json.loads(line)["custom_id"] for line in self.files[file_id][1]]
        batch = PlayedBatch(
            id=f"batch_{next(self.numbers)}",
            marker=marker,
            file_id=file_id,
            custom_ids=custom_ids,
            created_at=self.clock(),
            seconds=self.seconds_of(Lane.BATCH, marker),
            refusal=self.refusals.pop(0) if self.refusals else None,
        )
        self.batches[batch.id] = batch
        return self._state(batch)

    async def find(self, marker: str, *, since: float) -> tuple[BatchState, ...]:  # noqa: ARG002 - the door's own shape
        """See `LaneDoor.find`."""
        self._offered("find")
        return tuple(self._state(each) for each in reversed(self.batches.values()) if each.marker == marker)

    async def retrieve(self, batch_id: str) -> BatchState:
        """See `LaneDoor.retrieve`."""
        self._offered("retrieve")
        if batch_id not in self.batches:
            raise NotFound(batch_id)
        return self._state(self.batches[batch_id])

    async def cancel(self, batch_id: str) -> BatchState:
        """See `LaneDoor.cancel`."""
        self._offered("cancel")
        batch = self.batches[batch_id]
        if self._state(batch).has_ended:
            raise AlreadyEnded(batch_id)
        if batch.cancelled_at is None:
            batch.cancelled_at, batch.stopped_at = self.clock(), self.clock() + self.cancel_seconds()
        return self._state(batch)

    def _state(self, batch: PlayedBatch) -> BatchState:
        now, longest = self.clock(), Lane.BATCH.longest.total_seconds()  # type: ignore[union-attr] # it has one
        ends_at = batch.created_at + min(batch.seconds, longest)
        status = BatchStatus.IN_PROGRESS
        if batch.status is not None:
            status = batch.status
        elif batch.refusal is not None:
            status = batch.status = BatchStatus.FAILED
        elif batch.stopped_at is not None and batch.stopped_at < ends_at:
            status = BatchStatus.CANCELLED if now >= batch.stopped_at else BatchStatus.CANCELLING
            ends_at = batch.stopped_at
        elif now >= ends_at:
            status = BatchStatus.COMPLETED if batch.seconds <= longest else BatchStatus.EXPIRED
        if status.has_ended and batch.status is None:
            batch.status = status
            self._write_output(batch, ends_at)
        return BatchState(
            batch_id=batch.id,
            status=status,
            input_file_id=batch.file_id,
            output_file_id=batch.output,
            error_file_id=batch.errors,
            marker=batch.marker,
            total=len(batch.custom_ids),
            refusal=batch.refusal,
        )

    def _write_output(self, batch: PlayedBatch, ended_at: float) -> None:
        output, errors = [], []
        for number, custom_id in enumerate(batch.custom_ids):
            done_at = batch.created_at + batch.seconds * (number + 1) / len(batch.custom_ids)
            if done_at <= ended_at + 1e-6:
                output.append(self.line_of(custom_id, number))
            elif batch.status is BatchStatus.EXPIRED:
                errors.append(failed(custom_id, "batch_expired"))
            elif batch.status is BatchStatus.CANCELLED:
                errors.append(failed(custom_id, "batch_cancelled"))
        self.billed += [(each["custom_id"].split(".")[0], Lane.BATCH) for each in output if each["response"]]
        output.reverse()  # in no order that anybody may rely on
        batch.output = self._file("output", [json.dumps(each).encode() for each in output]) if output else None
        batch.errors = self._file("errors", [json.dumps(each).encode() for each in errors]) if errors else None

    # background responses

    async def begin(self, request: CompletionRequest, lane: Lane, marker: str) -> BackgroundState:  # noqa: ARG002
        """See `LaneDoor.begin`."""
        self._offered("begin")
        response_id = f"resp_{next(self.numbers)}"
        self.responses[response_id] = {
            "marker": marker,
            "lane": lane,
            "ends_at": self.clock() + self.seconds_of(lane, marker),
            "status": None,
        }
        return self._response(response_id)

    async def look(self, response_id: str) -> BackgroundState:
        """See `LaneDoor.look`."""
        self._offered("look")
        if response_id not in self.responses:
            raise NotFound(response_id)
        return self._response(response_id)

    async def stop(self, response_id: str) -> BackgroundState:
        """See `LaneDoor.stop`."""
        self._offered("stop")
        if not self._response(response_id).has_ended:
            self.responses[response_id]["status"] = BackgroundStatus.CANCELLED
        return self._response(response_id)

    async def forget(self, response_id: str) -> bool:
        """See `LaneDoor.forget`."""
        self._offered("forget")
        self.deleted.add(response_id)
        return self.responses.pop(response_id, None) is not None

    def _response(self, response_id: str) -> BackgroundState:
        response = self.responses[response_id]
        if response["status"] is None and self.clock() >= response["ends_at"]:
            response["status"] = BackgroundStatus.COMPLETED
            self.billed.append((response["marker"], response["lane"]))
        status = response["status"] or BackgroundStatus.QUEUED
        body: dict[str, Any] = {"id": response_id, "status": str(status), "model": "m"}
        if status is BackgroundStatus.COMPLETED:
            text = {"type": "output_text", "text": ANSWER}
            body["output"] = [{"type": "message", "content": [text]}]
            body["usage"] = {"input_tokens": 1000, "output_tokens": 100}
        return BackgroundState(response_id=response_id, status=status, body=body)

    def _file(self, marker: str, lines: list[bytes]) -> str:
        file_id = f"file_{next(self.numbers)}"
        self.files[file_id] = (marker, lines)
        return file_id

    def _offered(self, call: str) -> None:
        self.calls.append(call)
        if not self.is_offered:
            raise LaneUnavailable("the server does not serve this lane (status 404)", status_code=404)
