"""Responses as they go over the wire: OpenAI's usual headers, errors, and connections that break on purpose."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

from ops.standin.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping


class ScriptedResetError(ConnectionResetError):
    """We closed the connection on purpose; the server drops the call silently, as for any lost connection."""


def common_headers(took_seconds: float) -> dict[str, str]:
    """What OpenAI sends with every response, under a new request id."""
    return {
        "x-request-id": f"req_{os.urandom(16).hex()}",
        "openai-processing-ms": str(int(took_seconds * 1_000)),
        "openai-version": "2020-10-01",
        "openai-organization": "org-standin",
    }


def error_response(error: ApiError) -> web.Response:
    """The error as a response."""
    headers = error.headers if "x-request-id" in error.headers else common_headers(0.0) | error.headers
    headers = {name: value for name, value in headers.items() if value}  # an empty one takes a usual header away
    return web.Response(status=error.status, body=error.body(), headers=headers, content_type=error.content_type)


def json_response(value: object) -> web.Response:
    """The value under status 200."""
    body = json.dumps(value).encode()
    return web.Response(body=body, headers=common_headers(0.0), content_type="application/json")


async def body_of(http: web.BaseRequest) -> bytes:
    """The body of a JSON request; ApiError 413 above the server's bound."""
    try:
        body = await http.read()
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(413, "Request too large.", code="request_too_large") from None
    # Without the content type OpenAI reads no parameters at all.
    return body if http.content_type == "application/json" else b"{}"


async def send_half(http: web.BaseRequest, body: bytes, headers: Mapping[str, str]) -> None:
    """Promise the whole body, and send half of it."""
    response = web.StreamResponse(headers=dict(headers))
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(http)
    await response.write(body[: len(body) // 2])


def reset(http: web.BaseRequest) -> ScriptedResetError:
    """Break the connection; the caller raises what is returned."""
    transport = http.transport
    if transport is not None:
        # Without lingering, closing sends a reset instead of a polite end.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return ScriptedResetError()
