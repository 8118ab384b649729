"""An answer as server-sent events: the status and the headers go out at once, the words when they are made.

A stream's chunks hold what the whole body would. A fault that is no answer with status 200 is acted out as for a call
that is not streamed, because providers send an error's status before they begin a stream.
*Source*: OpenAI, API reference, "Streaming", and openai 3.54, `ChatCompletionChunk`, November 2026.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ops.standin.errors import ApiError
from ops.standin.faults import FLOODS, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What a call meets before a stream has begun, or in place of one.
NOT_STREAMED = frozenset(
    {Fault.HANG, Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.HTML, Fault.RESET_BEFORE, Fault.ODD_METADATA, *FLOODS}
)
_PIECE_CHARACTERS = 16
_END = b"data: [DONE]\n\n"


async def begin(http: web.BaseRequest, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send status and headers, and no word yet."""
    response = web.StreamResponse(headers=dict(headers))
    response.content_type = "text/event-stream"
    await response.prepare(http)
    return response


async def finish(
    response: web.StreamResponse, completion: dict[str, Any], *, fault: Fault | None, has_usage: bool
) -> bool:
    """Send the chunks; False when the fault broke the stream off, and the connection is to be reset."""
    if fault is Fault.ERROR_200:
        error = ApiError(500, "Provider returned error", kind="server_error", code="server_error")
        await response.write(b"data: %s\n\n" % json.dumps(json.loads(error.body())).encode())
        return True
    events = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in _chunks(completion, has_usage))
    if fault in (Fault.RESET_BODY, Fault.BROKEN_JSON):
        await response.write(events[: len(events) // 2])
        return fault is Fault.BROKEN_JSON
    await response.write(events + _END)
    return True


def _chunks(completion: dict[str, Any], has_usage: bool) -> Iterator[dict[str, Any]]:  # noqa: FBT001 - private
    common = {name: completion[name] for name in ("id", "created", "model", "service_tier", "system_fingerprint")}
    common |= {"object": "chat.completion.chunk"} | ({"usage": None} if has_usage else {})
    for choice in completion["choices"]:
        message = choice["message"]
        first = {"role": "assistant", "content": "" if message["content"] is not None else None, "refusal": None}
        yield common | {"choices": [_choice(choice["index"], first)]}
        for name in ("content", "refusal"):
            for piece in _pieces(message[name] or ""):
                yield common | {"choices": [_choice(choice["index"], {name: piece})]}
        yield common | {"choices": [_choice(choice["index"], {}, choice["finish_reason"])]}
    if has_usage:
        yield common | {"choices": [], "usage": completion["usage"]}


def _choice(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE_CHARACTERS):
        yield text[start : start + _PIECE_CHARACTERS]
