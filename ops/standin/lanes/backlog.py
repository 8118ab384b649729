"""Everything that is to be answered later: files, batches and background responses of every account.

Time moves it: `advance` answers, in the order of their turns, all requests whose time has come by the server's clock.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from ops.standin.chat_request import read_chat_request
from ops.standin.errors import ApiError, bad_request
from ops.standin.lanes.answering import answer, new_request_id, refuse_marked
from ops.standin.lanes.batch_input import InputError, read_batch_input
from ops.standin.lanes.batches import ENDED, Batch, BatchLine, plan
from ops.standin.lanes.delays import delay_of
from ops.standin.lanes.files import Files
from ops.standin.lanes.responses import Response
from ops.standin.lanes.script import LaneFault, LaneScript

if TYPE_CHECKING:
    from ops.standin.lanes.response_request import BackgroundRequest
    from ops.standin.state import State

BATCH_LANE = "batch"
_AT_ONCE = 50
"""Answers between two looks at the network."""


class Backlog:
    """One stand-in's slow lanes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.files = Files()
        self.batches: dict[str, Batch] = {}
        self.responses: dict[str, Response] = {}
        self._random = Random(state.config.seed)  # noqa: S311 - made-up delays, not secrets
        self._made: Counter[str] = Counter()
        self._advancing = asyncio.Lock()
        self.rescript()

    def rescript(self) -> None:
        """Start the script of faults again."""
        self.script = LaneScript(self._state.config.lane_faults, random=Random(self._state.config.seed))  # noqa: S311

    async def make_batch(
        self, account: str, *, input_file_id: str, endpoint: str, metadata: dict[str, str] | None
    ) -> Batch:
        """Start a batch; what is wrong with its file shows once it is validated."""
        state, now = self._state, self._state.clock()
        stored = self.files.find(account, input_file_id)
        if stored is None or self.script.happens(LaneFault.FILE_UNKNOWN):
            message = f"Cannot find file {input_file_id}, or the project does not have access to it."
            raise bad_request(message, param="file_id")
        if stored.purpose != "batch":
            message = f"The purpose of file {input_file_id} must be 'batch', but is '{stored.purpose}'."
            raise bad_request(message, param="input_file_id")
        # a large file takes seconds to read, in which live calls go on
        read = await asyncio.to_thread(
            read_batch_input, stored.content, endpoint=endpoint, any_model=state.config.any_model
        )
        batch = Batch(
            batch_id=f"batch_{os.urandom(12).hex()}",
            account=account,
            endpoint=endpoint,
            input_file_id=input_file_id,
            metadata=metadata,
            model=read.model,
            limit_name=read.limit_name,
            prompt_tokens=read.prompt_tokens,
            created_at=now,
            validated_at=now,
            ends_at=now,
            expires_at=now,
            errors=read.errors
            or self._scripted_errors()
            or self._queue_errors(account, read.limit_name, read.prompt_tokens),
        )
        takes_seconds = self._takes(BATCH_LANE, state.config.batch_seconds)
        window_seconds = state.config.batch_window_seconds
        if self.script.happens(LaneFault.BATCH_EXPIRED):
            takes_seconds = 2 * window_seconds
        plan(batch, read, takes_seconds=takes_seconds, window_seconds=window_seconds, random=self._random)
        for line in batch.lines:
            line.is_missing = self.script.happens(LaneFault.LINE_MISSING)
            if line.is_missing or self.script.happens(LaneFault.LINE_EXPIRED):
                line.due_at = math.inf
        self.batches[batch.batch_id] = batch
        return batch

    def make_response(self, account: str, request: BackgroundRequest) -> Response:
        """Take a request in; ApiError where its marks ask for a refusal."""
        state, now = self._state, self._state.clock()
        refuse_marked(state, request.asked)
        window_seconds = {"2h": 7_200.0, "8h": 28_800.0}.get(request.window, math.inf)
        script = state.config.window_8h_seconds if request.window == "8h" else state.config.window_2h_seconds
        takes_seconds = self._takes(request.window, script)
        response = Response(
            response_id=f"resp_{os.urandom(24).hex()}",
            account=account,
            request=request,
            request_id=new_request_id(),
            created_at=now,
            ends_at=now + min(takes_seconds, window_seconds),
            is_in_time=takes_seconds <= window_seconds,
        )
        self.responses[response.response_id] = response
        return response

    def cancel_batch(self, batch: Batch) -> None:
        """Stop a batch; ApiError 409 where it has ended."""
        now = self._state.clock()
        status = batch.status(now)
        if status in ENDED and status != "cancelled":
            raise ApiError(409, f"Cannot cancel a batch with status '{status}'.")
        if batch.cancelled_at is None:
            batch.cancelled_at = now
            batch.cancel_ends_at = now + self._state.config.cancel_seconds

    def cancel_response(self, response: Response) -> None:
        """Stop a response; one that has ended stays as it is."""
        if not response.is_open:
            return
        now = self._state.clock()
        if response.status(now) == "in_progress" and self._state.config.bill_abandoned:
            self._answer_response(response, at=now)
        response.cancelled_at = now

    async def advance(self) -> None:
        """Answer what is due, and write the files of the batches that have ended."""
        async with self._advancing:
            now = self._state.clock()
            due: list[tuple[float, Batch | None, BatchLine | Response]] = [
                (line.due_at, batch, line) for batch in self.batches.values() for line in batch.due(now)
            ]
            due += [
                (each.ends_at, None, each) for each in self.responses.values() if each.is_open and each.ends_at <= now
            ]
            for number, (at, batch, each) in enumerate(sorted(due, key=lambda entry: entry[0]), 1):
                if isinstance(each, BatchLine) and batch is not None:
                    self._answer_line(batch, each, at=at)
                elif isinstance(each, Response) and each.is_open:
                    self._answer_response(each, at=at)
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            for batch in self.batches.values():
                if not batch.is_closed and batch.status(now) in ENDED:
                    self._close(batch, now)

    def stats(self) -> dict[str, Any]:
        """How many there are now, batches and responses by state; what was deleted is not among them."""
        now = self._state.clock()
        return {
            "files": len(self.files),
            "batches": dict(Counter(batch.status(now) for batch in self.batches.values())),
            "responses": dict(Counter(response.status(now) for response in self.responses.values())),
        }

    def _takes(self, name: str, script: Any) -> float:
        number = self._made[name]
        self._made[name] += 1
        return float(delay_of(script, number).draw(self._random))

    def _scripted_errors(self) -> tuple[InputError, ...]:
        if self.script.happens(LaneFault.QUEUE_FULL):
            return (_queue_full("the model", self._state.config.batch_queue_tokens or 0),)
        if self.script.happens(LaneFault.BATCH_FAILED):
            return (InputError("invalid_json_line", "This line is not parseable as valid JSON.", 1),)
        return ()

    def _queue_errors(self, account: str, limit_name: str | None, tokens: int) -> tuple[InputError, ...]:
        limit = self._state.config.batch_queue_tokens
        if limit is None or limit_name is None:
            return ()
        now = self._state.clock()
        enqueued = sum(
            batch.prompt_tokens
            for batch in self.batches.values()
            if (batch.account, batch.limit_name) == (account, limit_name) and batch.holds_queue(now)
        )
        return (_queue_full(limit_name, limit),) if enqueued + tokens > limit else ()

    def _answer_line(self, batch: Batch, line: BatchLine, *, at: float) -> None:
        request_id, status = new_request_id(), 200
        try:
            body = self._body(batch, line, request_id=request_id, at=at)
        except ApiError as refused:
            line.has_failed, status = True, refused.status
            body = json.loads(refused.body()) if refused.content_type == "application/json" else {"error": {}}
        response = {"status_code": status, "request_id": request_id, "body": body}
        line.written = _line(line.input.custom_id, response=response)

    def _body(self, batch: Batch, line: BatchLine, *, request_id: str, at: float) -> dict[str, Any]:
        if self.script.happens(LaneFault.LINE_ERROR):
            raise ApiError(500, "The server had an error while processing your request.", kind="server_error")
        asked = read_chat_request(line.input.body, any_model=self._state.config.any_model)
        if asked.is_streamed:
            raise bad_request("Streaming is not supported in the Batch API.", param="stream")
        return answer(self._state, batch.account, asked, lane=BATCH_LANE, request_id=request_id, at=at).body

    def _answer_response(self, response: Response, *, at: float) -> None:
        asked, account = response.request.asked, response.account
        if not response.is_in_time:
            response.failed = ApiError(500, "The completion window has passed.", code="server_error")
            return
        try:
            response.answered = answer(
                self._state,
                account,
                asked,
                lane=response.lane,
                request_id=response.request_id,
                at=at,
                is_new=False,
            )
        except ApiError as error:
            response.failed = error

    def _close(self, batch: Batch, now: float) -> None:
        batch.is_closed = True
        code = "batch_cancelled" if batch.cancelled_at is not None else "batch_expired"
        for line in batch.lines:
            if line.written is None and not line.is_missing:
                line.written = _line(line.input.custom_id, error={"code": code, "message": _NOT_RUN[code]})
                line.has_failed = True
        written = [line for line in batch.lines if line.written is not None]
        batch.output_file_id = self._write(batch, [line for line in written if not line.has_failed], "output", now)
        batch.error_file_id = self._write(batch, [line for line in written if line.has_failed], "error", now)

    def _write(self, batch: Batch, lines: list[BatchLine], name: str, now: float) -> str | None:
        if not lines:
            return None
        content = b"".join(json.dumps(line.written).encode() + b"\n" for line in lines)
        filename = f"{batch.batch_id}_{name}.jsonl"
        created_at = int(now + self._state.epoch)
        stored = self.files.add(
            batch.account, filename=filename, purpose="batch_output", content=content, created_at=created_at
        )
        return stored.file_id


_NOT_RUN = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was cancelled before it was executed.",
}


def _line(
    custom_id: str, *, response: dict[str, Any] | None = None, error: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "id": f"batch_req_{os.urandom(12).hex()}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }


def _queue_full(model: str, limit: int) -> InputError:
    message = (
        f"Enqueued token limit reached for {model} in organization org-standin. Limit: {limit:,} enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )
    return InputError("token_limit_exceeded", message)
