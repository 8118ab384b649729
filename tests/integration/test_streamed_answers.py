"""An answer that was asked for as a stream ends like any other, and its headers come before it; both transports."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ops.standin.faults import Fault
from tests.support.attempts import attempt
from tests.support.raw_server import raw_server, response
from workers.completion.classify import Transient
from workers.completion.transport.clients import new_client
from workers.contract.outcome import Failure, Success

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from ops.standin.server import Standin
    from workers.completion.transport.clients import Transport
    from workers.completion.transport.response_note import RateLimits


async def test_the_headers_come_before_the_answer(client: AsyncOpenAI, standin: Standin):
    standin.configure(rpm=60, slots=1)
    heard: asyncio.Future[RateLimits | None] = asyncio.get_running_loop().create_future()
    standin.configure(latency_ms=[60_000, 60_000])

    calling = asyncio.create_task(attempt(client, is_streamed=True, on_limits=heard.set_result))
    async with asyncio.timeout(50):
        limits = await heard

    assert limits is not None
    assert (limits.limit_requests, limits.remaining_requests) == (60, 59)
    assert not calling.done()
    calling.cancel()


async def test_a_streamed_answer_says_what_a_whole_one_says(client: AsyncOpenAI, standin: Standin):
    standin.configure(rpm=60)

    streamed, whole = await attempt(client, is_streamed=True), await attempt(client)

    assert isinstance(streamed.ending, Success)
    assert isinstance(whole.ending, Success)
    assert streamed.ending.as_json_text() == whole.ending.as_json_text()
    assert streamed.reply.usage == whole.reply.usage is not None
    assert streamed.reply.parameters_sent == whole.reply.parameters_sent
    for name in ("model_answered", "system_fingerprint", "service_tier", "finish_reason", "status_code"):
        assert getattr(streamed.reply, name) == getattr(whole.reply, name) is not None
    assert streamed.reply.is_streamed
    assert not whole.reply.is_streamed


@pytest.mark.parametrize("fault", sorted(set(Fault) - {Fault.HANG, Fault.ENDLESS, Fault.PACKED_FLOOD}))
async def test_every_fault_ends_a_streamed_call_as_it_ends_another(client: AsyncOpenAI, fault: Fault):
    streamed, whole = await attempt(client, fault, is_streamed=True), await attempt(client, fault)

    assert type(streamed.ending) is type(whole.ending)
    for name in ("kind", "account", "status_code", "wait_seconds", "timed_out", "is_unreachable", "raw_output"):
        if fault is not Fault.BROKEN_JSON or name != "status_code":
            assert getattr(streamed.ending, name, None) == getattr(whole.ending, name, None), name
    assert streamed.reply.received == whole.reply.received


async def test_a_server_that_knows_no_streams_answers_as_always(client: AsyncOpenAI, standin: Standin):
    standin.configure(streaming="ignored", rpm=60)
    heard: list[RateLimits | None] = []

    ended = await attempt(client, is_streamed=True, on_limits=heard.append)

    assert isinstance(ended.ending, Success)
    assert not ended.reply.is_streamed
    assert heard == [ended.reply.rate_limits]


async def test_a_server_that_refuses_streams_says_so(client: AsyncOpenAI, standin: Standin):
    standin.configure(streaming="refused")

    ended = await attempt(client, is_streamed=True)

    assert isinstance(ended.ending, Failure)
    assert ended.reply.status_code == 400


async def test_a_stream_that_ends_early_is_a_failed_connection(transport: Transport):
    chunk = b'data: {"choices": [{"index": 0, "delta": {"content": "{"}}]}\n\n'
    answer = response(chunk).replace(b"application/json", b"text/event-stream")
    async with raw_server(lambda _number, _head: answer) as server:
        client = new_client(api_key="sk-x", base_url=server.base_url, timeout_seconds=60, transport=transport)
        ended = await attempt(client, is_streamed=True)
        await client.close()

    assert isinstance(ended.ending, Transient)
    assert ended.reply.received
    assert "connection" in ended.ending.message
