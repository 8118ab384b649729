"""The stand-in's routes, keys, and the life of one call.

A call: 1. key, 2. request read and checked, 3. let pass or refused by the limits, 4. fault chosen, 5. charged,
6. of a stream: status and headers, 7. latency, 8. answer or acted-out fault.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ops.standin import control, errors, streaming
from ops.standin.chat_request import ChatRequest, read_chat_request
from ops.standin.completion import completed
from ops.standin.errors import ApiError
from ops.standin.faults import FLOODS, REFUSALS, Fault
from ops.standin.floods import send_flood
from ops.standin.keys import account_of, check_key, key_of
from ops.standin.lanes import routes as lane_routes
from ops.standin.models import Model, find_model, listed_models
from ops.standin.refusing import refusal
from ops.standin.responding import (
    ScriptedResetError,
    body_of,
    common_headers,
    error_response,
    json_response,
    reset,
    send_half,
)
from ops.standin.streaming import NOT_STREAMED

if TYPE_CHECKING:
    from ops.standin.state import State
    from ops.standin.tally import PromptCalls


CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"
INVOICE_PATH = "/invoice"
MET_BY_LEAVING = {Fault.HANG, *FLOODS}
"""A client that leaves has met them."""
UNANSWERED = {Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.HTML, Fault.ERROR_200, Fault.RESET_BEFORE, *FLOODS}
"""Nothing is billed where no answer was made."""
_HTML = b"<!DOCTYPE html><html><head><title>Stand-in</title></head><body>Sign in to continue.</body></html>"


@dataclass(slots=True)
class _Call:
    """One request for a completion on its way through the steps."""

    http: web.BaseRequest
    account: str
    asked: ChatRequest
    record: PromptCalls
    started_at: float
    request_id: str = field(default_factory=lambda: f"req_{os.urandom(16).hex()}")
    number: int = 0
    """The n-th call of its prompt that the limits let pass, from 1."""
    fault: Fault | None = None
    cached_tokens: int = 0
    is_admitted: bool = False
    completion: dict[str, Any] | None = None
    """The answer, once it was made."""
    stream: web.StreamResponse | None = None
    """Begun, where the answer is streamed."""


class Service:
    """Answers every request; one per running server."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._in_slots: set[asyncio.Task[None]] = set()

    async def respond(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer any request; the low-level server calls it once each, without a router's cost."""
        try:
            if http.path == CHAT_PATH:
                return await self._complete(http)
            if lane_routes.is_lane_path(http.path):
                return await lane_routes.respond(http, self._state)
            if http.path == INVOICE_PATH:
                await self._state.backlog.advance()
                return json_response(self._state.invoice.as_json(calls="calls" in http.query))
            if http.path.startswith(control.PREFIX):
                return await control.respond(http, self._state)
            return self._models(http)
        except ApiError as error:
            return error_response(error)

    def _models(self, http: web.BaseRequest) -> web.Response:
        if http.path != MODELS_PATH and not http.path.startswith(f"{MODELS_PATH}/"):
            raise errors.unknown_url(http.method, http.path)
        if http.method != "GET":
            raise errors.wrong_method(http.method, http.path)
        check_key(key_of(http))
        name = http.path.removeprefix(MODELS_PATH).strip("/")
        if not name:
            return json_response({"object": "list", "data": [_model_json(listed) for listed in listed_models()]})
        return json_response(_model_json(find_model(name, any_model=self._state.config.any_model)))

    async def _complete(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.method != "POST":
            raise errors.wrong_method(http.method, http.path)
        self._state.tally.call_began()
        try:
            return await self._steps(http)
        except ApiError as error:
            self._state.tally.call_refused(error.code or str(error.status), now=self._state.clock())
            raise
        except ScriptedResetError:
            raise
        except (asyncio.CancelledError, ConnectionError):
            self._state.tally.client_left()
            raise
        finally:
            self._state.tally.call_ended()

    async def _steps(self, http: web.BaseRequest) -> web.StreamResponse:
        started_at = self._state.clock()
        key = key_of(http)
        check_key(key)
        config = self._state.config
        asked = read_chat_request(await body_of(http), any_model=config.any_model, project_tier=config.project_tier)
        if asked.is_streamed and config.streaming == "refused":
            message = "Unsupported value: 'stream' does not support true with this model."
            raise errors.bad_request(message, param="stream", code="unsupported_value")
        record = self._state.tally.prompt_called(asked.prompt_key)
        call = _Call(http, account_of(key), asked, record, started_at)
        try:
            self._admit(call)
            if asked.is_streamed and self._state.config.streaming == "served" and call.fault not in NOT_STREAMED:
                call.stream = await streaming.begin(http, self._headers(call))
            await self._wait(call)
            stream = call.stream
            response = await (self._answer(call) if stream is None else self._streamed(call, stream))
        except ApiError as error:
            error.headers = self._headers(call) | error.headers
            raise
        except asyncio.CancelledError:
            self._client_left(call)
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
            raise refusal(call.fault, call.asked.model, config=self._state.config, cost_tokens=cost_tokens)
        self._state.limiter.charge(call.account, model=model, cost_tokens=cost_tokens, now=now)
        self._state.tally.call_admitted(call.account, model=model, cost_tokens=cost_tokens, now=now)
        call.cached_tokens = self._state.cache.read(call.account, model, call.asked.cache, now=now)
        call.record.admitted += 1
        call.is_admitted = True

    def _client_left(self, call: _Call) -> None:
        if call.number and call.fault not in MET_BY_LEAVING:
            # A script says what a job meets, not what it fails to wait for on a slow machine.
            call.record.past_limits -= 1
            self._state.script.not_shown(call.fault, self._marks_of(call), call_number=call.number)
        works_on = self._state.slots is not None  # and bills at its end
        if self._state.config.bill_abandoned and call.is_admitted and not works_on and call.completion is None:
            self._completed(call)

    def _choose_fault(self, call: _Call) -> None:
        call.record.past_limits += 1
        call.number = call.record.past_limits
        call.fault = self._state.script.next_fault(self._marks_of(call), call_number=call.number)
        if call.fault is not None:
            self._state.tally.call_faulted(call.fault)

    def _marks_of(self, call: _Call) -> str:
        return call.asked.prompt if self._state.config.marks else ""

    async def _wait(self, call: _Call) -> None:
        if call.fault is Fault.HANG:
            await asyncio.Event().wait()
        slots = self._state.slots
        if slots is None:
            await self._work(call)
            return
        task = asyncio.get_running_loop().create_task(self._work_in(slots, call))
        self._in_slots.add(task)
        task.add_done_callback(self._in_slots.discard)
        await asyncio.shield(task)

    async def _work_in(self, slots: asyncio.Semaphore, call: _Call) -> None:
        # to its end, also when its client has left: small servers notice that late or not at all
        async with slots:
            began_at = time.monotonic()
            await self._work(call)
            self._state.tally.slot_was_busy(time.monotonic() - began_at)

    async def _work(self, call: _Call) -> None:
        seconds = self._state.next_latency_seconds()
        if seconds:
            await asyncio.sleep(seconds)
        await self._state.may_answer.wait()
        call.completion = self._completed(call)

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
            raise reset(call.http)
        if call.fault in FLOODS:
            return await send_flood(call.fault, call.http, headers)
        if call.fault is Fault.ODD_METADATA:
            headers |= {"x-request-id": "r" * 400}
        body = json.dumps(call.completion).encode()
        if call.fault is Fault.RESET_BODY:
            await send_half(call.http, body, headers)
            raise reset(call.http)
        if call.fault is Fault.BROKEN_JSON:
            body = body[: len(body) // 2]
        return web.Response(body=body, headers=headers, content_type="application/json")

    async def _streamed(self, call: _Call, stream: web.StreamResponse) -> web.StreamResponse:
        is_whole = await streaming.finish(
            stream, call.completion or {}, fault=call.fault, has_usage=call.asked.streams_usage
        )
        if not is_whole:
            raise reset(call.http)
        return stream

    def _completed(self, call: _Call) -> dict[str, Any]:
        """Compute the answer and bill it; whether the client is still there changes nothing."""
        model, now = call.asked.model.limit_name, self._state.clock()
        cache = self._state.cache.write(call.account, model, call.asked.cache, read_tokens=call.cached_tokens, now=now)
        answer = completed(
            call.asked, config=self._state.config, call_number=call.number, fault=call.fault, cache=cache
        )
        tier = call.asked.tier
        if call.fault not in UNANSWERED:
            self._state.invoice.add(
                call.account, request_id=call.request_id, model=model, tier=tier, usage=answer.usage, cache=cache
            )
        self._state.tally.tokens_generated(answer.usage["completion_tokens"])
        return answer.body

    def _headers(self, call: _Call) -> dict[str, str]:
        now = self._state.clock()
        headers = common_headers(now - call.started_at) | {"x-request-id": call.request_id}
        return headers | self._state.limiter.headers(call.account, model=call.asked.model.limit_name, now=now)


def _model_json(model: Model) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "standin",
        "shutdown_date": model.shutdown_date,
    }
