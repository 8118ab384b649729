"""Requests to a stand-in in this process: completions through the real SDK, and its control API."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import aiohttp
from pydantic import BaseModel

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from ops.standin.server import Standin


PROMPT = "Grade this submission."
PROMPT_KEY = hashlib.sha256(PROMPT.encode()).hexdigest()


class Criterion(BaseModel):
    name: str
    points: int
    comment: str | None


class Grade(BaseModel):
    score: float
    passed: bool
    criteria: list[Criterion]


async def complete(client: AsyncOpenAI, prompt: str = PROMPT, **changes: Any) -> Any:
    request: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}], "max_tokens": 500}
    return await client.chat.completions.parse(**(request | {"response_format": Grade} | changes))


async def get_json(standin: Standin, path: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(standin.base_url.removesuffix("/v1") + path) as response:
        return await response.json()


async def post(standin: Standin, path: str, body: Any = None) -> tuple[int, Any]:
    url = standin.base_url.removesuffix("/v1") + path
    async with aiohttp.ClientSession() as http, http.post(url, json=body) as response:
        return response.status, await response.json()
