"""Files at the provider: a batch's lines go up, its answers come down, and both are deleted afterwards."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import httpx2

from workers.completion.classify import Transient
from workers.completion.lanes.calls import TRANSFER_SECONDS, call_json, calling, json_object
from workers.completion.lanes.errors import LaneCallFailed, NotFound
from workers.completion.peer_values import name_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from openai import AsyncOpenAI

    from workers.completion.lanes.states import FileId

MAX_FILE_BYTES = 200_000_000
"""*Source*: OpenAI, "Batch API", limits: 200 MB a file; counted in decimal megabytes, the smaller reading."""
MAX_LINES = 50_000
"""*Source*: as above."""
MAX_DOWNLOAD_BYTES = 4 * 1024 * 1024 * 1024
"""Above 50,000 answers of 80 KB."""
MAX_LINE_BYTES = 32 * 1024 * 1024
_IDLE_SECONDS = 60.0
"""A download that brings nothing for so long is tried again from its line."""
_PAGE_FILES = 1_000
_MOST_PAGES = 100
_PAGE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileLine:
    """One line of a downloaded file; `number` counts from 0 and stays the same in every download."""

    number: int
    content: bytes = field(repr=False)


def file_name(marker: str) -> str:
    """The name under which a batch's input lies at the provider."""
    return f"gradequeue-{marker}.jsonl"


async def upload(
    client: AsyncOpenAI, content: IO[bytes] | bytes, marker: str, *, seconds: float = TRANSFER_SECONDS
) -> FileId:
    """Upload a batch's lines under a name made of the marker, and return the file's id.

    Not idempotent: after a broken call ask `find_files` before trying again. Raises `LaneError`; OSError where the
    local file cannot be read.
    """
    async with calling(seconds=seconds) as note:
        # As the SDK's `files.create`, whose answer is not checked: a page under status 200 would pass as a file.
        response: httpx2.Response = await client.post(
            "/files",
            cast_to=httpx2.Response,
            body={"purpose": "batch"},
            files=[("file", (file_name(marker), content, "application/jsonl"))],
            options={
                "security": {"bearer_auth": True},
                "headers": {"Content-Type": "multipart/form-data"},
                "max_retries": 0,
                "timeout": seconds,
            },
        )
        return _id_of(json_object(response), note.status_code)


async def find_files(client: AsyncOpenAI, marker: str, *, since: float | None = None) -> tuple[FileId, ...]:
    """Find every uploaded file of this marker, newest first; more than one means that an upload was repeated.

    `since`, seconds since the epoch, ends the search at older files. Costs one request per 1,000 files. Raises
    `LaneError`.
    """
    return tuple(
        [
            found["id"]
            async for found in listed(client, "/files?purpose=batch&order=desc", page_size=_PAGE_FILES, since=since)
            if found.get("filename") == file_name(marker)
        ]
    )


async def delete_file(client: AsyncOpenAI, file_id: FileId) -> bool:
    """Delete a file at the provider; False where there was none. Raises other `LaneError`."""
    try:
        await call_json(client, "DELETE", f"/files/{file_id}", about=file_id)
    except NotFound:
        return False
    return True


async def download(
    client: AsyncOpenAI,
    file_id: FileId,
    *,
    from_line: int = 0,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
    idle_seconds: float = _IDLE_SECONDS,
) -> AsyncGenerator[FileLine, None]:
    """Yield a file's lines from a number on, as they come; blank ones are counted and left out.

    Holds one line at a time and reads on only when asked, so that the consumer sets the pace; close it (`aclosing`)
    when leaving early. One HTTP request. Raises `LaneError`, after any number of lines: download again from the next.
    """
    async with AsyncExitStack() as stack:
        async with calling(about=file_id, seconds=idle_seconds, max_bytes=max_bytes):
            opened = client.files.with_streaming_response.content(file_id, timeout=idle_seconds)
            response = await stack.enter_async_context(opened)
        number = 0
        async for line in _lines(_pieces(response, file_id, idle_seconds)):
            if number >= from_line and line.strip():
                yield FileLine(number, line)
            number += 1


async def _pieces(response: Any, file_id: FileId, idle_seconds: float) -> AsyncIterator[bytes]:
    pieces = response.iter_bytes()  # as they come: what arrived before a break is not lost
    while True:
        async with calling(about=file_id, seconds=idle_seconds):
            piece: bytes | None = await anext(pieces, None)
        if piece is None:
            return
        yield piece


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split at line feeds alone: an answer's text may hold what else counts as the end of a line."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > MAX_LINE_BYTES:
            message = "A line of the provider's file is longer than any answer"
            raise LaneCallFailed(Transient(message, None, None))
    if rest:
        yield rest


async def listed(
    client: AsyncOpenAI, path: str, *, page_size: int, since: float | None
) -> AsyncIterator[dict[str, Any]]:
    """Yield the objects of a list that comes in pages, newest first, down to those made before `since`."""
    separator = "&" if "?" in path else "?"
    after = ""
    for _ in range(_MOST_PAGES):
        page, _note = await call_json(
            client, "GET", f"{path}{separator}limit={page_size}{after}", max_bytes=_PAGE_BYTES
        )
        data = page.get("data")
        found = [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []
        for each in found:
            created_at = each.get("created_at")
            if since is not None and isinstance(created_at, int | float) and created_at < since:
                return
            if isinstance(each.get("id"), str):
                yield each
        last_id = found[-1].get("id") if found else None
        if not page.get("has_more") or not isinstance(last_id, str):
            return
        after = f"&after={last_id}"


def _id_of(content: dict[str, Any], status_code: int | None) -> FileId:
    file_id = name_of(content.get("id"))
    if file_id is None:
        raise LaneCallFailed(Transient("The provider named no id for the file", None, status_code))
    return file_id
