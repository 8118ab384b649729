"""Grade one submission: instructions, solution and program go in, a typed report comes out."""
# ruff: noqa: INP001, T201 - a script to read and run, not a module of a package

from __future__ import annotations

import asyncio

from pydantic import BaseModel, Field

from workers.completion.openai_client import close_client, get_structured_completion

INSTRUCTIONS = "Write a function `mean(numbers)` that returns the average of a list and 0 for an empty one."
SOLUTION = "def mean(numbers):\n    return sum(numbers) / len(numbers) if numbers else 0\n"
SUBMISSION = "def mean(numbers):\n    return sum(numbers) / len(numbers)\n"


class ErrorReport(BaseModel):
    """What is wrong with a program."""

    major_errors: list[str] = Field(description="Errors that make the program wrong")
    minor_errors: list[str] = Field(description="Errors of style")
    feedback: str = Field(description="One or two sentences for the student")


POINTS = {"major": 10, "minor": 2}
"""Points are computed here: a model is asked what it sees, not what it adds up to."""


async def grade(submission: str) -> ErrorReport:
    """Ask for the errors in one submission."""
    prompt = (
        "You are an experienced programming instructor. Find the errors in the student's program.\n\n"
        f"Assignment:\n{INSTRUCTIONS}\n\nSolution:\n{SOLUTION}\n\nStudent's program:\n{submission}"
    )
    return await get_structured_completion(
        prompt=prompt, model_name="gpt-6.1-terra", schema_model=ErrorReport, temperature=0.0, max_tokens=2_000
    )


async def main() -> None:
    """Grade and show."""
    try:
        report = await grade(SUBMISSION)
    finally:
        await close_client()
    deduction = POINTS["major"] * len(report.major_errors) + POINTS["minor"] * len(report.minor_errors)
    print(f"points: {max(0, 100 - deduction)}")
    for error in [*report.major_errors, *report.minor_errors]:
        print(f"- {error}")
    print(report.feedback)


if __name__ == "__main__":
    asyncio.run(main())
