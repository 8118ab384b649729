"""A stand-in in this process, and our client to it on each transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ops.standin.config import Config
from ops.standin.server import Standin, running
from workers.completion.transport.clients import Transport, new_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai import AsyncOpenAI


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with running(Config()) as started:
        yield started


@pytest.fixture(params=["aiohttp", "httpx2"])
def transport(request: pytest.FixtureRequest) -> Transport:
    chosen: Transport = request.param
    return chosen


@pytest.fixture
async def client(standin: Standin, transport: Transport) -> AsyncIterator[AsyncOpenAI]:
    made = new_client(api_key="sk-test", base_url=standin.base_url, timeout_seconds=20, transport=transport)
    yield made
    await made.close()
