"""The public function with a mocked SDK: answers, errors, waits."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, MagicMock

import openai
from pydantic import BaseModel, Field

from workers.completion.openai_client import get_structured_completion

MODULE = "workers.completion.openai_client"
PROMPT = "Grade Anna's program"
GOOD = '{"summary": "fine", "score": 90}'


class Review(BaseModel):
    summary: str = Field(description="Brief summary")
    score: int = Field(description="Score 0-100", le=100)


def answer(content: object = GOOD) -> MagicMock:
    """Everything that was not set is a mock, and true."""
    response = MagicMock()
    response.choices = [MagicMock()]
    response.choices[0].message.content = content
    return response


def timeout() -> openai.APITimeoutError:
    return openai.APITimeoutError("Request timed out")  # type: ignore[arg-type] # as users' tests make it


def connection() -> openai.APIConnectionError:
    return openai.APIConnectionError(request=MagicMock())


def rate_limit(retry_after: float | None = None, **headers: str) -> openai.RateLimitError:
    response = MagicMock()
    response.status_code = 429
    if headers:
        response.headers = openai.DefaultAsyncHttpxClient().headers
        response.headers.clear()
        response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    error = openai.RateLimitError("no", response=response, body={"error": {"message": "Rate limit exceeded"}})
    if retry_after is not None:
        error.retry_after = retry_after  # type: ignore[attr-defined]
    return error


def api_error(status_code: int) -> openai.APIError:
    error = openai.APIError("no", request=MagicMock(), body={"error": {"message": PROMPT}})
    error.status_code = status_code  # type: ignore[attr-defined]
    return error


class Calls:
    """A client that answers from a list, and the sleeps between the calls."""

    def __init__(self, create: AsyncMock, sleep: AsyncMock) -> None:
        self.create = create
        self.sleep = sleep

    def will(self, *results: object) -> None:
        self.create.side_effect = list(results)

    @property
    def waits(self) -> list[float]:
        return [args.args[0] for args in self.sleep.call_args_list]


async def review(**options: Any) -> Review:
    return await get_structured_completion(PROMPT, "gpt-4o", Review, **options)
