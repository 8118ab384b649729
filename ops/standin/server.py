"""The stand-in's HTTP server: routes, keys, and the life of one call.

A call: 1. key, 2. request read and checked, 3. let pass or refused by the limits, 4. fault chosen, 5. charged,
6. latency, 7. answer or acted-out fault. Loopback by default: the control API asks for no key.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import socket
import struct
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ops.standin import control, errors
from ops.standin.chat_request import MAX_TEXT_CHARACTERS, ChatRequest, read_chat_request
from ops.standin.completion import completion_body
from ops.standin.config import Config
from ops.standin.errors import ApiError
from ops.standin.faults import BILLING_FAULTS, REFUSALS, Fault
from ops.standin.limits import wait_headers
from ops.standin.models import find_model, listed_models
from ops.standin.state import State

if TYPE_CHECKING:
    from asyncio import StreamReader
    from collections.abc import AsyncIterator, Callable, Mapping

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.web_protocol import RequestHandler

    from ops.standin.tally import PromptCalls

CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"
# A prompt of the greatest length OpenAI takes, each character escaped to six bytes, must arrive to be judged.
_MAX_BODY_BYTES = 8 * MAX_TEXT_CHARACTERS
# Above what any test holds in flight: a full backlog would look like a dead provider.
_BACKLOG = 4_096
# A hanging call ends with the server, at once.
_SHUTDOWN_SECONDS = 0.05
_RATE_LIMIT_FAULT_WAIT_SECONDS = 1.0
_HTML = b"<!DOCTYPE html><html><head><title>Stand-in</title></head><body>Sign in to continue.</body></html>"


class Standin:
    """A running stand-in: where it is, what it counted, and how to change it."""

    def __init__(self, state: State, *, base_url: str) -> None:
        self.state = state
        self.base_url = base_url

    def configure(self, **changes: object) -> Config:
        """Change settings from now on; the names are Config's."""
        return self.state.configure(changes)

    def reset(self) -> None:
        """Forget every count and fill every bucket."""
        self.state.reset()

    def stats(self, *, prompts: bool = False) -> dict[str, Any]:
        """What the control API's stats show; `prompts` adds the counts per prompt hash."""
        return self.state.stats(prompts=prompts)


@asynccontextmanager
async def running(
    config: Config | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Standin]:
    """A stand-in that serves while the block runs; port 0 picks a free one. OSError when the port is taken."""
    state = State(config or Config(), clock=clock)
    server = web.Server(
        _Service(state).respond,
        request_factory=_request,  # type: ignore[arg-type]  # its private alias names the C reader only
        handler_cancellation=True,
        access_log=None,
        logger=_http_logger,
    )
    runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        bound_host, bound_port = runner.addresses[0][:2]
        shown_host = f"[{bound_host}]" if ":" in bound_host else bound_host
        yield Standin(state, base_url=f"http://{shown_host}:{bound_port}/v1")
    finally:
        await runner.cleanup()


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message,
        payload,  # type: ignore[arg-type]  # aiohttp's own reader; the standard name stands in its alias
        protocol,
        writer,
        task,
        loop,
        client_max_size=_MAX_BODY_BYTES,
    )


class _ScriptedResetError(ConnectionResetError):
    """We closed the connection on purpose; the server drops the call silently, as for any lost connection."""


def _is_news(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], _ScriptedResetError))


_http_logger = logging.getLogger(__name__)
_http_logger.addFilter(_is_news)


@dataclass(slots=True)
class _Call:
    """One request for a completion on its way through the steps."""

    http: web.BaseRequest
    account: str
    asked: ChatRequest
    record: PromptCalls
    started_at: float
    number: int = 0
    """The n-th call of its prompt that the limits let pass, from 1."""
    fault: Fault | None = None


class _Service:
    def __init__(self, state: State) -> None:
        self._state = state
        self._accounts: dict[str, str] = {}

    async def respond(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer any request; the low-level server calls it once each, without a router's cost."""
        try:
            if http.path == CHAT_PATH:
                return await self._complete(http)
            if http.path.startswith(control.PREFIX):
                return await control.respond(http, self._state)
            return self._models(http)
        except ApiError as error:
            return _error_response(error)

    def _models(self, http: web.BaseRequest) -> web.Response:
        if http.path != MODELS_PATH and not http.path.startswith(f"{MODELS_PATH}/"):
            raise errors.unknown_url(http.method, http.path)
        if http.method != "GET":
            raise errors.wrong_method(http.method, http.path)
        _check_key(_key_of(http))
        name = http.path.removeprefix(MODELS_PATH).strip("/")
        if not name:
            return _json_response({"object": "list", "data": [_model_json(listed) for listed in listed_models()]})
        find_model(name, any_model=self._state.config.any_model)
        return _json_response(_model_json(name))

    async def _complete(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.method != "POST":
            raise errors.wrong_method(http.method, http.path)
        self._state.tally.call_began()
        try:
            return await self._steps(http)
        except ApiError as error:
            self._state.tally.call_refused(error.code or str(error.status), now=self._state.clock())
            raise
        except _ScriptedResetError:
            raise
        except (asyncio.CancelledError, ConnectionError):
            self._state.tally.client_left()
            raise
        finally:
            self._state.tally.call_ended()

    async def _steps(self, http: web.BaseRequest) -> web.StreamResponse:
        started_at = self._state.clock()
        key = _key_of(http)
        _check_key(key)
        asked = read_chat_request(await _body_of(http), any_model=self._state.config.any_model)
        record = self._state.tally.prompt_called(asked.prompt_key)
        call = _Call(http, self._account(key), asked, record, started_at)
        try:
            self._admit(call)
            await self._wait(call)
            response = await self._answer(call)
        except ApiError as error:
            error.headers = self._headers(call) | error.headers
            raise
        if response.status == 200:  # noqa: PLR2004
            self._state.tally.call_answered(call.record, now=self._state.clock())
        return response

    def _admit(self, call: _Call) -> None:
        model = call.asked.model.limit_name
        cost_tokens = call.asked.cost_tokens(self._state.config.cost_rule)
        now = self._state.clock()
        self._state.limiter.check(call.account, model=model, cost_tokens=cost_tokens, now=now)
        # Only now, so that a counted fault is never used up by a call that the limits refuse.
        self._choose_fault(call)
        if call.fault in REFUSALS:
            raise _refusal(call, self._state.config, cost_tokens=cost_tokens)
        self._state.limiter.charge(call.account, model=model, cost_tokens=cost_tokens, now=now)
        self._state.tally.call_admitted(call.account, model=model, cost_tokens=cost_tokens, now=now)
        call.record.admitted += 1

    def _choose_fault(self, call: _Call) -> None:
        call.record.past_limits += 1
        call.number = call.record.past_limits
        call.fault = self._state.script.next_fault(call.asked.prompt, call_number=call.number)
        if call.fault is not None:
            self._state.tally.call_faulted(call.fault)

    async def _wait(self, call: _Call) -> None:
        if call.fault is Fault.HANG:
            await asyncio.Event().wait()
        seconds = self._state.next_latency_seconds()
        if seconds:
            await asyncio.sleep(seconds)

    async def _answer(self, call: _Call) -> web.StreamResponse:
        headers = self._headers(call)
        if call.fault is Fault.SERVER_ERROR:
            message = "The server had an error while processing your request. Sorry about that!"
            raise ApiError(500, message, kind="server_error")
        if call.fault is Fault.UNAVAILABLE:
            message = "Our servers are currently overloaded. Please try again later."
            raise ApiError(503, message, kind="service_unavailable_error", code="server_is_overloaded")
        if call.fault is Fault.HTML:
            return web.Response(body=_HTML, headers=headers, content_type="text/html", charset="utf-8")
        if call.fault is Fault.ERROR_200:
            body = ApiError(500, "Provider returned error", kind="server_error", code="server_error").body()
            return web.Response(body=body, headers=headers, content_type="application/json")
        if call.fault is Fault.RESET_BEFORE:
            raise _reset(call.http)
        completion = completion_body(call.asked, config=self._state.config, call_number=call.number, fault=call.fault)
        body = json.dumps(completion).encode()
        if call.fault is Fault.RESET_BODY:
            await _send_half(call.http, body, headers)
            raise _reset(call.http)
        if call.fault is Fault.BROKEN_JSON:
            body = body[: len(body) // 2]
        return web.Response(body=body, headers=headers, content_type="application/json")

    def _headers(self, call: _Call) -> dict[str, str]:
        now = self._state.clock()
        headers = _common_headers(now - call.started_at)
        return headers | self._state.limiter.headers(call.account, model=call.asked.model.limit_name, now=now)

    def _account(self, key: str) -> str:
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12]
        return account


def _key_of(http: web.BaseRequest) -> str:
    scheme, _, key = http.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _check_key(key: str) -> None:
    if not key:
        raise errors.missing_key()
    if key.startswith("sk-bad"):
        raise errors.wrong_key(key)
    if key.startswith("sk-nocredit"):
        raise errors.out_of_credit()


async def _body_of(http: web.BaseRequest) -> bytes:
    try:
        body = await http.read()
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(413, "Request too large.", code="request_too_large") from None
    # Without the content type OpenAI reads no parameters at all.
    return body if http.content_type == "application/json" else b"{}"


def _refusal(call: _Call, config: Config, *, cost_tokens: int) -> ApiError:
    model, fault = call.asked.model, call.fault
    if fault in BILLING_FAULTS:
        return errors.out_of_credit(fault)
    if fault in (Fault.RATE_LIMIT, Fault.SLOW_DOWN):
        return _temporary_refusal(call, config)
    if fault is Fault.BAD_KEY:
        return errors.wrong_key("scripted")
    if fault is Fault.TOO_LARGE:
        limit = config.tpm or max(1, cost_tokens - 1)
        return errors.request_too_large(model.limit_name, limit_tokens=limit, requested_tokens=cost_tokens)
    if fault is Fault.CONTEXT_OVERFLOW:
        overflow = model.context_tokens + 1
        return errors.context_too_long(model.context_tokens, prompt_tokens=overflow, answer_tokens=0)
    return errors.bad_request("The request was rejected. (a fault scripted in the stand-in)", code="invalid_value")


def _temporary_refusal(call: _Call, config: Config) -> ApiError:
    headers = wait_headers(_RATE_LIMIT_FAULT_WAIT_SECONDS, config=config)
    if call.fault is Fault.SLOW_DOWN:
        return ApiError(429, "Slow down.", kind="rate_limit_error", code="slow_down", headers=headers)
    model = call.asked.model.limit_name
    message = f"Rate limit reached for {model} in organization org-standin. Please try again in 1s."
    return ApiError(429, message, kind="requests", code="rate_limit_exceeded", headers=headers)


async def _send_half(http: web.BaseRequest, body: bytes, headers: Mapping[str, str]) -> None:
    response = web.StreamResponse(headers=dict(headers))
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(http)
    await response.write(body[: len(body) // 2])


def _reset(http: web.BaseRequest) -> _ScriptedResetError:
    transport = http.transport
    if transport is not None:
        # Without lingering, closing sends a reset instead of a polite end.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return _ScriptedResetError()


def _common_headers(took_seconds: float) -> dict[str, str]:
    return {
        "x-request-id": f"req_{os.urandom(16).hex()}",
        "openai-processing-ms": str(int(took_seconds * 1_000)),
        "openai-version": "2020-10-01",
        "openai-organization": "org-standin",
    }


def _error_response(error: ApiError) -> web.Response:
    headers = error.headers if "x-request-id" in error.headers else _common_headers(0.0) | error.headers
    return web.Response(status=error.status, body=error.body(), headers=headers, content_type="application/json")


def _json_response(value: object) -> web.Response:
    body = json.dumps(value).encode()
    return web.Response(body=body, headers=_common_headers(0.0), content_type="application/json")


def _model_json(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "standin"}
