"""Background responses with a completion window: made, looked at, cancelled, and read as a live answer would be.

The Responses API is their only door. Its request is translated from the one that live calls send, and its answer back
into a chat completion, so that schema, parameters and endings are the same. It has no list: a response whose id was
never noted cannot be found again, and its request stays `unknown` in the ledger.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from workers.completion.attempt import attempt_of, host_of, without_answer
from workers.completion.chat_body import chat_body
from workers.completion.classify import Transient
from workers.completion.errors.failed_call import failed_call_in_body
from workers.completion.lanes.batches import MARKER_KEY
from workers.completion.lanes.calls import call_json
from workers.completion.lanes.errors import LaneCallFailed, NotFound
from workers.completion.lanes.responses_api import completion_of_response, responses_body
from workers.completion.lanes.states import BackgroundState, BackgroundStatus, Ended, NotRun, NotRunReason
from workers.completion.peer_values import name_of
from workers.completion.transport.bounded_body import MAX_BODY_BYTES
from workers.completion.transport.response_note import ResponseNote, request_id_of

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from workers.completion.attempt import CompletionRequest
    from workers.contract.lane import Lane

_CANCELLED = NotRun(NotRunReason.CANCELLED, "The request was cancelled before it was answered")
_STATUS_OF_CODE = {
    "server_error": 500,
    "vector_store_timeout": 504,
    "rate_limit_exceeded": 429,
}
"""The status that a live call would have had; every other code is about the request."""


async def create_background(
    client: AsyncOpenAI, request: CompletionRequest, lane: Lane, marker: str
) -> BackgroundState:
    """Hand a request in for one of the windows. Not idempotent, and what was lost cannot be found again.

    A server that answers at once returns an ended state. Raises `InvalidInput` as `chat_body`, ValueError for a lane
    without a window, `LaneUnavailable` where server, model or account has no background responses, and other
    `LaneError`.
    """
    if not lane.is_background:
        raise ValueError(f"{lane} is no background lane")
    body = responses_body(chat_body(request, host=host_of(client)).content)
    body |= {
        "background": True,
        "background_options": {"completion_window": lane.completion_window},
        "store": True,
        "metadata": {MARKER_KEY: marker},
    }
    content, note = await call_json(client, "POST", "/responses", body=body, max_bytes=MAX_BODY_BYTES)
    return _state(content, note)


async def retrieve_background(client: AsyncOpenAI, response_id: str) -> BackgroundState:
    """Look at a response. Raises `LaneError`."""
    path = f"/responses/{response_id}"
    content, note = await call_json(client, "GET", path, about=response_id, max_bytes=MAX_BODY_BYTES)
    return _state(content, note)


async def cancel_background(client: AsyncOpenAI, response_id: str) -> BackgroundState:
    """Stop a response; one that is answered already comes back with its answer. Doing it twice does no harm.

    Raises `LaneError`.
    """
    path = f"/responses/{response_id}/cancel"
    content, note = await call_json(client, "POST", path, about=response_id, is_cancel=True, max_bytes=MAX_BODY_BYTES)
    return _state(content, note)


async def delete_background(client: AsyncOpenAI, response_id: str) -> bool:
    """Delete a response, and the prompt in it, at the provider; False where there was none. Raises `LaneError`."""
    try:
        await call_json(client, "DELETE", f"/responses/{response_id}", about=response_id)
    except NotFound:
        return False
    return True


def ended_background(state: BackgroundState, request: CompletionRequest, *, host: str | None = None) -> Ended:
    """Judge an ended response as the answer to its request, as for live calls; ValueError where it has not ended."""
    if not state.has_ended:
        raise ValueError(f"{state.response_id} has not ended")
    parameters = chat_body(request, host=host).parameters
    note = ResponseNote(
        status_code=state.status_code, headers={"x-request-id": state.request_id} if state.request_id else {}
    )
    error = state.body.get("error")
    if state.status is BackgroundStatus.FAILED or isinstance(error, dict):
        code = error.get("code") if isinstance(error, dict) else None
        status = _STATUS_OF_CODE.get(str(code), 400 if code else 500)
        attempt = without_answer(failed_call_in_body(error, status_code=status), note, parameters)
        return Ended(attempt.ending, attempt.reply)
    completion = completion_of_response(state.body)
    attempt = attempt_of(completion, note, request=request, parameters=parameters)
    return Ended(_CANCELLED if state.status is BackgroundStatus.CANCELLED else attempt.ending, attempt.reply)


def _state(content: dict[str, Any], note: ResponseNote) -> BackgroundState:
    response_id = name_of(content.get("id"))
    if response_id is None:
        raise LaneCallFailed(Transient("The provider named no id for the response", None, note.status_code))
    try:
        status = BackgroundStatus(str(content.get("status")))
    except ValueError:
        status = BackgroundStatus.IN_PROGRESS
    return BackgroundState(
        response_id=response_id,
        status=status,
        body=content,
        request_id=request_id_of(note.headers),
        status_code=note.status_code or HTTPStatus.OK,
    )
