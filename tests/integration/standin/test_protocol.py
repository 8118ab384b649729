"""The stand-in over a real socket, seen through the real SDK: the wire format, limits, faults, counts and control."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from ops.standin.config import Config
from ops.standin.server import Standin, running
from tests.support.standin_client import PROMPT, PROMPT_KEY, Grade, complete, get_json, post
from tests.support.wait import until


async def test_a_completion_satisfies_the_schema_and_names_the_stand_in(client: AsyncOpenAI):
    completion = await complete(client)
    assert isinstance(completion.choices[0].message.parsed, Grade)
    assert completion.choices[0].message.refusal is None
    assert completion.choices[0].finish_reason == "stop"
    assert (completion.model, completion.object) == ("gpt-4o-2024-08-06", "chat.completion")
    assert (completion.system_fingerprint, completion.service_tier) == ("fp_standin", "default")
    assert completion.id.startswith("chatcmpl-")


async def test_usage_counts_four_characters_a_token(client: AsyncOpenAI):
    completion = await complete(client, "x" * 4_001)
    content = completion.choices[0].message.content
    assert completion.usage.prompt_tokens == 1_001
    assert completion.usage.completion_tokens == -(-len(content) // 4)
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert completion.usage.prompt_tokens_details.cached_tokens == 0


async def test_a_reasoning_model_pays_for_its_reasoning(client: AsyncOpenAI):
    thinking = await complete(client, model="gpt-5", max_tokens=None, max_completion_tokens=500)
    plain = await complete(client, model="gpt-5.1", max_tokens=None, max_completion_tokens=500)
    assert thinking.usage.completion_tokens_details.reasoning_tokens == 64
    assert thinking.usage.completion_tokens > 64
    assert plain.usage.completion_tokens_details.reasoning_tokens == 0


async def test_reasoning_comes_out_of_the_same_allowance(client: AsyncOpenAI):
    for allowed, content in ((64, ""), (65, "Stan")):
        completion = await client.chat.completions.create(
            model="o3",
            messages=[{"role": "user", "content": PROMPT}],
            max_completion_tokens=allowed,
        )
        assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == (content, "length")
        assert completion.usage is not None
        assert completion.usage.completion_tokens == allowed


async def test_an_answer_longer_than_max_tokens_is_cut(client: AsyncOpenAI):
    completion = await client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=3,
    )
    assert completion.choices[0].finish_reason == "length"
    assert len(completion.choices[0].message.content or "") == 12
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 3


async def test_the_same_prompt_gets_the_same_grade_unless_answers_scatter(standin: Standin, client: AsyncOpenAI):
    assert await grades(client, 3) == [(await grades(client, 1))[0]] * 3
    standin.configure(scatter=1.0)
    assert len(set(await grades(client, 8))) > 1


async def grades(client: AsyncOpenAI, calls: int) -> list[str]:
    return [(await complete(client)).choices[0].message.content for _ in range(calls)]


async def test_scattered_answers_repeat_from_run_to_run():
    runs = []
    for _ in range(2):
        async with (
            running(Config(scatter=0.5)) as server,
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ):
            runs.append(await grades(client, 4))
    assert runs[0] == runs[1]


async def test_headers_are_openais(standin: Standin, client: AsyncOpenAI):
    standin.configure(rpm=60, tpm=6_000)
    raw = await client.chat.completions.with_raw_response.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=600,
    )
    assert re.fullmatch(r"req_[0-9a-f]{32}", raw.headers["x-request-id"])
    assert raw.headers["openai-version"] == "2020-10-01"
    assert raw.headers["openai-processing-ms"].isdigit()
    assert raw.headers["x-ratelimit-limit-requests"] == "60"
    assert raw.headers["x-ratelimit-remaining-requests"] == "59"
    assert 5400 <= int(raw.headers["x-ratelimit-remaining-tokens"]) < 5500  # a hundred come back each second
    assert re.fullmatch(r"\d+ms|1s", raw.headers["x-ratelimit-reset-requests"])
    assert re.fullmatch(r"[56](\.\d+)?s", raw.headers["x-ratelimit-reset-tokens"])


async def test_models_are_listed_and_found(client: AsyncOpenAI):
    listed = [model.id async for model in client.models.list()]
    assert {"gpt-4o", "gpt-4o-2024-08-06"} <= set(listed)
    assert (await client.models.retrieve("gpt-4o")).id == "gpt-4o"
    with pytest.raises(openai.NotFoundError) as refused:
        await client.models.retrieve("gpt-nine")
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("key", "error", "code"),
    [
        ("sk-bad-1234567890", openai.AuthenticationError, "invalid_api_key"),
        ("sk-nocredit-1", openai.RateLimitError, "insufficient_quota"),
    ],
)
async def test_a_key_decides_about_the_account(
    standin: Standin,
    key: str,
    error: type[openai.APIStatusError],
    code: str,
):
    async with AsyncOpenAI(base_url=standin.base_url, api_key=key, max_retries=0) as client:
        with pytest.raises(error) as refused:
            await complete(client)
    assert refused.value.code == code
    assert "1234567890" not in str(refused.value.body)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic azpr"}])
async def test_a_request_without_a_bearer_key_is_unauthorized(standin: Standin, headers: dict[str, str]):
    url = f"{standin.base_url}/chat/completions"
    async with aiohttp.ClientSession() as http, http.post(url, json={}, headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["error"]["message"].startswith("You didn't provide an API key.")


async def test_a_path_or_method_that_is_not_served_is_refused(standin: Standin):
    assert await post(standin, "/v1/embeddings", {}) == (
        404,
        {
            "error": {
                "message": "Invalid URL (POST /v1/embeddings)",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        },
    )
    assert (await get_json(standin, "/v1/chat/completions"))["error"]["code"] == "method_not_supported"


async def test_a_request_without_the_json_content_type_has_no_parameters(standin: Standin):
    headers = {"Authorization": "Bearer k", "Content-Type": "text/plain"}
    url = f"{standin.base_url}/chat/completions"
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=b'{"model": "gpt-4o"}', headers=headers) as response,
    ):
        assert (response.status, (await response.json())["error"]["message"]) == (
            400,
            "you must provide a model parameter",
        )


async def test_a_bad_schema_reaches_the_caller_as_a_bad_request(client: AsyncOpenAI):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": [], "additionalProperties": False}
    response_format: Any = {"type": "json_schema", "json_schema": {"name": "G", "strict": True, "schema": schema}}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": PROMPT}],
            response_format=response_format,
        )
    assert refused.value.param == "response_format"
    assert "Invalid schema for response_format 'G': In context=(), 'required' is required" in refused.value.message


async def test_the_limits_refuse_with_a_wait_and_count_it(standin: Standin, client: AsyncOpenAI):
    standin.configure(rpm=1)
    await complete(client)
    with pytest.raises(openai.RateLimitError) as refused:
        await complete(client)
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "requests")
    assert int(refused.value.response.headers["retry-after"]) in (59, 60)
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    stats = standin.stats(prompts=True)
    assert (stats["received"], stats["admitted"], stats["answered"]) == (2, 1, 1)
    assert stats["refused"] == {"rate_limit_exceeded": 1}
    assert stats["prompts"] == {PROMPT_KEY: {"calls": 2, "admitted": 1, "answered": 1}}
    assert [(account["model"], account["requests"], account["tokens"]) for account in stats["accounts"]] == [
        ("gpt-4o", 1, 500),
    ]


async def test_a_request_above_the_whole_limit_must_not_be_retried(standin: Standin, client: AsyncOpenAI):
    standin.configure(tpm=400)
    with pytest.raises(openai.RateLimitError, match="Request too large for gpt-4o") as refused:
        await complete(client)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.value.response.headers


async def test_many_calls_are_in_flight_at_once(standin: Standin):
    standin.configure(faults=["hang=1"])
    headers = {"Authorization": "Bearer k"}
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as http:
        calls = [
            asyncio.ensure_future(http.post(f"{standin.base_url}/chat/completions", json=request)) for _ in range(300)
        ]
        await until(lambda: standin.stats()["in_flight"] == 300)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await until(lambda: standin.stats()["in_flight"] == 0)
    assert standin.stats()["most_in_flight"] == 300


async def test_latency_delays_the_answer_by_what_was_set(standin: Standin, client: AsyncOpenAI):
    standin.configure(latency_ms="30-40")
    raw = await client.chat.completions.with_raw_response.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": PROMPT}],
    )
    assert int(raw.headers["openai-processing-ms"]) >= 30


async def test_calls_wait_until_they_may_be_answered_and_then_all_are(standin: Standin, client: AsyncOpenAI):
    await post(standin, "/standin/config", {"answers": False})
    calls = [asyncio.ensure_future(complete(client, f"{PROMPT} {number}")) for number in range(5)]
    await until(lambda: standin.stats()["admitted"] == 5)
    await asyncio.sleep(0.05)
    assert standin.stats()["answered"] == 0

    await post(standin, "/standin/config", {"answers": True})
    assert len(await asyncio.gather(*calls)) == 5
    assert standin.stats()["in_flight"] == 0


async def test_the_control_api_shows_counts_without_prompts(standin: Standin, client: AsyncOpenAI):
    await complete(client)
    stats = await get_json(standin, "/standin/stats")
    assert (stats["answered"], stats["distinct_prompts"], stats["prompts_by_calls"]) == (1, 1, {"1": 1})
    assert "prompts" not in stats
    with_prompts = await get_json(standin, "/standin/stats?prompts=1")
    assert list(with_prompts["prompts"]) == [PROMPT_KEY]
    assert PROMPT not in json.dumps(with_prompts)
    assert sum(with_prompts["answered_by_second"].values()) == 1


async def test_the_control_api_changes_settings_and_starts_anew(standin: Standin, client: AsyncOpenAI):
    status, config = await post(standin, "/standin/config", {"rpm": 1, "faults": ["server_error@1"]})
    assert (status, config["rpm"], config["faults"]) == (200, 1, ["server_error@1"])
    with pytest.raises(openai.InternalServerError):
        await complete(client)
    with pytest.raises(openai.RateLimitError):
        await complete(client)
    assert (await post(standin, "/standin/reset"))[1]["received"] == 0
    with pytest.raises(openai.InternalServerError):
        await complete(client)
    assert (await get_json(standin, "/standin/config"))["rpm"] == 1


@pytest.mark.parametrize("changes", [{"rpm": "many"}, {"speed": 1}, [1]])
async def test_the_control_api_refuses_what_it_does_not_know(standin: Standin, changes: Any):
    status, body = await post(standin, "/standin/config", changes)
    assert status == 400
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert standin.state.config == Config()
