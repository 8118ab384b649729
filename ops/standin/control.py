"""The control API under /standin/: read what was counted, start anew, change settings while it runs.

GET  /standin/stats[?prompts=1]  every counter
POST /standin/reset              forget the counts, fill the buckets
POST /standin/config             {"rpm": 60, "faults": ["server_error=0.1"], ...}; answers the whole configuration
GET  /standin/config             the configuration
POST /standin/clock              {"advance_seconds": 3600}: what takes that long has happened
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ops.standin import errors

if TYPE_CHECKING:
    from ops.standin.state import State

PREFIX = "/standin/"


async def respond(http: web.BaseRequest, state: State) -> web.Response:
    """Answer one control request; ApiError for anything that is none."""
    route = (http.method, http.path.removeprefix(PREFIX))
    await state.backlog.advance()
    if route == ("GET", "stats"):
        return web.json_response(state.stats(prompts="prompts" in http.query))
    if route == ("POST", "reset"):
        state.reset()
        return web.json_response(state.stats())
    if route == ("POST", "config"):
        await _configure(http, state)
        return web.json_response(state.config.as_json())
    if route == ("POST", "clock"):
        await _pass_time(http, state)
        return web.json_response(state.stats())
    if route == ("GET", "config"):
        return web.json_response(state.config.as_json())
    raise errors.unknown_url(http.method, http.path)


async def _configure(http: web.BaseRequest, state: State) -> None:
    changes = await _object(http)
    try:
        state.configure(changes)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None


async def _pass_time(http: web.BaseRequest, state: State) -> None:
    seconds = (await _object(http)).get("advance_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise errors.bad_request("advance_seconds is a number.")
    try:
        state.pass_time(seconds)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    await state.backlog.advance()


async def _object(http: web.BaseRequest) -> dict[str, Any]:
    try:
        content = json.loads(await http.read())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise errors.bad_request("Settings are a JSON object.")
    return content
