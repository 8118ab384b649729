"""Posting chat completions with an SDK client: in the SDK's own words, which are made once for each client.

The SDK makes the URL and the headers of every request anew, which is a third of a call's CPU, and they are the same for
every chat completion of a client. So its first one is the SDK's own, and the others repeat that one's URL and headers
around their own body, over the same HTTP client. What is raised is what the SDK raises.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import httpx2
import openai

from workers.completion.transport.chat_completion import completion_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openai import AsyncOpenAI

_PATH = "/chat/completions"
_OWN_HEADERS = frozenset({b"content-length", b"transfer-encoding", b"cookie"})
_NOT_REPEATED = "idempotency-key"
"""Names one request: should the SDK send it one day, every request is the SDK's own."""


@dataclass(frozen=True, slots=True)
class _Template:
    """What the requests of a client share, and what of the client it was made of."""

    url: httpx2.URL
    headers: httpx2.Headers
    extensions: Mapping[str, Any]
    made_of: tuple[object, ...]


class ChatPost:
    """Sends the chat completions of one client. Belongs to the client's event loop."""

    def __init__(self) -> None:
        self._client: Callable[[], AsyncOpenAI | None] = lambda: None
        self._http_client: httpx2.AsyncClient | None = None
        self._template: _Template | None = None

    def join(self, client: AsyncOpenAI, http_client: httpx2.AsyncClient) -> None:
        """Serve this client from now on; it is not kept alive by this."""
        self._client, self._http_client = ref(client), http_client
        _POSTS[client] = self

    async def note_request(self, request: httpx2.Request) -> None:
        """Hook for the HTTP client's `request` event: learns from the first chat completion."""
        client = self._client()
        if self._template is None and client is not None and request.url.path.endswith(_PATH):
            kept = [(name, value) for name, value in request.headers.raw if name.lower() not in _OWN_HEADERS]
            if _NOT_REPEATED not in request.headers:
                # of a known encoding: it is looked for in all headers whenever one is read
                headers = httpx2.Headers(kept, encoding="ascii")
                self._template = _Template(request.url, headers, request.extensions, _made_of(client))

    async def send(self, client: AsyncOpenAI, body: Mapping[str, Any]) -> httpx2.Response | None:
        """Send a body, and read the response to its end; None while nothing is known of the client's requests."""
        template, http_client = self._template, self._http_client
        if template is None or http_client is None:
            return None
        if any(was is not now for was, now in zip(template.made_of, _made_of(client), strict=True)):
            self._template = None
            return None
        request = httpx2.Request(
            "POST", template.url, headers=template.headers, content=_json(body), extensions=template.extensions
        )
        try:
            return await http_client.send(request)
        except httpx2.TimeoutException as error:
            raise openai.APITimeoutError(request=request) from error
        except httpx2.RequestError as error:
            raise openai.APIConnectionError(request=request) from error


_POSTS: WeakKeyDictionary[AsyncOpenAI, ChatPost] = WeakKeyDictionary()


async def post_chat(client: AsyncOpenAI, body: dict[str, Any], *, idempotency_key: str) -> object:
    """Send one chat completion and return what came: a `Completion`, other JSON, or text that is none.

    Costs one HTTP request. Raises the SDK's exceptions, and ValueError for a body that is not the JSON it claims to be.
    """
    post = _POSTS.get(client)
    response = None if post is None else await post.send(client, body)
    if response is None:
        response = await _post_by_sdk(client, body, idempotency_key)
    if not response.is_success:
        raise _status_error(response)
    return _content_of(response)


async def _post_by_sdk(client: AsyncOpenAI, body: dict[str, Any], idempotency_key: str) -> httpx2.Response:
    # Its own method for chat completions first walks the whole body against its types; ours has nothing to convert.
    # *Source*: openai 3.54, README, "Undocumented endpoints", for `post`.
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
    return await client.post(_PATH, body=body, cast_to=httpx2.Response, options=options)


def _made_of(client: AsyncOpenAI) -> tuple[object, ...]:
    """What a caller may replace in a client that is in use."""
    return client.api_key, client.base_url, client.timeout


def _json(body: Mapping[str, Any]) -> bytes:
    """As the SDK writes it. *Source*: openai 3.54, `_utils/_json.py`."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _status_error(response: httpx2.Response) -> openai.APIStatusError:
    """As the SDK raises it: the body is the parsed one, out of its envelope, or else its text."""
    text = response.text.strip()
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = text
    inner = body.get("error", body) if isinstance(body, dict) else body
    return openai.APIStatusError(f"Error code: {response.status_code}", response=response, body=inner)


def _content_of(response: httpx2.Response) -> object:
    """A body that is called JSON has to be; one that is not called so is JSON all the same, or text."""
    kind = response.headers.get("content-type", "*").partition(";")[0]
    try:
        content = json.loads(response.content)
    except (ValueError, RecursionError):
        if kind.endswith("json"):
            raise
        return response.text
    return completion_of(content) if isinstance(content, dict) else content
