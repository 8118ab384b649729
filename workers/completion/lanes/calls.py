"""One HTTP request about a lane: bounded in time and size, and every ending of it a value or a typed error."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx2

from workers.completion.classify import Transient, classify_failed_call
from workers.completion.errors.failed_call import PEER_ERRORS, failed_call_of
from workers.completion.lanes.errors import AlreadyEnded, LaneCallFailed, LaneError, LaneUnavailable, NotFound
from workers.completion.transport.response_note import noting_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from openai import AsyncOpenAI

    from workers.completion.errors.failed_call import FailedCall
    from workers.completion.transport.response_note import ResponseNote

CALL_SECONDS = 60.0
"""For a request with a short body and a short answer."""
TRANSFER_SECONDS = 900.0
"""For a file of 200 MB at 2 Mbit/s."""
ANSWER_BYTES = 4 * 1024 * 1024
_NOT_SERVED = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_CANNOT_CANCEL = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT})
_LANES_OWN = re.compile(r"background|store$")
"""Parameters that ask for the lane and nothing else; an account without data retention can store nothing."""
_FILE_PARAMETERS = frozenset({"file_id", "input_file_id"})
"""*Source*: bespokelabsai/curator issue 116: 400 "Cannot find file ..., or project ... does not have access to it"."""
_UNKNOWN_URL = "invalid url"
"""*Source*: OpenAI's 404 for a path that is not served: "Invalid URL (POST /v1/...)", with no code."""


@asynccontextmanager
async def calling(
    *, about: str | None = None, is_cancel: bool = False, seconds: float = CALL_SECONDS, max_bytes: int = ANSWER_BYTES
) -> AsyncIterator[ResponseNote]:
    """Bound a call, and turn what it raises into the errors of this package.

    `about` is the id that the call names, so that a 404 is not taken for a path that is not served.
    """
    with noting_response(max_body_bytes=max_bytes) as note:
        try:
            async with asyncio.timeout(seconds):
                yield note
        except LaneError:
            raise
        except PEER_ERRORS as error:
            failed = failed_call_of(error, status_code=note.status_code, headers=note.headers)
            raise _typed(failed, about=about, is_cancel=is_cancel) from None


async def call_json(
    client: AsyncOpenAI,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    about: str | None = None,
    is_cancel: bool = False,
    seconds: float = CALL_SECONDS,
    max_bytes: int = ANSWER_BYTES,
) -> tuple[dict[str, Any], ResponseNote]:
    """Send one request, and return the JSON object that answers it with the response's note."""
    async with calling(about=about, is_cancel=is_cancel, seconds=seconds, max_bytes=max_bytes) as note:
        send: Any = {"GET": client.get, "POST": client.post, "DELETE": client.delete}[method]
        options: Any = {"security": {"bearer_auth": True}, "max_retries": 0, "timeout": seconds}
        extra: dict[str, Any] = {} if body is None else {"body": body}
        response: httpx2.Response = await send(path, cast_to=httpx2.Response, options=options, **extra)
        return json_object(response), note


def json_object(response: httpx2.Response) -> dict[str, Any]:
    """Read the object; `LaneCallFailed` where something else came under a good status."""
    content: object = response.json()
    if isinstance(content, dict):
        return content
    message = "What came back is not an answer of this API; check OPENAI_BASE_URL"
    raise LaneCallFailed(Transient(message, None, response.status_code), status_code=response.status_code)


def _typed(failed: FailedCall, *, about: str | None, is_cancel: bool) -> LaneError:
    status = failed.status_code
    if status in _NOT_SERVED or (status == HTTPStatus.NOT_FOUND and _is_path_unknown(failed, about)):
        message = f"The server does not serve this lane (status {status})"
        return LaneUnavailable(message, status_code=status)
    if status == HTTPStatus.BAD_REQUEST and _LANES_OWN.match(failed.param or ""):
        return LaneUnavailable("The model or the account has no background responses (status 400)", status_code=status)
    if about is not None and (status == HTTPStatus.NOT_FOUND or failed.param in _FILE_PARAMETERS):
        return NotFound(f"The server does not know {about}", status_code=status)
    if is_cancel and status in _CANNOT_CANCEL:
        return AlreadyEnded(f"{about} cannot be cancelled any more", status_code=status)
    return LaneCallFailed(classify_failed_call(failed, now=time.time()), status_code=status)


def _is_path_unknown(failed: FailedCall, about: str | None) -> bool:
    """Whether the server serves nothing there; a name that it gives the error is about what was asked for."""
    if failed.message.lower().startswith(_UNKNOWN_URL) or not failed.has_error_object:
        return True
    return about is None and failed.code is None
