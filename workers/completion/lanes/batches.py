"""Batches at the provider: one line per request, made, looked at, cancelled and found again."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from workers.completion.chat_body import chat_body
from workers.completion.classify import Throttled, Transient, classify_failed_call
from workers.completion.errors.failed_call import failed_call_in_body
from workers.completion.lanes.calls import call_json
from workers.completion.lanes.errors import LaneCallFailed
from workers.completion.lanes.files import listed
from workers.completion.lanes.states import BatchState, BatchStatus
from workers.completion.peer_values import count_of, name_of

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from workers.completion.attempt import CompletionRequest
    from workers.completion.classify import Blocked
    from workers.completion.lanes.states import FileId
    from workers.contract.outcome import Failure

ENDPOINT = "/v1/chat/completions"
MARKER_KEY = "gradequeue"
_PAGE_BATCHES = 100
_QUEUE_FULL = "token_limit_exceeded"
"""*Source*: openai-python issue 2084: "Enqueued token limit reached for ... Please try again once some in_progress
batches have been completed." Live calls know the same code for a prompt that is too long."""


def request_line(custom_id: str, request: CompletionRequest, *, host: str | None = None) -> bytes:
    """Write one line of a batch, with its line feed: the body is the one that a live call sends.

    `host` as in `chat_body`. Raises `InvalidInput` when strict mode cannot hold the schema, UnicodeEncodeError when
    the prompt is not valid Unicode.
    """
    line = {
        "custom_id": custom_id,
        "method": "POST",
        "url": ENDPOINT,
        "body": dict(chat_body(request, host=host).content),
    }
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


async def create_batch(
    client: AsyncOpenAI, file_id: FileId, marker: str, *, output_expires_after_seconds: int | None = None
) -> BatchState:
    """Start a batch of an uploaded file. Not idempotent: after a broken call ask `find_batches` first.

    A file that the server has only just taken may be unknown to it for some seconds: that is `NotFound`. Raises
    `LaneError`.
    """
    body: dict[str, Any] = {
        "input_file_id": file_id,
        "endpoint": ENDPOINT,
        "completion_window": "24h",
        "metadata": {MARKER_KEY: marker},
    }
    if output_expires_after_seconds is not None:
        body["output_expires_after"] = {"anchor": "created_at", "seconds": output_expires_after_seconds}
    content, _note = await call_json(client, "POST", "/batches", body=body, about=file_id)
    return _state(content)


async def retrieve_batch(client: AsyncOpenAI, batch_id: str) -> BatchState:
    """Look at a batch. Raises `LaneError`."""
    content, _note = await call_json(client, "GET", f"/batches/{batch_id}", about=batch_id)
    return _state(content)


async def cancel_batch(client: AsyncOpenAI, batch_id: str) -> BatchState:
    """Ask the provider to stop a batch; what it answered until then is kept and billed.

    Raises `AlreadyEnded` where there is nothing to stop, and other `LaneError`. Doing it twice does no harm.
    """
    content, _note = await call_json(client, "POST", f"/batches/{batch_id}/cancel", about=batch_id, is_cancel=True)
    return _state(content)


async def find_batches(client: AsyncOpenAI, marker: str, *, since: float | None = None) -> tuple[BatchState, ...]:
    """Find every batch of this marker, newest first; more than one means that it was made twice.

    `since`, seconds since the epoch, ends the search at older batches. Costs one request per 100 batches of the
    account. Raises `LaneError`.
    """
    found = [
        each
        async for each in listed(client, "/batches", page_size=_PAGE_BATCHES, since=since)
        if _marker_of(each) == marker
    ]
    return tuple(map(_state, found))


def _state(content: dict[str, Any]) -> BatchState:
    batch_id = name_of(content.get("id"))
    if batch_id is None:
        raise LaneCallFailed(Transient("The provider named no id for the batch", None, None))
    counts = content.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    problems = _problems(content)
    return BatchState(
        batch_id=batch_id,
        status=_status_of(content.get("status")),
        input_file_id=name_of(content.get("input_file_id")),
        output_file_id=name_of(content.get("output_file_id")),
        error_file_id=name_of(content.get("error_file_id")),
        marker=_marker_of(content),
        created_at=count_of(content.get("created_at")),
        expires_at=count_of(content.get("expires_at")),
        total=count_of(counts.get("total")) or 0,
        completed=count_of(counts.get("completed")) or 0,
        failed=count_of(counts.get("failed")) or 0,
        refusal=_refusal(problems[0]) if problems else None,
        refused_lines=tuple(line for each in problems if (line := count_of(each.get("line")))),
    )


def _status_of(value: object) -> BatchStatus:
    try:
        return BatchStatus(str(value).lower())
    except ValueError:
        return BatchStatus.IN_PROGRESS


def _marker_of(content: dict[str, Any]) -> str | None:
    metadata = content.get("metadata")
    return name_of(metadata.get(MARKER_KEY)) if isinstance(metadata, dict) else None


def _problems(content: dict[str, Any]) -> list[dict[str, Any]]:
    errors = content.get("errors")
    data = errors.get("data") if isinstance(errors, dict) else None
    return [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []


def _refusal(problem: dict[str, Any]) -> Failure | Throttled | Transient | Blocked:
    if problem.get("code") == _QUEUE_FULL:
        return Throttled("The model's queue for batches is full", None, None)
    return classify_failed_call(failed_call_in_body(problem, status_code=HTTPStatus.BAD_REQUEST), now=0.0)
