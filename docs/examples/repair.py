"""Allow one repair: the model is shown its own answer with the validation errors, and may correct it.

Strict mode holds the form of an answer, not what a validator of yours asks beyond it. A repair costs one more call, so
it suits schemas with such validators; if it is needed often, the prompt should say what the validator wants.
"""
# ruff: noqa: INP001, T201 - a script to read and run, not a module of a package

from __future__ import annotations

import asyncio
from typing import Self

from pydantic import BaseModel, Field, model_validator

from workers.completion.openai_client import OpenAISchemaValidationError, close_client, get_structured_completion


class Review(BaseModel):
    """A review that quotes what it speaks of."""

    quotation: str = Field(description="A line of the program that the review is about")
    summary: str = Field(description="What is good or bad about that line")

    @model_validator(mode="after")
    def says_something(self) -> Self:
        """Refuse a review that only repeats its quotation."""
        if self.summary.strip() == self.quotation.strip():
            raise ValueError("the summary repeats the quotation")
        return self


async def main() -> None:
    """Review and show, or say what would not fit."""
    try:
        review = await get_structured_completion(
            prompt="Review this program:\nprint('hello world')",
            model_name="gpt-6.1-terra",
            schema_model=Review,
            allow_repair=True,
            max_retries=2,
        )
    except OpenAISchemaValidationError as error:
        print(f"{error.schema_name} was not filled in ({error.kind}):")
        for found in error.validation_errors:
            print(f"- {found['loc']}: {found['msg']}")
    else:
        print(f"{review.quotation}: {review.summary}")
    finally:
        await close_client()


if __name__ == "__main__":
    asyncio.run(main())
