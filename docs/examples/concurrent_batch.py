"""Grade many submissions at once: never more than a few in flight, and one failure costs one grade, not the batch."""
# ruff: noqa: INP001, T201 - a script to read and run, not a module of a package

from __future__ import annotations

import asyncio

from pydantic import BaseModel, Field

from workers.completion.openai_client import (
    OpenAISchemaValidationError,
    OpenAITransportError,
    close_client,
    get_structured_completion,
)

IN_FLIGHT = 5
"""Above what the account's rate limit can take, more calls only wait longer."""

SUBMISSIONS = {f"student-{number}": f"print('Hello, {number}')" for number in range(1, 13)}


class Feedback(BaseModel):
    """A short review."""

    summary: str = Field(description="What the program does, in one sentence")
    suggestions: list[str] = Field(description="What to do better")


Failed = OpenAITransportError | OpenAISchemaValidationError


async def review(submission: str, places: asyncio.Semaphore) -> Feedback | Failed:
    """Return the review, or the error that stands in its place."""
    async with places:
        try:
            return await get_structured_completion(
                prompt=f"Review this program:\n{submission}", model_name="gpt-6.1-terra", schema_model=Feedback
            )
        except (OpenAITransportError, OpenAISchemaValidationError) as error:
            return error


async def review_all(submissions: dict[str, str]) -> dict[str, Feedback | Failed]:
    """Review all of them; every student has an entry."""
    places = asyncio.Semaphore(IN_FLIGHT)
    reviews = await asyncio.gather(*(review(submission, places) for submission in submissions.values()))
    return dict(zip(submissions, reviews, strict=True))


async def main() -> None:
    """Review and show, failures last."""
    try:
        reviews = await review_all(SUBMISSIONS)
    finally:
        await close_client()
    for student, result in reviews.items():
        if isinstance(result, Feedback):
            print(f"{student}: {result.summary}")
    for student, result in reviews.items():
        if not isinstance(result, Feedback):
            print(f"{student}: not graded ({result.kind}): {result}")


if __name__ == "__main__":
    asyncio.run(main())
