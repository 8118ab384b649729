"""The stand-in's invoice over a real socket: what the SDK was told is what is billed."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from ops.standin.config import Config
from ops.standin.server import Standin, running

RUBRIC = "The rubric. " * 400
MODEL = "gpt-6.1-terra"


def client_of(standin: Standin, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=standin.base_url, api_key="sk-anything", max_retries=0, **({"timeout": 20} | options))


async def invoice_of(standin: Standin) -> dict[str, Any]:
    url = standin.base_url.removesuffix("/v1") + "/invoice"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        invoice: dict[str, Any] = await response.json()
    return invoice


async def graded(client: AsyncOpenAI, submission: str) -> Any:
    static: Any = {"type": "text", "text": RUBRIC, "prompt_cache_breakpoint": {"mode": "explicit"}}
    return await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "developer", "content": [static]}, {"role": "user", "content": submission}],
        prompt_cache_key="batch",
        prompt_cache_options={"mode": "explicit"},
        max_completion_tokens=2_000,
    )


async def test_what_the_answers_told_is_what_is_billed():
    async with running() as standin, client_of(standin) as client:
        usages = [(await graded(client, f"program {n}")).usage for n in range(3)]
        invoice = await invoice_of(standin)

    (line,) = invoice["lines"]
    assert [usage.prompt_tokens_details.cached_tokens for usage in usages] == [0, 1200, 1200]
    assert [usage.prompt_tokens_details.cache_write_tokens for usage in usages] == [1200, 0, 0]
    assert line["requests"] == 3
    assert line["read_tokens"] + line["written_tokens"] + line["input_tokens"] == sum(u.prompt_tokens for u in usages)
    assert line["output_tokens"] == sum(usage.completion_tokens for usage in usages)
    assert invoice["usd"] > 0


@pytest.mark.parametrize("is_billed", [True, False])
async def test_a_call_that_its_client_left_is_billed_where_the_provider_does_so(*, is_billed: bool):
    config = Config(latency_ms=(60_000, 60_000), bill_abandoned=is_billed)
    async with running(config) as standin, client_of(standin, timeout=0.3) as client:
        with pytest.raises(openai.APITimeoutError):
            await graded(client, "program")
        async with asyncio.timeout(60):
            while not standin.stats()["disconnected"]:  # noqa: ASYNC110 - the server's own count, which signals nothing
                await asyncio.sleep(0)
        assert (await invoice_of(standin))["requests"] == int(is_billed)
