"""A stand-in in this process and the real SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from openai import AsyncOpenAI

from ops.standin.server import Standin, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def standin() -> AsyncIterator[Standin]:
    async with running() as server:
        yield server


@pytest.fixture
async def client(standin: Standin) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=standin.base_url, api_key="sk-anything", max_retries=0, timeout=20) as sdk:
        yield sdk
