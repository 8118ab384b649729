"""Posting chat completions with an SDK client: in the SDK's own words, which are made once for each client.

The SDK and the HTTP client under it make URL, headers and objects of every request and response anew, which is half of
a call's CPU, and they are the same for every chat completion of a client. So its first one is the SDK's own, and the
others repeat that one's URL and headers around their own body, on the connections that the SDK's requests use. Where
those are not aiohttp's, or lead through a proxy, every request is the SDK's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import aiohttp
import httpx2
import openai

from workers.completion.transport.bounded_body import bytes_allowed, read_bounded
from workers.completion.transport.chat_completion import completion_of
from workers.completion.transport.response_note import current_note

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from openai import AsyncOpenAI

_PATH = "/chat/completions"
_OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "cookie"})
_NOT_REPEATED = "idempotency-key"
"""Names one request: should the SDK send it one day, every request is the SDK's own."""


@dataclass(frozen=True, slots=True, repr=False)
class _Template:
    """What the requests of a client share, and what of the client it was made of. It holds the key."""

    request: httpx2.Request
    url: str
    headers: Mapping[str, str]
    timeout: aiohttp.ClientTimeout
    made_of: tuple[object, ...]

    @classmethod
    def of(cls, request: httpx2.Request, client: AsyncOpenAI) -> _Template:
        """Take over what the SDK made."""
        seconds = request.extensions.get("timeout", {})
        return cls(
            request=httpx2.Request(request.method, request.url),  # without its prompt
            url=str(request.url),
            headers={name: value for name, value in request.headers.items() if name not in _OWN_HEADERS},
            timeout=aiohttp.ClientTimeout(
                connect=seconds.get("pool"), sock_connect=seconds.get("connect"), sock_read=seconds.get("read")
            ),
            made_of=_made_of(client),
        )

    def fits(self, client: AsyncOpenAI) -> bool:
        """Whether the client is still what it was."""
        return all(was is now for was, now in zip(self.made_of, _made_of(client), strict=True))


class ChatPost:
    """Sends the chat completions of one client. Belongs to the client's event loop."""

    def __init__(self, large: asyncio.Semaphore) -> None:
        """`large`: shared with the hook that bounds the bodies of the SDK's own requests."""
        self._large = large
        self._client: Callable[[], AsyncOpenAI | None] = lambda: None
        self._http_client: httpx2.AsyncClient | None = None
        self._template: _Template | None = None
        self._session: aiohttp.ClientSession | None = None

    def join(self, client: AsyncOpenAI, http_client: httpx2.AsyncClient) -> None:
        """Serve this client from now on; it is not kept alive by this."""
        self._client, self._http_client = ref(client), http_client
        _POSTS[client] = self

    async def note_request(self, request: httpx2.Request) -> None:
        """Hook for the HTTP client's `request` event: learns from the SDK's own chat completions."""
        client = self._client()
        is_like_others = request.url.path.endswith(_PATH) and _NOT_REPEATED not in request.headers
        if client is not None and is_like_others:
            self._template = _Template.of(request, client)

    def can_send(self, client: AsyncOpenAI) -> bool:
        """Whether the client's next request is known to be like an earlier one, and on which connections it goes."""
        if self._template is None or self._http_client is None or not self._template.fits(client):
            return False
        if self._session is None:
            self._session = _session_of(self._http_client, self._template.request.url)
        return self._session is not None

    async def send(self, body: Mapping[str, Any]) -> object:
        """Send a body and return what came, as `post_chat` does."""
        template, session = self._template, self._session
        if template is None or session is None:
            raise RuntimeError("nothing is known of this client's requests")
        async with session.post(
            template.url,
            headers=template.headers,
            data=_json(body),
            allow_redirects=False,
            auto_decompress=False,
            timeout=template.timeout,
        ) as response:
            if (note := current_note()) is not None:
                note.begin(response.status, response.raw_headers)
            encoding = response.headers.get("content-encoding", "identity")
            content = await read_bounded(
                response.content.iter_any(), encoding=encoding, max_bytes=bytes_allowed(), large=self._large
            )
        if response.status == HTTPStatus.OK and response.content_type == "application/json":
            return _of_json(json.loads(content))
        headers = [each for each in response.raw_headers if each[0].lower() != b"content-encoding"]
        return _content_of(httpx2.Response(response.status, headers=headers, content=content, request=template.request))


def _session_of(http_client: httpx2.AsyncClient, url: httpx2.URL) -> aiohttp.ClientSession | None:
    """The one that the SDK's requests to this address use; none before the first, or where the transport is another."""
    # *Source*: httpx2 2.16, `_client.py`; openai 3.54, `_vendor/httpx_aiohttp/transport.py`
    find = getattr(http_client, "_transport_for_url", None)  # not public: a version without it is used the SDK's way
    transport = None if find is None else find(url)
    session, proxy = getattr(transport, "client", None), getattr(transport, "proxy", None)
    return session if isinstance(session, aiohttp.ClientSession) and proxy is None else None


_POSTS: WeakKeyDictionary[AsyncOpenAI, ChatPost] = WeakKeyDictionary()


async def post_chat(client: AsyncOpenAI, body: dict[str, Any], *, idempotency_key: str) -> object:
    """Send one chat completion and return what came: a `Completion`, other JSON, or text that is none.

    Costs one HTTP request. Raises the SDK's exceptions, aiohttp's, and ValueError for a body that is not the JSON it
    claims to be.
    """
    post = _POSTS.get(client)
    if post is not None and post.can_send(client):
        return await post.send(body)
    # The SDK's own method for chat completions first walks the whole body against its types; ours has nothing to
    # convert. *Source*: openai 3.54, README, "Undocumented endpoints", for `post`.
    options: Any = {
        "security": {"bearer_auth": True},
        # What is not named is copied deeply from a default, or made with a call to the system's random numbers. The SDK
        # sends no idempotency key today; should it one day, each request has its own.
        "headers": {},
        "params": {},
        "max_retries": 0,
        "timeout": client.timeout,
        "idempotency_key": idempotency_key,
    }
    return _content_of(await client.post(_PATH, body=body, cast_to=httpx2.Response, options=options))


def _made_of(client: AsyncOpenAI) -> tuple[object, ...]:
    """What a caller may replace in a client that is in use."""
    return client.api_key, client.base_url, client.timeout


def _json(body: Mapping[str, Any]) -> bytes:
    """As the SDK writes it. *Source*: openai 3.54, `_utils/_json.py`."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _content_of(response: httpx2.Response) -> object:
    """A body that is called JSON has to be; one that is not called so is JSON all the same, or text."""
    if not response.is_success:
        raise _status_error(response)
    kind = response.headers.get("content-type", "*").partition(";")[0]
    try:
        content = json.loads(response.content)
    except (ValueError, RecursionError):
        if kind.endswith("json"):
            raise
        return response.text
    return _of_json(content)


def _of_json(content: object) -> object:
    return completion_of(content) if isinstance(content, dict) else content


def _status_error(response: httpx2.Response) -> openai.APIStatusError:
    """As the SDK raises it: the body is the parsed one, out of its envelope, or else its text."""
    text = response.text.strip()
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = text
    inner = body.get("error", body) if isinstance(body, dict) else body
    return openai.APIStatusError(f"Error code: {response.status_code}", response=response, body=inner)
