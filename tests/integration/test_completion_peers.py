"""What other providers, gateways and broken peers answer, over real sockets and both transports."""

from __future__ import annotations

import asyncio
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from ops.standin.faults import FOREIGN_REFUSALS, Fault
from tests.support.attempts import attempt as attempt_of
from tests.support.raw_server import packed, raw_server, response
from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.transport.bounded_body import body_bound
from workers.completion.transport.clients import KEEPALIVE_SECONDS, Transport, new_client
from workers.contract.outcome import Failure, Success

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from ops.standin.server import Standin


class Review(BaseModel):
    summary: str
    score: int


attempt = partial(attempt_of, schema_model=Review)

REFUSALS: dict[Fault, tuple[type[object], str]] = {
    Fault.KEY_INVALID_400: (Blocked, "auth_failed"),
    Fault.KEY_INVALID_WORDS: (Blocked, "auth_failed"),
    Fault.OVERDUE_400: (Blocked, "quota_exhausted"),
    Fault.CREDIT_WORDS_400: (Blocked, "quota_exhausted"),
    Fault.FORBIDDEN_HTML: (Blocked, "auth_failed"),
    Fault.UNLISTED_400: (Failure, "rejected_request"),
    Fault.WAIT_IN_DETAILS: (Throttled, "1.0"),
    Fault.WAIT_IN_WORDS: (Throttled, "1.0"),
    Fault.WAIT_EPOCH: (Throttled, "None"),
    Fault.WAIT_DAY: (Transient, "600.0"),
    Fault.WAIT_CONTRADICTED: (Throttled, "1.0"),
    Fault.UPSTREAM_TIMEOUT: (Transient, "None"),
    Fault.CONFLICT: (Transient, "None"),
    Fault.GATEWAY_BUDGET: (Blocked, "quota_exhausted"),
    Fault.GATEWAY_BILLING: (Blocked, "quota_exhausted"),
    Fault.GATEWAY_POLICY: (Failure, "content_filtered"),
    Fault.GATEWAY_COOLDOWN: (Throttled, "1.0"),
    Fault.GATEWAY_RATE_LIMIT: (Throttled, "1.0"),
    Fault.UNSUPPORTED_PARAMETER: (Failure, "rejected_request"),
    Fault.CONTEXT_SIZE: (Failure, "context_too_long"),
    Fault.REDIRECT: (Failure, "rejected_request"),
}


def said(ending: Any) -> str:
    """Name what the ending decides by: account, kind or wait."""
    for name in ("account", "kind", "wait_seconds"):
        if hasattr(ending, name):
            return str(getattr(ending, name))
    return ""


@pytest.mark.parametrize("fault", sorted(FOREIGN_REFUSALS))
async def test_a_foreign_refusal_is_read_and_costs_one_request(client: AsyncOpenAI, standin: Standin, fault: Fault):
    ended = await attempt(client, fault)

    expected, what = REFUSALS[fault]
    assert type(ended.ending) is expected
    assert said(ended.ending) == what
    assert ended.reply.received
    assert ended.reply.request_id
    assert ended.reply.status_code is not None
    assert ended.reply.status_code >= 300
    assert standin.stats()["received"] == 1
    assert "Anna" not in repr(ended)


async def test_a_reset_that_retry_after_contradicts_does_not_reach_the_budget(client: AsyncOpenAI):
    ended = await attempt(client, Fault.WAIT_CONTRADICTED)

    assert ended.reply.rate_limits is not None
    assert ended.reply.rate_limits.remaining_tokens == 0
    assert ended.reply.rate_limits.reset_tokens_seconds is None


async def test_the_upstreams_request_id_is_kept_behind_a_gateway(client: AsyncOpenAI):
    assert (await attempt(client, Fault.GATEWAY_POLICY)).reply.request_id == "req_upstream"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.FENCED, None),
        (Fault.LENGTH_WHOLE, None),
        (Fault.FENCED_CUT, "truncated"),
        (Fault.CONTEXT_FULL, "truncated"),
    ],
)
async def test_an_answer_in_odd_packing_is_kept_when_it_is_whole(client: AsyncOpenAI, fault: Fault, kind: str | None):
    ended = await attempt(client, fault)

    if kind is None:
        assert isinstance(ended.ending, Success)
    else:
        assert isinstance(ended.ending, Failure)
        assert ended.ending.kind == kind
        assert ("context was full" in ended.ending.message) is (fault is Fault.CONTEXT_FULL)


async def test_a_grade_survives_whatever_the_peer_says_about_itself(client: AsyncOpenAI):
    ended = await attempt(client, Fault.ODD_METADATA)

    reply = ended.reply
    assert isinstance(ended.ending, Success)
    assert reply.request_id == "r" * 255
    assert reply.usage is None
    for name in (reply.model_answered, reply.system_fingerprint):
        assert name
        assert len(name) <= 255
        assert name.isprintable()
    assert reply.system_fingerprint is not None
    assert reply.system_fingerprint.startswith("fp_standin")


_FACING_A_FLOOD = """
import asyncio, re, sys
from pathlib import Path
from pydantic import BaseModel
from workers.completion.attempt import CompletionRequest, attempt_completion
from workers.completion.transport.clients import new_client

class Review(BaseModel):
    summary: str
    score: int

def most_bytes():
    # the kernel's count of getrusage would begin with the memory of whoever started this process
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

async def main():
    base_url, transport, fault = sys.argv[1:]
    client = new_client(api_key="sk-test", base_url=base_url, timeout_seconds=20, transport=transport)
    ask = lambda marker: attempt_completion(
        client, CompletionRequest(prompt=f"Grade this {marker}", model="gpt-4o", schema_model=Review)
    )
    await ask("")
    before = most_bytes()
    ended = await asyncio.gather(*(ask(f"[[standin:{fault}]] {number}") for number in range(20)))
    await client.close()
    print(sorted({type(one.ending).__name__ for one in ended}), ended[0].ending.message)
    print(most_bytes() - before)

asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the process's memory from /proc")
@pytest.mark.parametrize("fault", [Fault.PACKED_FLOOD, Fault.ENDLESS])
async def test_twenty_endless_answers_cost_a_process_less_than_fifty_megabytes(
    standin: Standin, transport: Transport, fault: Fault
):
    command = (sys.executable, "-c", _FACING_A_FLOOD, standin.base_url, transport, str(fault))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)

    async with asyncio.timeout(60):
        out, _ = await process.communicate()

    ended, grown_bytes = out.decode().splitlines()
    assert process.returncode == 0
    assert ended.startswith("['Transient'] More came back")
    assert int(grown_bytes) < 50_000_000
    assert standin.stats()["received"] == 21


GOOD = (
    b'{"choices": [{"message": {"content": "{\\"summary\\": \\"fine\\", \\"score\\": 1}"}, "finish_reason": "stop"}]}'
)


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (GOOD, "identity", Success),
        (packed(GOOD), "gzip", Success),
        (packed(GOOD), "GZIP", Success),
        (packed(GOOD, zlib.MAX_WBITS), "deflate", Success),
        (packed(GOOD)[:-12], "gzip", Transient),
        (packed(GOOD) + b"x" * 2_000_000, "gzip", Transient),
        (b"\x1b" + GOOD, "br", Transient),
        (packed(packed(GOOD)), "gzip, gzip", Transient),
        (b"", "gzip", Transient),
    ],
)
async def test_a_packed_answer_is_read_though_none_was_asked_for(
    transport: Transport, body: bytes, encoding: str, expected: type[object]
):
    heads = []

    def answer(_number: int, head: bytes) -> bytes:
        heads.append(head.lower())
        return response(body, f"Content-Encoding: {encoding}")

    async with raw_server(answer) as server:
        client = new_client(api_key="sk-test", base_url=server.base_url, timeout_seconds=5, transport=transport)
        ended = await attempt(client)
        await client.close()

    assert type(ended.ending) is expected
    assert [b"accept-encoding: identity" in head for head in heads] == [True]


@pytest.mark.parametrize("extra_bytes", [0, 1])
async def test_the_bound_of_an_answer_follows_its_max_tokens(transport: Transport, extra_bytes: int):
    room = body_bound(1_000) + extra_bytes - len(GOOD)

    async with raw_server(lambda _number, _head: response(GOOD + b" " * room)) as server:
        client = new_client(api_key="sk-test", base_url=server.base_url, timeout_seconds=5, transport=transport)
        ended = await attempt(client, max_tokens=1_000)
        await client.close()

    assert type(ended.ending) is (Transient if extra_bytes else Success)
    assert ended.reply.received


async def test_a_large_error_body_is_bounded_too(transport: Transport):
    body = b'{"error": "' + b"x" * 2_000_000 + b'"}'
    async with raw_server(lambda _number, _head: response(body, status="400 Bad Request")) as server:
        client = new_client(api_key="sk-test", base_url=server.base_url, timeout_seconds=5, transport=transport)
        ended = await attempt(client)
        await client.close()

    assert isinstance(ended.ending, Transient)
    assert ended.reply.status_code == 400


async def test_a_redirect_carries_no_prompt_to_another_host(transport: Transport):
    async with raw_server(lambda _number, _head: response(GOOD)) as elsewhere:
        location = f"Location: {elsewhere.base_url}/chat/completions"
        async with raw_server(lambda _n, _h: response(b"", location, status="308 Permanent Redirect")) as server:
            client = new_client(api_key="sk-test", base_url=server.base_url, timeout_seconds=5, transport=transport)
            ended = await attempt(client)
            await client.close()

    assert isinstance(ended.ending, Failure)
    assert "OPENAI_BASE_URL" in ended.ending.message
    assert (server.requests, elsewhere.connections) == (1, 0)


async def test_a_connection_is_given_up_before_the_server_gives_it_up(transport: Transport):
    assert KEEPALIVE_SECONDS < 5
    async with raw_server(lambda _number, _head: response(GOOD)) as server:
        client = new_client(
            api_key="sk-test",
            base_url=server.base_url,
            timeout_seconds=5,
            transport=transport,
            keepalive_seconds=0.05,
        )
        for _ in range(3):
            assert isinstance((await attempt(client)).ending, Success)
        reused = server.connections
        idle_over = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.2, idle_over.set_result, None)
        await idle_over
        assert isinstance((await attempt(client)).ending, Success)
        await client.close()

    assert reused < 3
    assert server.connections == reused + 1
