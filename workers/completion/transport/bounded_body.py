"""How much of a response is read: no more than its max_tokens can fill, whatever the peer sends and however packed.

A hook of the HTTP client puts a bounded stream in place of the response's own before anything is read, for answers and
error bodies alike. Requests ask for no compression; a peer that compresses all the same is unpacked here, piece by
piece, so that a few kilobytes cannot become gigabytes.
"""

from __future__ import annotations

import asyncio
import zlib
from contextlib import aclosing
from typing import TYPE_CHECKING

import httpx2

from workers.completion.transport.response_note import current_note

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator

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


def large_answers() -> asyncio.Semaphore:
    """What the responses of one client share, so that few large ones are read at once."""
    return asyncio.Semaphore(_LARGE_AT_ONCE)


def bounding_hook(large: asyncio.Semaphore) -> Callable[[httpx2.Response], Awaitable[None]]:
    """Make the hook for one client's `response` event; a client belongs to one event loop."""

    async def bound(response: httpx2.Response) -> None:
        stream = response.stream
        if isinstance(stream, httpx2.AsyncByteStream):
            encoding = response.headers.pop("content-encoding", "identity")
            response.stream = _BoundedStream(stream, encoding, bytes_allowed(), large)

    return bound


def bytes_allowed() -> int:
    """How much of a body the call may read that this task is in."""
    note = current_note()
    return body_bound(None) if note is None or note.max_body_bytes is None else note.max_body_bytes


async def read_bounded(
    chunks: AsyncIterable[bytes], *, encoding: str, max_bytes: int, large: asyncio.Semaphore
) -> bytes:
    """Read a body to its end and unpack it. Raises `AnswerTooLargeError`, and `DecodingError` for other packings."""
    encoding = encoding.strip().lower()
    if encoding in {"identity", ""}:
        return await _joined(chunks, max_bytes, large)
    if encoding not in _ZLIB_ENCODINGS:
        raise httpx2.DecodingError("a content encoding that was not asked for")
    async with aclosing(_unpacked(chunks, max_bytes)) as pieces:
        return await _joined(pieces, max_bytes, large)


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, encoding: str, max_bytes: int, large: asyncio.Semaphore) -> None:
        self._stream = stream
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._large = large

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        yield await read_bounded(self._stream, encoding=self._encoding, max_bytes=self._max_bytes, large=self._large)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _joined(pieces: AsyncIterable[bytes], max_bytes: int, large: asyncio.Semaphore) -> bytes:
    read: list[bytes] = []
    read_bytes, is_large = 0, False
    try:
        async for piece in pieces:
            read_bytes += len(piece)
            if read_bytes > max_bytes:
                raise AnswerTooLargeError
            if read_bytes > _LARGE_BYTES and not is_large:
                is_large = await large.acquire()
            read.append(piece)
        return b"".join(read)
    finally:
        if is_large:
            large.release()


async def _unpacked(chunks: AsyncIterable[bytes], max_bytes: int) -> AsyncGenerator[bytes, None]:
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    packed_bytes = 0
    async for chunk in chunks:
        # what follows the packed data unpacks to nothing, and would be read for ever
        packed_bytes += len(chunk)
        if packed_bytes > max_bytes:
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
