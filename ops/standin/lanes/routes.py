"""The slow lanes' routes: files, batches and background responses.

POST GET        /v1/files                  POST GET   /v1/batches                POST         /v1/responses
GET  DELETE     /v1/files/ID               GET        /v1/batches/ID             GET  DELETE  /v1/responses/ID
GET             /v1/files/ID/content       POST       /v1/batches/ID/cancel      POST         /v1/responses/ID/cancel
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ops.standin import errors
from ops.standin.errors import ApiError, bad_request
from ops.standin.keys import account_of, check_key, key_of
from ops.standin.lanes.files import page_of, read_upload
from ops.standin.lanes.response_request import read_background_request
from ops.standin.lanes.script import LaneFault
from ops.standin.parameters import invalid_type, missing, unsupported_choice
from ops.standin.responding import body_of, common_headers, json_response, reset, send_half

if TYPE_CHECKING:
    from ops.standin.lanes.batches import Batch
    from ops.standin.lanes.responses import Response
    from ops.standin.state import State

_ROOTS = {"files": "batch", "batches": "batch", "responses": "background"}
"""Path -> the lane that has to be served."""
ENDPOINTS = ("/v1/chat/completions",)
_MOST_FILES, _MOST_BATCHES = 10_000, 100


def is_lane_path(path: str) -> bool:
    """Whether `respond` answers it."""
    parts = path.split("/")
    return len(parts) > 2 and parts[1] == "v1" and parts[2] in _ROOTS  # noqa: PLR2004 - "", v1, root


async def respond(http: web.BaseRequest, state: State) -> web.StreamResponse:
    """Answer one request; ApiError for what OpenAI refuses."""
    _, _, root, *rest = http.path.rstrip("/").split("/")
    if _ROOTS[root] not in state.config.lanes:
        raise errors.unknown_url(http.method, http.path)
    key = key_of(http)
    check_key(key)
    await _meet_call_faults(state)
    await state.backlog.advance()
    routes = {"files": _files, "batches": _batches, "responses": _responses}
    return await routes[root](http, state, account_of(key), rest)


async def _meet_call_faults(state: State) -> None:
    if state.backlog.script.happens(LaneFault.CALL_HANG):
        await asyncio.Event().wait()
    if state.backlog.script.happens(LaneFault.CALL_UNAVAILABLE):
        message = "Our servers are currently overloaded. Please try again later."
        raise ApiError(503, message, kind="service_unavailable_error", code="server_is_overloaded")


async def _files(http: web.BaseRequest, state: State, account: str, rest: list[str]) -> web.StreamResponse:
    files = state.backlog.files
    match http.method, rest:
        case "POST", []:
            upload = await read_upload(http)
            created_at = int(state.clock() + state.epoch)
            stored = files.add(
                account,
                filename=upload.filename,
                purpose=upload.purpose,
                content=upload.content,
                created_at=created_at,
            )
            return _unless_lost(http, state, LaneFault.UPLOAD_LOST, stored.as_json())
        case "GET", []:
            purpose = http.query.get("purpose")
            found = [stored.as_json() for stored in files.of(account) if purpose in {None, stored.purpose}]
            if http.query.get("order", "desc") == "desc":
                found.reverse()
            return json_response(page_of(found, http.query, most=_MOST_FILES, default=_MOST_FILES))
        case "GET", [file_id]:
            return json_response(files.get(account, file_id).as_json())
        case "DELETE", [file_id]:
            return json_response(files.delete(account, file_id))
        case "GET", [file_id, "content"]:
            return await _content(http, state, files.get(account, file_id).content)
    raise errors.wrong_method(http.method, http.path)


async def _content(http: web.BaseRequest, state: State, content: bytes) -> web.StreamResponse:
    if state.backlog.script.happens(LaneFault.DOWNLOAD_CUT):
        await send_half(http, content, common_headers(0.0))
        raise reset(http)
    return web.Response(body=content, headers=common_headers(0.0), content_type="application/octet-stream")


async def _batches(http: web.BaseRequest, state: State, account: str, rest: list[str]) -> web.StreamResponse:
    backlog = state.backlog
    match http.method, rest:
        case "POST", []:
            batch = await backlog.make_batch(account, **_read_batch(await body_of(http)))
            return _unless_lost(http, state, LaneFault.CREATE_LOST, _batch_json(state, batch))
        case "GET", []:
            found = [_batch_json(state, each) for each in backlog.batches.values() if each.account == account]
            return json_response(page_of(found[::-1], http.query, most=_MOST_BATCHES, default=20))
        case "GET", [batch_id]:
            return json_response(_batch_json(state, _batch(state, account, batch_id)))
        case "POST", [batch_id, "cancel"]:
            batch = _batch(state, account, batch_id)
            backlog.cancel_batch(batch)
            await backlog.advance()
            return _unless_lost(http, state, LaneFault.CANCEL_LOST, _batch_json(state, batch))
    raise errors.wrong_method(http.method, http.path)


async def _responses(http: web.BaseRequest, state: State, account: str, rest: list[str]) -> web.StreamResponse:
    backlog = state.backlog
    match http.method, rest:
        case "POST", []:
            config = state.config
            request = read_background_request(
                await body_of(http), any_model=config.any_model, project_tier=config.project_tier
            )
            response = backlog.make_response(account, request)
            return _unless_lost(http, state, LaneFault.RESPONSE_LOST, _response_json(state, response))
        case "GET", [response_id]:
            return json_response(_response_json(state, _response(state, account, response_id)))
        case "DELETE", [response_id]:
            del backlog.responses[_response(state, account, response_id).response_id]
            return json_response({"id": response_id, "object": "response", "deleted": True})
        case "POST", [response_id, "cancel"]:
            response = _response(state, account, response_id)
            backlog.cancel_response(response)
            return _unless_lost(http, state, LaneFault.CANCEL_LOST, _response_json(state, response))
    raise errors.wrong_method(http.method, http.path)


def _unless_lost(http: web.BaseRequest, state: State, fault: LaneFault, value: object) -> web.Response:
    """The answer, unless the script says that it is lost on its way."""
    if state.backlog.script.happens(fault):
        raise reset(http)
    return json_response(value)


def _read_batch(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise bad_request("We could not parse the JSON body of your request.")
    for name in ("input_file_id", "endpoint", "completion_window"):
        if asked.get(name) is None:
            raise missing(name)
        if not isinstance(asked[name], str):
            raise invalid_type(name, expected="a string", value=asked[name])
    unknown = sorted(
        asked.keys() - {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
    )
    if unknown:
        raise bad_request(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter")
    if asked["endpoint"] not in ENDPOINTS:
        raise unsupported_choice("endpoint", value=asked["endpoint"], choices=ENDPOINTS)
    if asked["completion_window"] != "24h":
        raise unsupported_choice("completion_window", value=asked["completion_window"], choices=("24h",))
    metadata = asked.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise invalid_type("metadata", expected="an object", value=metadata)
    return {"input_file_id": asked["input_file_id"], "endpoint": asked["endpoint"], "metadata": metadata}


def _batch(state: State, account: str, batch_id: str) -> Batch:
    found = state.backlog.batches.get(batch_id)
    if found is None or found.account != account:
        raise ApiError(404, f"No batch found with id '{batch_id}'.")
    return found


def _response(state: State, account: str, response_id: str) -> Response:
    found = state.backlog.responses.get(response_id)
    if found is None or found.account != account:
        raise ApiError(404, f"Response with id '{response_id}' not found.")
    return found


def _batch_json(state: State, batch: Batch) -> dict[str, Any]:
    return batch.as_json(state.clock(), epoch=state.epoch)


def _response_json(state: State, response: Response) -> dict[str, Any]:
    return response.as_json(state.clock(), epoch=state.epoch)
