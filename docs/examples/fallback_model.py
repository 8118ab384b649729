"""Try a second model when the first cannot be reached.

Only a transport error leads to the second model: an answer that does not fit says more about prompt or schema than
about the model. The result says which model spoke, so that grades of two models are not mixed up unseen.
"""
# ruff: noqa: INP001, T201 - a script to read and run, not a module of a package

from __future__ import annotations

import asyncio

from pydantic import BaseModel, Field

from workers.completion.openai_client import OpenAITransportError, close_client, get_structured_completion

MODELS = ("gpt-6.1-terra", "gpt-6-luna")
HOPELESS = {"quota_exhausted", "auth_failed"}
"""Kinds that are about the account: every model would answer the same."""


class Feedback(BaseModel):
    """A short review."""

    summary: str = Field(description="What the program does, in one sentence")
    score: int = Field(description="Quality from 0 to 100", ge=0, le=100)


async def review(submission: str) -> tuple[str, Feedback]:
    """Return the model's name and its review."""
    *preferred, last = MODELS
    prompt = f"Review this program:\n{submission}"
    for model in preferred:
        try:
            return model, await get_structured_completion(prompt, model, Feedback, max_retries=2)
        except OpenAITransportError as error:
            if error.kind in HOPELESS:
                raise
            print(f"{model} cannot be reached ({error.kind}); trying the next")
    return last, await get_structured_completion(prompt, last, Feedback, max_retries=1)


async def main() -> None:
    """Review and show."""
    try:
        model, feedback = await review("print('hello world')")
    finally:
        await close_client()
    print(f"{model}: {feedback.score}, {feedback.summary}")


if __name__ == "__main__":
    asyncio.run(main())
