"""Making SDK clients: one per event loop, because a client's connections belong to the loop they were made on."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit
from weakref import WeakKeyDictionary, WeakSet

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

from workers.completion.transport.bounded_body import bounding_hook, large_answers
from workers.completion.transport.chat_post import ChatPost
from workers.completion.transport.response_note import note_response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from workers.contract.model_profile import ModelProfiles

    Hooks = Mapping[str, list[Callable[[Any], Awaitable[None]]]]

Client = AsyncOpenAI
"""The SDK's client, for those who pass it on and must not know the SDK."""
Transport = Literal["aiohttp", "httpx2"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_CONNECT_SECONDS = 15.0
"""A connection that takes longer than this, handshake included, is better tried again."""
KEEPALIVE_SECONDS = 4.0
"""Shorter than any server's: one that closes an idle connection while a request is on its way drops that request.

*Source*: uvicorn closes after 5 s (`--timeout-keep-alive`, docs "Settings"), Node after 5 s (`server.keepAliveTimeout`,
Node.js documentation, "HTTP"), and so do gunicorn and the proxies built on them.
"""
_MAX_CONNECTIONS = 1_000


def new_client(
    *,
    api_key: str,
    base_url: str | None,
    timeout_seconds: float,
    transport: Transport = "aiohttp",
    build: Callable[..., AsyncOpenAI] = AsyncOpenAI,
    keepalive_seconds: float = KEEPALIVE_SECONDS,
) -> AsyncOpenAI:
    """Make a client that sends one HTTP request per call and notes every response for `attempt_completion`.

    It follows no redirect, which would carry a prompt to another host, repeats nothing, and reads no more of a response
    than its request allows. None or an empty `base_url` is OpenAI; a `?query` in it goes with every request. Raises
    ValueError when key or URL cannot be sent. Costs about 20 ms: most of it loads the certificates.
    """
    url, query = _address(base_url)
    timeout = httpx2.Timeout(timeout_seconds, connect=min(timeout_seconds, _CONNECT_SECONDS))
    large = large_answers()
    post = ChatPost(large)
    hooks: Hooks = {"request": [post.note_request], "response": [note_response, bounding_hook(large)]}
    http_client = _http_client(transport, timeout, keepalive_seconds, hooks)
    client = build(
        api_key=_sendable_key(api_key),
        base_url=url,
        default_query=query or None,
        timeout=timeout,
        max_retries=0,
        http_client=http_client,
    )
    post.join(client, http_client)
    return client


def _http_client(
    transport: Transport,
    timeout: httpx2.Timeout,
    keepalive_seconds: float,
    hooks: Hooks,
) -> httpx2.AsyncClient:
    make = DefaultAioHttpClient if transport == "aiohttp" else DefaultAsyncHttpxClient
    return make(
        timeout=timeout,
        limits=httpx2.Limits(
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_CONNECTIONS,
            keepalive_expiry=keepalive_seconds,
        ),
        follow_redirects=False,
        headers={"accept-encoding": "identity"},
        event_hooks=hooks,
    )


def _address(base_url: str | None) -> tuple[str, dict[str, object]]:
    given = (base_url or "").strip() or DEFAULT_BASE_URL
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("OPENAI_BASE_URL must look like https://host/v1")
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), dict(parse_qsl(parts.query))


def _sendable_key(api_key: str) -> str:
    key = api_key.strip()
    if not key.isascii() or not key.isprintable():
        raise ValueError("OPENAI_API_KEY holds characters that no key has; was more copied than the key?")
    return key


class LoopClients:
    """The clients of this process by event loop. Safe to use from several threads.

    A loop that ends in good order, as under `asyncio.run`, closes its client itself; one that was merely closed is
    swept out when the next client is made.
    """

    def __init__(self, profiles: ModelProfiles | None = None) -> None:
        self.profiles = profiles
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, _HeldClient] = WeakKeyDictionary()
        self._expected: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        self._lock = threading.Lock()

    def expect(self) -> None:
        """The running loop is about to ask: from here on it counts."""
        with self._lock:
            self._expected.add(asyncio.get_running_loop())

    async def get(self, make: Callable[[], AsyncOpenAI]) -> AsyncOpenAI:
        """Return the running loop's client, made at the first call."""
        loop = asyncio.get_running_loop()
        with self._lock:
            held = self._clients.get(loop)
        try:
            if held is not None:
                return held.client
            # Nothing awaits between the look-up and here, so a loop cannot make two.
            held = _HeldClient(make())
            with self._lock:
                self._sweep()
                self._clients[loop] = held
        finally:
            with self._lock:
                self._expected.discard(loop)
        await held.open()
        return held.client

    async def close(self) -> None:
        """Close the running loop's client; the others belong to their own loops."""
        with self._lock:
            held = self._clients.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.close()

    def __len__(self) -> int:
        with self._lock:
            self._sweep()
            return len({*self._clients, *self._expected})

    def _sweep(self) -> None:
        # A client keeps its loop alive, so the weak key alone would never let go.
        for loop in [loop for loop in self._clients if loop.is_closed()]:
            del self._clients[loop]


class _HeldClient:
    """A client that is closed when its loop shuts down its asynchronous generators."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self.client = client
        self._life = self._until_closed()

    async def open(self) -> None:
        # The first step makes the generator known to the loop.
        await anext(self._life)

    async def close(self) -> None:
        await self._life.aclose()

    async def _until_closed(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            closing: Any = self.client.close()
            if inspect.isawaitable(closing):
                await closing
