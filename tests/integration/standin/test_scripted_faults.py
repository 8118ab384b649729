"""Scripted faults over a real socket: what each sends, and which call shows it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from ops.standin.config import Config
from ops.standin.faults import BILLING_FAULTS, Fault
from ops.standin.server import Standin, running
from tests.support.standin_client import PROMPT, complete, post
from tests.support.wait import until

REFUSED_WITH = {
    Fault.RATE_LIMIT: (429, "rate_limit_exceeded"),
    Fault.SLOW_DOWN: (429, "slow_down"),
    Fault.TOO_LARGE: (429, "rate_limit_exceeded"),
    Fault.BAD_KEY: (401, "invalid_api_key"),
    Fault.CONTEXT_OVERFLOW: (400, "context_length_exceeded"),
    Fault.REJECTED: (400, "invalid_value"),
    Fault.SERVER_ERROR: (500, None),
    Fault.UNAVAILABLE: (503, "server_is_overloaded"),
} | {fault: (429, fault.value) for fault in sorted(BILLING_FAULTS)}


@pytest.mark.parametrize("fault", REFUSED_WITH)
async def test_a_scripted_error_has_its_status_and_code(standin: Standin, client: AsyncOpenAI, fault: Fault):
    with pytest.raises(openai.APIStatusError) as refused:
        await complete(client, f"{PROMPT} [[standin:{fault}]]")
    assert (refused.value.status_code, refused.value.code) == REFUSED_WITH[fault]
    assert standin.stats()["faulted"] == {fault: 1}
    assert standin.stats()["answered"] == 0


async def body_of(standin: Standin, fault: Fault) -> tuple[str, bytes]:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    request = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": f"[[standin:{fault}]]"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "G", "strict": True, "schema": schema}},
    }
    url, headers = f"{standin.base_url}/chat/completions", {"Authorization": "Bearer k"}
    async with aiohttp.ClientSession() as http, http.post(url, json=request, headers=headers) as response:
        assert response.status == 200
        return response.content_type, await response.read()


async def choice_of(standin: Standin, fault: Fault) -> dict[str, Any]:
    completion = json.loads((await body_of(standin, fault))[1])
    choice: dict[str, Any] = completion["choices"][0]
    return choice


async def test_odd_bodies_come_with_status_200(standin: Standin):
    kind, body = await body_of(standin, Fault.HTML)
    assert kind == "text/html"
    assert body.startswith(b"<!DOCTYPE html>")
    assert set(json.loads((await body_of(standin, Fault.ERROR_200))[1])) == {"error"}
    assert json.loads((await body_of(standin, Fault.NO_CHOICES))[1])["choices"] == []
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads((await body_of(standin, Fault.BROKEN_JSON))[1])


async def test_odd_answers_are_well_formed_completions(standin: Standin):
    assert (await choice_of(standin, Fault.NULL_CONTENT))["message"]["content"] is None
    assert json.loads((await choice_of(standin, Fault.INVALID_OUTPUT))["message"]["content"]).keys() != {"a"}
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads((await choice_of(standin, Fault.NOT_JSON))["message"]["content"])
    refused = (await choice_of(standin, Fault.REFUSAL))["message"]
    assert (refused["content"], "stand-in" in refused["refusal"]) == (None, True)
    for fault, reason in ((Fault.TRUNCATED, "length"), (Fault.CONTENT_FILTER, "content_filter")):
        choice = await choice_of(standin, fault)
        assert choice["finish_reason"] == reason
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(choice["message"]["content"])


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_BODY])
async def test_a_reset_breaks_the_connection_and_is_not_taken_for_a_client_that_left(
    standin: Standin, fault: Fault, caplog: pytest.LogCaptureFixture
):
    with pytest.raises(aiohttp.ClientError):
        await body_of(standin, fault)
    await until(lambda: standin.stats()["in_flight"] == 0)
    stats = standin.stats()
    assert (stats["faulted"], stats["admitted"], stats["answered"], stats["disconnected"]) == ({fault: 1}, 1, 0, 0)
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_hanging_call_is_counted_until_its_client_leaves(standin: Standin, client: AsyncOpenAI):
    call = asyncio.ensure_future(complete(client, "[[standin:hang]]"))
    await until(lambda: standin.stats()["in_flight"] == 1)
    call.cancel()
    await until(lambda: standin.stats()["in_flight"] == 0)
    assert standin.stats()["disconnected"] == 1
    assert standin.stats()["answered"] == 0


@pytest.mark.parametrize(("prompt", "faults"), [("[[standin:server_error*1]]", []), ("plain", ["server_error@1"])])
async def test_a_scripted_fault_waits_for_a_client_that_stays(prompt: str, faults: list[str]):
    config = Config(latency_ms=(60_000, 60_000)).changed({"faults": faults})
    async with (
        running(config) as standin,
        AsyncOpenAI(base_url=standin.base_url, api_key="sk-x", max_retries=0, timeout=20) as client,
    ):
        left = asyncio.ensure_future(complete(client, prompt))
        await until(lambda: standin.stats()["admitted"] == 1)
        left.cancel()
        await until(lambda: standin.stats()["in_flight"] == 0)
        await post(standin, "/standin/config", {"latency_ms": 0})
        with pytest.raises(openai.InternalServerError):
            await complete(client, prompt)
        assert await complete(client, prompt)


async def test_a_marker_with_a_count_lets_later_calls_pass(client: AsyncOpenAI):
    prompt = f"{PROMPT} [[standin:server_error*2]]"
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            await complete(client, prompt)
    assert (await complete(client, prompt)).choices[0].message.parsed is not None


async def test_marks_are_passed_over_where_they_are_switched_off(standin: Standin, client: AsyncOpenAI):
    prompt = f"{PROMPT} [[standin:server_error]]"
    with pytest.raises(openai.InternalServerError):
        await complete(client, prompt)
    standin.configure(marks=False)
    assert (await complete(client, prompt)).choices


async def test_a_call_refused_by_the_limits_uses_up_no_counted_fault(standin: Standin, client: AsyncOpenAI):
    standin.configure(rpm=1, charge_refused=False, faults=["server_error@2"])
    with pytest.raises(openai.InternalServerError):
        await complete(client)
    with pytest.raises(openai.RateLimitError):
        await complete(client)
    standin.configure(rpm=None)
    with pytest.raises(openai.InternalServerError):
        await complete(client)
    assert (await complete(client)).choices
