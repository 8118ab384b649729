"""Lanes at the provider: a stand-in in this process whose clock tests move, and our client."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ops.standin.config import Config
from ops.standin.server import Standin, running
from workers.completion.attempt import CompletionRequest
from workers.completion.lanes import batches, files
from workers.completion.lanes.lines import ended_line, read_line
from workers.completion.transport.clients import new_client
from workers.contract.model_profile import profile_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai import AsyncOpenAI

    from workers.completion.lanes.states import Ended


class Grade(BaseModel):
    points: int
    comment: str


MODEL = "gpt-6.1-terra"
PROFILE = profile_of(MODEL)


def asking(prompt: str, **changes: Any) -> CompletionRequest:
    request: dict[str, Any] = {"model": MODEL, "schema_model": Grade, "profile": PROFILE, "max_tokens": 900}
    return CompletionRequest(prompt=prompt, **(request | changes))


@asynccontextmanager
async def provider(**config: Any) -> AsyncIterator[tuple[Standin, AsyncOpenAI]]:
    clock = {"batch_seconds": 100, "window_2h_seconds": 100, "window_8h_seconds": 100}
    async with running(Config().changed(clock | config)) as standin:
        client = new_client(api_key="sk-anything", base_url=standin.base_url, timeout_seconds=20)
        try:
            yield standin, client
        finally:
            await client.close()


async def handed_in(client: AsyncOpenAI, requests: dict[str, CompletionRequest], marker: str = "m1") -> str:
    content = b"".join(batches.request_line(name, request) for name, request in requests.items())
    batch = await batches.create_batch(client, await files.upload(client, content, marker), marker)
    return batch.batch_id


async def lines_of(client: AsyncOpenAI, *file_ids: str | None) -> list[bytes]:
    found = []
    for file_id in file_ids:
        if file_id is not None:
            async with aclosing(files.download(client, file_id)) as lines:
                found += [line.content async for line in lines]
    return found


async def endings_of(client: AsyncOpenAI, batch_id: str, requests: dict[str, CompletionRequest]) -> dict[str, Ended]:
    state = await batches.retrieve_batch(client, batch_id)
    assert state.has_ended
    read = [read_line(line) for line in await lines_of(client, state.output_file_id, state.error_file_id)]
    return {line.custom_id: ended_line(line, requests[line.custom_id]) for line in read if line is not None}


MARKS = [
    *("", "refusal", "truncated", "content_filter", "invalid_output", "not_json", "fenced", "null_content"),
    *("no_choices", "length_whole", "odd_metadata", "rate_limit", "insufficient_quota", "context_overflow"),
    *("rejected", "bad_key", "server_error", "unlisted_400", "overdue_400"),
]
"""Of prompts: each mark is acted out by the stand-in; the first prompt has none."""
