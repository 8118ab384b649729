"""How much of a response is read: no more than its max_tokens can fill, whatever the peer sends and however packed.

A hook of the HTTP client puts a bounded stream in place of the response's own before anything is read, for answers and
error bodies alike. Requests ask for no compression; a peer that compresses all the same is unpacked here, piece by
piece, so that a few kilobytes cannot become gigabytes.
"""

from __future__ import annotations

import asyncio
import zlib
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

import httpx2

from workers.completion.transport.response_note import current_note

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

_BYTES_PER_TOKEN = 128
"""No token of the public tokenizers is longer; *Source*: tiktoken's cl100k_base and o200k_base, runs of 128 spaces."""
_BYTES_PER_STREAMED_TOKEN = 1024
"""An event for each token repeats ids and names around it; OpenAI's have about 350 bytes."""
_BYTES_AROUND_ANSWER = 64 * 1024
"""Envelope, usage, content filter results, and error bodies with a provider's own words."""
_LONGEST_ANSWER_TOKENS = 128_000
"""What is allowed when no limit was sent: the longest answer of the models on offer."""
MAX_BODY_BYTES = 32 * 1024 * 1024
_LARGE_BYTES = 64 * 1024
_LARGE_AT_ONCE = 16
"""Four hundred calls in flight must not each hold the most that is allowed: large answers are read few at a time."""
_PIECE_BYTES = 64 * 1024
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_ZLIB_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class AnswerTooLargeError(ValueError):
    """More came than an answer of this request can have."""


def body_bound(max_tokens: int | None, *, is_streamed: bool = False) -> int:
    """Most bytes that an answer of so many tokens can have, unpacked; None is "no limit was sent"."""
    tokens = _LONGEST_ANSWER_TOKENS if max_tokens is None else max_tokens
    per_token = _BYTES_PER_STREAMED_TOKEN if is_streamed else _BYTES_PER_TOKEN
    return min(_BYTES_AROUND_ANSWER + tokens * per_token, MAX_BODY_BYTES)


def bounding_hook() -> Callable[[httpx2.Response], Awaitable[None]]:
    """Make the hook for one client's `response` event; a client belongs to one event loop."""
    large_answers = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def bound(response: httpx2.Response) -> None:
        note = current_note()
        max_bytes = body_bound(None) if note is None or note.max_body_bytes is None else note.max_body_bytes
        stream = response.stream
        if isinstance(stream, httpx2.AsyncByteStream):
            encoding = response.headers.pop("content-encoding", "identity").strip().lower()
            response.stream = _BoundedStream(
                stream, encoding=encoding, max_bytes=max_bytes, large_answers=large_answers
            )

    return bound


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(
        self, stream: httpx2.AsyncByteStream, *, encoding: str, max_bytes: int, large_answers: asyncio.Semaphore
    ) -> None:
        self._stream = stream
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._large_answers = large_answers

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        read_bytes = 0
        async with AsyncExitStack() as stack:
            pieces = await stack.enter_async_context(aclosing(self._unpacked()))
            async for piece in pieces:
                was_large = read_bytes > _LARGE_BYTES
                read_bytes += len(piece)
                if read_bytes > self._max_bytes:
                    raise AnswerTooLargeError
                if read_bytes > _LARGE_BYTES and not was_large:
                    await stack.enter_async_context(self._large_answers)
                yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def _unpacked(self) -> AsyncGenerator[bytes, None]:
        if self._encoding in {"identity", ""}:
            async for chunk in self._stream:
                yield chunk
            return
        if self._encoding not in _ZLIB_ENCODINGS:
            raise httpx2.DecodingError("a content encoding that was not asked for")
        unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
        packed_bytes = 0
        async for chunk in self._stream:
            # what follows the packed data unpacks to nothing, and would be read for ever
            packed_bytes += len(chunk)
            if packed_bytes > self._max_bytes:
                raise AnswerTooLargeError
            for piece in _pieces(unpacker, chunk):
                yield piece
        if packed_bytes and not unpacker.eof:
            raise httpx2.DecodingError("the packed body ends early")


def _pieces(unpacker: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    try:
        while piece := unpacker.decompress(chunk, _PIECE_BYTES):
            yield piece
            chunk = unpacker.unconsumed_tail
    except zlib.error:
        raise httpx2.DecodingError("the packed body is damaged") from None
