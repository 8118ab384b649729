"""A line of a batch's output or error file, read into the ending that a live call would have had. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from workers.completion.attempt import attempt_of, without_answer
from workers.completion.chat_body import chat_body
from workers.completion.errors.failed_call import FailedCall, Reason, failed_call_in_body
from workers.completion.lanes.states import Ended, NotRun, NotRunReason
from workers.completion.peer_values import name_of
from workers.completion.transport.chat_completion import completion_of
from workers.completion.transport.response_note import ResponseNote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.completion.attempt import Attempt, CompletionRequest

_NOT_RUN: Mapping[str, NotRun] = {
    "batch_expired": NotRun(NotRunReason.EXPIRED, "The provider did not reach this request within the batch's 24 h"),
    "batch_cancelled": NotRun(NotRunReason.CANCELLED, "The batch was cancelled before this request ran"),
}
"""*Source*: OpenAI, API reference, "The request output object": error.code; and llm-d-batch-gateway issue 221."""
_TIMED_OUT = "request_timeout"


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line, parsed; whose it is decides which request it is read for."""

    custom_id: str
    content: Mapping[str, Any] = field(repr=False)


def read_line(line: bytes) -> OutputLine | None:
    """Parse a line; None where it is not one of a batch's output, so that it belongs to no request."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    custom_id = content.get("custom_id") if isinstance(content, dict) else None
    return OutputLine(custom_id, content) if isinstance(custom_id, str) and custom_id else None


def ended_line(line: OutputLine, request: CompletionRequest, *, host: str | None = None) -> Ended:
    """Judge the line as the answer to its request: `classify` and the wire schema decide, as for live calls.

    Takes a line of the output file and of the error file alike. `host` as in `chat_body`.
    """
    response, error = line.content.get("response"), line.content.get("error")
    parameters = chat_body(request, host=host).parameters
    if isinstance(response, dict):
        attempt = _attempt(response, request, parameters)
    elif isinstance(error, dict):
        code = str(error.get("code"))
        attempt = without_answer(_failed(error, code), ResponseNote(), parameters)
        if code in _NOT_RUN:
            return Ended(_NOT_RUN[code], attempt.reply)
    else:
        attempt = without_answer(FailedCall(reason=Reason.GARBLED), ResponseNote(), parameters)
    return Ended(attempt.ending, attempt.reply)


def _attempt(response: Mapping[str, Any], request: CompletionRequest, parameters: Mapping[str, object]) -> Attempt:
    status = response.get("status_code")
    status = status if isinstance(status, int) and not isinstance(status, bool) else None
    request_id = name_of(response.get("request_id"))
    note = ResponseNote(status_code=status, headers={"x-request-id": request_id} if request_id else {})
    body = response.get("body")
    if status is not None and status != HTTPStatus.OK:
        return without_answer(failed_call_in_body(body, status_code=status), note, parameters)
    completion = completion_of(body) if isinstance(body, dict) else body
    return attempt_of(completion, note, request=request, parameters=parameters)


def _failed(error: Mapping[str, Any], code: str) -> FailedCall:
    if code == _TIMED_OUT:
        return FailedCall(reason=Reason.TIMED_OUT)
    return failed_call_in_body(error, status_code=None)
