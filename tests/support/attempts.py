"""One attempt through our client, and the schema it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from workers.completion.attempt import Attempt, CompletionRequest, attempt_completion

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class Review(BaseModel):
    summary: str
    score: int = Field(ge=0, le=100)
    suggestions: list[str]
    points: dict[str, int] = Field(max_length=1)


async def attempt(client: AsyncOpenAI, fault: str = "", **options: Any) -> Attempt:
    marker = f"[[standin:{fault}]]" if fault else ""
    request = CompletionRequest(
        **{"prompt": f"Grade Anna's program {marker}", "model": "gpt-4o", "schema_model": Review, **options}
    )
    return await attempt_completion(client, request)
