"""The control API under /standin/: read what was counted, start anew, change settings while it runs.

GET  /standin/stats[?prompts=1]  every counter
POST /standin/reset              forget the counts, fill the buckets
POST /standin/config             {"rpm": 60, "faults": ["server_error=0.1"], ...}; answers the whole configuration
GET  /standin/config             the configuration
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiohttp import web

from ops.standin import errors

if TYPE_CHECKING:
    from ops.standin.state import State

PREFIX = "/standin/"


async def respond(http: web.BaseRequest, state: State) -> web.Response:
    """Answer one control request; ApiError for anything that is none."""
    route = (http.method, http.path.removeprefix(PREFIX))
    if route == ("GET", "stats"):
        return web.json_response(state.stats(prompts="prompts" in http.query))
    if route == ("POST", "reset"):
        state.reset()
        return web.json_response(state.stats())
    if route == ("POST", "config"):
        await _configure(http, state)
        return web.json_response(state.config.as_json())
    if route == ("GET", "config"):
        return web.json_response(state.config.as_json())
    raise errors.unknown_url(http.method, http.path)


async def _configure(http: web.BaseRequest, state: State) -> None:
    try:
        changes = json.loads(await http.read())
    except ValueError:
        changes = None
    if not isinstance(changes, dict):
        raise errors.bad_request("Settings are a JSON object.")
    try:
        state.configure(changes)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
