"""One client per event loop: over several runs, in threads, behind proxies and certificates, with odd base URLs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, patch

import openai
import pytest
from pydantic import BaseModel

from ops.standin.server import Standin, running
from workers.completion import openai_client
from workers.completion.attempt import CompletionRequest, attempt_completion
from workers.completion.classify import Transient
from workers.completion.openai_client import close_client, get_client, get_structured_completion
from workers.completion.repair import Repair
from workers.completion.transport.clients import LoopClients, Transport, new_client
from workers.contract.outcome import Success

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


class Review(BaseModel):
    summary: str
    score: int


REQUEST = CompletionRequest(prompt="Grade this", model="gpt-4o", schema_model=Review, timeout_seconds=20)


@pytest.fixture
def standin() -> Iterator[Standin]:
    """Runs on a loop of its own, so that the test's loops may come and go."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = running()

    def on_loop(coroutine):  # noqa: ANN001, ANN202 - any coroutine, its own result
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)

    yield on_loop(context.__aenter__())
    on_loop(context.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def configured(standin: Standin, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", standin.base_url)
    monkeypatch.setenv("GRADEQUEUE_HTTP_TRANSPORT", transport)
    monkeypatch.setattr(openai_client, "_client", None)
    yield standin
    openai_client._client = None


async def complete(number: int = 0) -> Review:
    return await get_structured_completion(f"Grade program {number}", "gpt-4o", Review)


async def complete_and_show_client() -> object:
    await complete()
    return await get_client()


@pytest.mark.usefixtures("configured")
def test_several_runs_have_a_client_each_and_leave_nothing_open():
    clients = [asyncio.run(complete_and_show_client()) for _ in range(3)]

    assert len(set(map(id, clients))) == 3
    assert all(client.is_closed() for client in clients)
    # A socket or a session left open would warn when it is collected, and a warning is an error here.
    clients.clear()
    gc.collect()


@pytest.mark.usefixtures("configured")
def test_threads_with_loops_of_their_own_do_not_share_a_client():
    together = threading.Barrier(4)

    async def many(thread: int) -> object:
        together.wait(60)
        client = await get_client()
        together.wait(60)
        results = await asyncio.gather(*(complete(thread * 100 + number) for number in range(20)))
        assert await get_client() is client
        assert len(results) == 20
        return client

    with ThreadPoolExecutor(4) as pool:
        clients = list(pool.map(lambda thread: asyncio.run(many(thread)), range(4)))

    assert len(set(map(id, clients))) == 4


@pytest.mark.usefixtures("configured")
def test_a_thread_that_closes_the_last_client_leaves_the_one_that_another_makes(monkeypatch: pytest.MonkeyPatch):
    is_made, is_closed = threading.Event(), threading.Event()
    make = openai_client._make_client

    def make_slowly() -> openai.AsyncOpenAI:
        is_made.set()
        is_closed.wait(60)
        return make()

    async def come() -> bool:
        client = await get_client()
        gc.collect()
        await asyncio.sleep(0)
        return await get_client() is client and not client.is_closed()

    async def go() -> bool:
        await get_client()
        monkeypatch.setattr(openai_client, "_make_client", make_slowly)
        coming = asyncio.ensure_future(asyncio.to_thread(asyncio.run, come()))
        await asyncio.to_thread(is_made.wait, 20)
        await close_client()
        is_closed.set()
        return await coming

    assert asyncio.run(go())


@pytest.mark.usefixtures("configured")
def test_a_loop_that_was_merely_closed_is_not_kept():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(get_client())
    held = openai_client._client
    assert isinstance(held, LoopClients)
    assert len(held) == 1

    loop.close()

    assert len(held) == 0


@pytest.mark.usefixtures("configured")
async def test_one_loop_has_one_client_also_when_asked_side_by_side():
    clients = await asyncio.gather(*(get_client() for _ in range(50)))

    assert len(set(map(id, clients))) == 1
    await close_client()
    assert clients[0].is_closed()
    assert openai_client._client is None
    assert (await complete()).summary
    await close_client()


@pytest.mark.usefixtures("configured")
def test_closing_one_loops_client_leaves_the_others_alone():
    opened, closed = threading.Event(), threading.Event()

    async def stay() -> object:
        client = await get_client()
        opened.set()
        await asyncio.to_thread(closed.wait, 20)
        await complete()
        assert await get_client() is client
        return client

    with ThreadPoolExecutor(1) as pool:
        staying = pool.submit(asyncio.run, stay())

        async def go() -> None:
            await asyncio.to_thread(opened.wait, 20)
            await complete()
            await close_client()
            closed.set()

        asyncio.run(go())
        staying.result(20)


@pytest.mark.usefixtures("configured")
async def test_five_hundred_calls_side_by_side_share_one_client(transport: Transport):
    many = 500 if transport == "aiohttp" else 100

    results = await asyncio.gather(*(complete(number) for number in range(many)))

    assert len(results) == many
    await close_client()


@pytest.mark.parametrize("base_url", ["", "  ", None])
def test_an_empty_base_url_is_openai(base_url: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "")

    client = new_client(api_key="sk-test", base_url=base_url, timeout_seconds=5)

    assert str(client.base_url) == "https://api.openai.com/v1/"


@pytest.mark.parametrize("base_url", ["localhost:8000/v1", "ftp://host/v1", "https://", "/v1"])
def test_a_base_url_that_cannot_be_called_is_refused(base_url: str):
    with pytest.raises(ValueError, match="OPENAI_BASE_URL must look like"):
        new_client(api_key="sk-test", base_url=base_url, timeout_seconds=5)


@pytest.mark.parametrize("api_key", ["sk-тест", "sk-test\nsk-other", "sk-test\x00"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(api_key: str):
    with pytest.raises(ValueError, match="OPENAI_API_KEY holds characters") as caught:
        new_client(api_key=api_key, base_url=None, timeout_seconds=5)

    assert "sk-" not in str(caught.value)


def test_a_key_copied_with_its_line_end_is_sent_without():
    assert new_client(api_key=" sk-test\n", base_url=None, timeout_seconds=5).api_key == "sk-test"


class Recorder:
    """A server that keeps each request and answers 404."""

    def __init__(self) -> None:
        self.first_lines: list[str] = []
        self.bodies: list[object] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ssl.SSLError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.first_lines.append(head.split(b"\r\n")[0].decode())
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            self.bodies.append(json.loads(await reader.readexactly(int(length[1]))) if length else None)
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    server = await asyncio.start_server(recorder.answer, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    yield recorder
    server.close()
    await server.wait_closed()


async def test_a_query_in_the_base_url_goes_with_every_request(recorder: Recorder, transport: Transport):
    base_url = f"http://127.0.0.1:{recorder.port}/openai/v1?api-version=preview"
    client = new_client(api_key="sk-test", base_url=base_url, timeout_seconds=5, transport=transport)

    await attempt_completion(client, REQUEST)
    await client.close()

    assert recorder.first_lines == ["POST /openai/v1/chat/completions?api-version=preview HTTP/1.1"]


async def test_the_body_is_the_one_that_the_sdks_own_method_sends(recorder: Recorder, transport: Transport):
    base_url = f"http://127.0.0.1:{recorder.port}/v1"
    client = new_client(api_key="sk-test", base_url=base_url, timeout_seconds=5, transport=transport)
    repairing = replace(REQUEST, prompt="ünïcode \U0001f600\n", repair=Repair("{}", ({"loc": ["a"], "msg": "b"},)))
    for request in (REQUEST, repairing):
        await attempt_completion(client, request)
        with patch.object(client.chat.completions, "create", AsyncMock(side_effect=TimeoutError)) as create:
            await attempt_completion(client, request)
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(**create.call_args.kwargs)
    await client.close()

    assert recorder.bodies[0] == recorder.bodies[1]
    assert recorder.bodies[2] == recorder.bodies[3]
    assert recorder.bodies[0] != recorder.bodies[2]


async def test_the_proxy_of_the_environment_is_used(
    recorder: Recorder, transport: Transport, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{recorder.port}")
    client = new_client(
        api_key="sk-test", base_url="http://provider.invalid/v1", timeout_seconds=5, transport=transport
    )

    ended = await attempt_completion(client, REQUEST)
    await client.close()

    assert recorder.first_lines == ["POST http://provider.invalid/v1/chat/completions HTTP/1.1"]
    assert ended.reply.status_code == 404


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate for 127.0.0.1 in one file."""
    folder = tmp_path_factory.mktemp("certificate")
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"),
    ]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    both = folder / "both.pem"
    both.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_the_certificate_store_of_the_environment_decides(
    certificate: Path, transport: Transport, monkeypatch: pytest.MonkeyPatch, is_trusted: object
):
    recorder = Recorder()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(recorder.answer, "127.0.0.1", 0, ssl=context)
    base_url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = new_client(api_key="sk-test", base_url=base_url, timeout_seconds=5, transport=transport)

    ended = await attempt_completion(client, REQUEST)
    await client.close()
    server.close()
    await server.wait_closed()

    assert len(recorder.first_lines) == (1 if is_trusted else 0)
    assert is_trusted or isinstance(ended.ending, Transient)


async def test_an_attempt_works_with_a_client_that_is_not_ours(standin: Standin):
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="sk-test", base_url=standin.base_url, max_retries=0) as client:
        ended = await attempt_completion(client, REQUEST)

    assert isinstance(ended.ending, Success)
