"""Requests of one client: the first is the SDK's own, and those that follow differ from it in their bodies alone."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx2
import pytest
from pydantic import BaseModel

from tests.support.raw_server import raw_server, response
from workers.completion.attempt import CompletionRequest, attempt_completion
from workers.completion.classify import Blocked, Transient
from workers.completion.transport.chat_post import _POSTS
from workers.completion.transport.clients import Transport, new_client
from workers.contract.outcome import Success

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class Review(BaseModel):
    summary: str


REQUEST = CompletionRequest(prompt="Grade this", model="gpt-4o", schema_model=Review, timeout_seconds=20)
ANSWER = json.dumps({"choices": [{"message": {"content": '{"summary": "good"}'}, "finish_reason": "stop"}]}).encode()


def client_of(base_url: str, transport: Transport) -> AsyncOpenAI:
    return new_client(api_key="sk-first", base_url=base_url, timeout_seconds=20, transport=transport)


def said(head: bytes) -> tuple[str, dict[str, str]]:
    """The request's first line, and its headers."""
    first, *lines = head.decode().strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return first, headers


async def test_later_requests_say_what_the_sdks_own_says(transport: Transport):
    heads: list[bytes] = []

    def answer(_number: int, head: bytes) -> bytes:
        heads.append(head)
        return response(ANSWER)

    async with raw_server(answer) as server, client_of(f"{server.base_url}?api-version=7", transport) as client:
        endings = [
            (await attempt_completion(client, replace(REQUEST, prompt=prompt))).ending
            for prompt in ("Grade this", "Grade that", "Grade it, and this is longer")
        ]

    assert all(isinstance(ending, Success) for ending in endings)
    (first, of_first), (second, of_second), (third, of_third) = map(said, heads)
    assert first == second == third == "POST /v1/chat/completions?api-version=7 HTTP/1.1"
    assert of_first == of_second
    lengths = [int(headers.pop("content-length")) for headers in (of_second, of_third)]
    assert lengths[1] - lengths[0] == len("Grade it, and this is longer") - len("Grade that")
    assert of_second == of_third
    assert of_third["authorization"] == "bearer sk-first"
    assert of_third["x-stainless-retry-count"] == "0"


async def test_over_aiohttp_the_sdk_sends_the_first_request_alone(transport: Transport):
    async with raw_server(lambda _number, _head: response(ANSWER)) as server:
        client = client_of(server.base_url, transport)
        with patch.object(client, "post", wraps=client.post) as by_sdk:
            for _ in range(4):
                await attempt_completion(client, REQUEST)
        await client.close()

    assert by_sdk.call_count == (1 if transport == "aiohttp" else 4)


@pytest.mark.parametrize("named", ["api_key", "base_url"])
async def test_a_client_that_is_changed_sends_what_it_says_now(named: str, transport: Transport):
    heads: list[bytes] = []

    def answer(_number: int, head: bytes) -> bytes:
        heads.append(head)
        return response(ANSWER)

    async with raw_server(answer) as server, client_of(server.base_url, transport) as client:
        for _ in range(2):
            await attempt_completion(client, REQUEST)
        setattr(client, named, {"api_key": "sk-second", "base_url": f"{server.base_url}/other"}[named])
        for _ in range(2):
            await attempt_completion(client, REQUEST)

    shown = [(line.split(" ")[1], headers["authorization"]) for line, headers in map(said, heads)]
    before = ("/v1/chat/completions", "bearer sk-first")
    after = {
        "api_key": ("/v1/chat/completions", "bearer sk-second"),
        "base_url": ("/v1/other/chat/completions", "bearer sk-first"),
    }
    assert shown == [before, before, after[named], after[named]]


async def test_requests_that_the_sdk_would_name_are_all_its_own(transport: Transport):
    heads: list[bytes] = []

    def answer(_number: int, head: bytes) -> bytes:
        heads.append(head)
        return response(ANSWER)

    async with raw_server(answer) as server, client_of(server.base_url, transport) as client:
        client._idempotency_header = "Idempotency-Key"
        for _ in range(3):
            await attempt_completion(client, REQUEST)

    assert len({said(head)[1]["idempotency-key"] for head in heads}) == 3


async def test_an_error_is_read_alike_from_the_first_request_and_from_a_later_one(transport: Transport):
    body = json.dumps({"error": {"message": "no such key", "code": "invalid_api_key", "type": "auth"}}).encode()

    def answer(number: int, _head: bytes) -> bytes:
        return response(ANSWER) if number == 2 else response(body, "retry-after: 3", status="401 Unauthorized")

    async with raw_server(answer) as server, client_of(server.base_url, transport) as client:
        first, _answered, later = [await attempt_completion(client, REQUEST) for _ in range(3)]

    assert isinstance(first.ending, Blocked)
    assert first == later


async def test_a_later_request_that_times_out_or_finds_nobody_ends_as_the_first_would(transport: Transport):
    async with raw_server(lambda _number, _head: response(ANSWER)) as server:
        client = client_of(server.base_url, transport)
        await attempt_completion(client, REQUEST)
        late = (await attempt_completion(client, replace(REQUEST, timeout_seconds=0.0))).ending
        await client.close()
    async with client_of(server.base_url, transport) as client:
        # a template of a server that is gone
        first = (await attempt_completion(client, REQUEST)).ending
        later = (await attempt_completion(client, REQUEST)).ending

    assert isinstance(late, Transient)
    assert late.timed_out
    assert isinstance(first, Transient)
    assert first.is_unreachable
    assert first == later


async def test_a_client_that_nobody_holds_is_collected(transport: Transport):
    async with raw_server(lambda _number, _head: response(ANSWER)) as server:
        client = client_of(server.base_url, transport)
        for _ in range(2):
            await attempt_completion(client, REQUEST)
        await client.close()
        gone = weakref.ref(client)
        del client
        await asyncio.sleep(0)
        gc.collect()

    assert gone() is None


def test_the_sdk_serializes_a_body_as_we_do():
    from openai._utils._json import openapi_dumps

    from workers.completion.transport.chat_post import _json

    body = {"model": "m", "messages": [{"role": "user", "content": 'ä "quoted" \u2028 \n'}], "temperature": 0.2}
    assert _json(body) == openapi_dumps(body)


async def test_what_is_kept_of_a_request_shows_neither_key_nor_address(transport: Transport):
    address = "?api-version=hidden"
    async with (
        raw_server(lambda _number, _head: response(ANSWER)) as server,
        client_of(server.base_url + address, transport) as client,
    ):
        await attempt_completion(client, REQUEST)
        kept = vars(_POSTS[client])
    assert kept["_template"] is not None
    assert "sk-first" not in repr(kept)
    assert address not in repr(kept["_template"])


async def test_an_http_client_that_is_made_otherwise_is_used_the_sdks_way(
    monkeypatch: pytest.MonkeyPatch, transport: Transport
):
    monkeypatch.delattr(httpx2.AsyncClient, "_transport_for_url")
    sent: list[str] = []

    async def send(_client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
        sent.append(request.method)
        return httpx2.Response(200, content=ANSWER, headers={"content-type": "application/json"}, request=request)

    monkeypatch.setattr(httpx2.AsyncClient, "_send_single_request", send)
    async with client_of("http://127.0.0.1:9/v1", transport) as client:
        endings = [(await attempt_completion(client, REQUEST)).ending for _ in range(2)]
    assert [type(ending) for ending in endings] == [Success, Success]
    assert sent == ["POST", "POST"]
