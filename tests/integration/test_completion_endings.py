"""Each ending over a real socket, on both transports, against the stand-in provider."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Literal

import pytest
from pydantic import BaseModel, Field

from ops.standin.faults import BILLING_FAULTS, Fault
from tests.support.attempts import Review, attempt
from workers.completion.attempt import CompletionRequest, attempt_completion
from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.repair import Repair
from workers.completion.transport.clients import Transport, new_client
from workers.contract.outcome import AccountState, Failure, FailureKind, Success

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from ops.standin.server import Standin

# The stand-in's scripted resets are errors of its own handler, which its server logs.
logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


async def test_a_success_comes_with_all_that_is_known_of_the_response(client: AsyncOpenAI, standin: Standin):
    standin.configure(rpm=100, tpm=100_000)

    ended = await attempt(client)

    assert isinstance(ended.ending, Success)
    assert isinstance(ended.ending.value, Review)
    reply = ended.reply
    assert reply.received
    assert reply.status_code == 200
    assert reply.request_id
    assert reply.model_answered == "gpt-4o-2024-08-06"
    assert reply.system_fingerprint
    assert "standin" in reply.system_fingerprint
    assert reply.finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    assert reply.parameters_sent == {"model": "gpt-4o", "temperature": 0.2, "max_tokens": 4096}
    assert reply.rate_limits is not None
    assert reply.rate_limits.limit_requests == 100
    assert reply.rate_limits.remaining_requests == 99
    assert reply.rate_limits.limit_tokens == 100_000
    assert reply.rate_limits.reset_tokens_seconds
    assert reply.rate_limits.reset_tokens_seconds > 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.REFUSAL, FailureKind.REFUSED),
        (Fault.TRUNCATED, FailureKind.TRUNCATED),
        (Fault.CONTENT_FILTER, FailureKind.CONTENT_FILTERED),
        (Fault.NULL_CONTENT, FailureKind.INVALID_OUTPUT),
        (Fault.NO_CHOICES, FailureKind.INVALID_OUTPUT),
        (Fault.INVALID_OUTPUT, FailureKind.INVALID_OUTPUT),
        (Fault.NOT_JSON, FailureKind.INVALID_OUTPUT),
        (Fault.CONTEXT_OVERFLOW, FailureKind.CONTEXT_TOO_LONG),
        (Fault.REJECTED, FailureKind.REJECTED_REQUEST),
        (Fault.TOO_LARGE, FailureKind.REJECTED_REQUEST),
    ],
)
async def test_a_final_ending_is_a_failure_of_its_kind(client: AsyncOpenAI, fault: Fault, kind: FailureKind):
    ended = await attempt(client, fault)

    assert isinstance(ended.ending, Failure)
    assert ended.ending.kind is kind
    assert ended.reply.received
    assert "Anna" not in repr(ended)


@pytest.mark.parametrize("fault", sorted(BILLING_FAULTS))
async def test_a_limit_about_money_blocks_the_account(client: AsyncOpenAI, fault: Fault):
    ended = await attempt(client, fault)

    assert isinstance(ended.ending, Blocked)
    assert ended.ending.account is AccountState.QUOTA_EXHAUSTED
    assert ended.ending.status_code == 429


@pytest.mark.parametrize("api_key", ["sk-test [[unknown]]", "sk-bad-key"])
async def test_a_key_that_is_refused_blocks_the_account(standin: Standin, transport: Transport, api_key: str):
    client = new_client(api_key=api_key, base_url=standin.base_url, timeout_seconds=20, transport=transport)

    ended = await attempt(client, Fault.BAD_KEY if "unknown" in api_key else "")
    await client.close()

    assert isinstance(ended.ending, Blocked)
    assert ended.ending.account is AccountState.AUTH_FAILED
    assert ended.ending.status_code == 401
    assert "sk-" not in repr(ended)


@pytest.mark.parametrize("fault", [Fault.RATE_LIMIT, Fault.SLOW_DOWN])
@pytest.mark.parametrize("in_milliseconds", [True, False])
async def test_a_passing_limit_throttles_with_the_servers_wait(
    client: AsyncOpenAI, standin: Standin, fault: Fault, in_milliseconds: object
):
    standin.configure(retry_after=not in_milliseconds, retry_after_ms=bool(in_milliseconds))

    ended = await attempt(client, fault)

    assert isinstance(ended.ending, Throttled)
    assert ended.ending.wait_seconds == 1.0


async def test_a_full_bucket_throttles_even_without_the_wait_header(client: AsyncOpenAI, standin: Standin):
    standin.configure(rpm=1, retry_after=False)

    await attempt(client)
    ended = await attempt(client)

    assert isinstance(ended.ending, Throttled)
    assert ended.ending.wait_seconds is not None
    assert 0 < ended.ending.wait_seconds <= 60
    assert ended.reply.rate_limits is not None
    assert ended.reply.rate_limits.remaining_requests == 0


@pytest.mark.parametrize(
    ("fault", "status_code", "received"),
    [
        (Fault.SERVER_ERROR, 500, True),
        (Fault.UNAVAILABLE, 503, True),
        (Fault.RESET_BEFORE, None, False),
        (Fault.RESET_BODY, 200, True),
        (Fault.HTML, 200, True),
        (Fault.BROKEN_JSON, 200, True),
        (Fault.ERROR_200, 200, True),
    ],
)
async def test_a_broken_peer_is_transient_and_never_an_exception(
    client: AsyncOpenAI, fault: Fault, status_code: int | None, received: object
):
    ended = await attempt(client, fault)

    assert isinstance(ended.ending, Transient)
    assert not ended.ending.timed_out
    assert (ended.reply.status_code, ended.reply.received) == (status_code, received)


async def test_a_server_that_hangs_is_left_at_the_deadline(client: AsyncOpenAI):
    ended = await attempt(client, Fault.HANG, timeout_seconds=0.1)

    assert isinstance(ended.ending, Transient)
    assert ended.ending.timed_out
    assert not ended.reply.received


async def test_a_server_that_is_not_there_is_a_failed_connection(transport: Transport):
    client = new_client(api_key="sk-test", base_url="http://127.0.0.1:9/v1", timeout_seconds=5, transport=transport)

    ended = await attempt(client)
    await client.close()

    assert isinstance(ended.ending, Transient)
    assert not ended.ending.timed_out
    assert not ended.reply.received


RAW_ANSWERS = [
    (b"this is not HTTP\r\n\r\n", Transient),
    (b"", Transient),
    (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{", Transient),
    (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]", Transient),
    (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull", Transient),
    (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n\xff\xfe", Transient),
    (b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"choices": [3]}', Failure),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", Transient),
    (b"HTTP/1.1 204 No Content\r\n\r\n", Transient),
    (b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n", Failure),
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\n<html>", Transient),
    (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", Failure),
]


@pytest.mark.parametrize(("raw", "ending"), RAW_ANSWERS)
async def test_whatever_bytes_come_back_there_is_an_ending(transport: Transport, raw: bytes, ending: type[object]):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = new_client(
        api_key="sk-test", base_url=f"http://127.0.0.1:{port}/v1", timeout_seconds=5, transport=transport
    )

    ended = await attempt(client)
    await client.close()
    server.close()
    await server.wait_closed()

    assert isinstance(ended.ending, ending)


async def test_a_prompt_that_is_no_unicode_is_a_rejected_request(client: AsyncOpenAI, standin: Standin):
    ended = await attempt(client, prompt="half a character: \ud83d")

    assert isinstance(ended.ending, Failure)
    assert ended.ending.kind is FailureKind.REJECTED_REQUEST
    assert standin.stats()["received"] == 0


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-5-mini", "gpt-5.4", "gpt-5.5", "o3"])
async def test_each_family_gets_parameters_that_it_takes(client: AsyncOpenAI, model: str):
    ended = await attempt(client, model=model)

    assert isinstance(ended.ending, Success)
    assert ended.reply.parameters_sent["model"] == model


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("gpt-6.1-terra", {"reasoning_effort": "high", "verbosity": "low"}),
        ("gpt-5.4", {"reasoning_effort": "high", "verbosity": "low"}),
        ("gpt-4o", {"temperature": 0.2}),
    ],
)
async def test_effort_and_verbosity_reach_the_models_that_take_them(
    client: AsyncOpenAI, model: str, sent: dict[str, object]
):
    ended = await attempt(client, model=model, effort="high", verbosity="low")

    assert isinstance(ended.ending, Success)
    optional = {name: value for name, value in ended.reply.parameters_sent.items() if "tokens" not in name}
    assert optional == {"model": model, **sent}


async def test_a_repair_carries_the_answer_and_its_errors(client: AsyncOpenAI):
    first = await attempt(client, f"{Fault.INVALID_OUTPUT}*1")
    assert isinstance(first.ending, Failure)

    repair = Repair(first.ending.raw_output or "", first.ending.validation_errors)
    second = await attempt(client, f"{Fault.INVALID_OUTPUT}*1", repair=repair)

    assert isinstance(second.ending, Success)


async def test_a_cancelled_attempt_closes_its_request(client: AsyncOpenAI, standin: Standin):
    task = asyncio.create_task(attempt(client, Fault.HANG))
    async with asyncio.timeout(60):
        while not standin.stats()["in_flight"]:  # noqa: ASYNC110 - the server's own count is the signal
            await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(60):
        while standin.stats()["in_flight"]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)


async def test_five_hundred_attempts_side_by_side_keep_their_own_headers(client: AsyncOpenAI, standin: Standin):
    standin.configure(latency_ms=(0, 50))

    ended = await asyncio.gather(*(attempt(client, prompt=f"Grade program {number}") for number in range(500)))

    assert all(isinstance(one.ending, Success) for one in ended)
    assert len({one.reply.request_id for one in ended}) == 500


class Quoted(BaseModel):
    level: Literal['Says "hi"', "two\nlines"] = Field(alias='the "level"')


async def test_names_and_values_with_quotation_marks_are_asked_and_come_back(client: AsyncOpenAI):
    levels = set()
    for number in range(12):
        request = CompletionRequest(prompt=f"Grade {number}", model="gpt-4o", schema_model=Quoted)
        ending = (await attempt_completion(client, request)).ending
        assert isinstance(ending, Success)
        levels.add(ending.value.level)

    assert levels == {'Says "hi"', "two\nlines"}
