"""The same work for everybody: one structured completion with the SDK, one validation, one write to Redis.

Imported by contenders that run outside the project's own environment: the SDK, pydantic and redis-py are enough.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import redis.asyncio as redis

from workers.completion.transport.clients import new_client
from workers.contract.schemas.feedback import Feedback
from workers.contract.strict.schema import strict_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MODEL = "gpt-4o-mini"
PROMPT = "print('hello world')\n" * 190
"""About 4 KB: a submission of middling size with its instructions."""
RESPONSE_FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {"name": "Feedback", "schema": strict_schema(Feedback), "strict": True},
}
MOST_CONNECTIONS = 50
"""A pool that blocks when it is empty: redis-py's own default raises instead, and loses results."""


def prompt(number: int) -> str:
    """A prompt of about 4 KB that no other job has."""
    return f"# submission {number}\n{PROMPT}"


class Work:
    """One client and one Redis pool, as every contender would keep them for the life of its process."""

    def __init__(self) -> None:
        self._client = new_client(
            api_key="sk-bench", base_url=os.environ["OPENAI_BASE_URL"], timeout_seconds=120.0, transport="aiohttp"
        )
        pool = redis.BlockingConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=MOST_CONNECTIONS)
        self._redis = redis.Redis(connection_pool=pool)

    async def one(self, number: int, text: str) -> None:
        """Complete one prompt and write the result."""
        response = await self._client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": text}],
            temperature=0.2,
            max_tokens=4096,
            response_format=RESPONSE_FORMAT,
        )
        feedback = Feedback.model_validate_json(response.choices[0].message.content or "")
        await self._redis.set(f"result:{number}", feedback.model_dump_json())

    async def close(self) -> None:
        """Release every connection."""
        await self._client.close()
        await self._redis.aclose()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Everybody gets the faster loop where it is installed."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


def new_loop() -> asyncio.AbstractEventLoop:
    """A uvloop loop where uvloop is installed."""
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
