"""`feedback`: a short review of a program with a score and suggestions."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Feedback(BaseModel):
    """Review of one submission."""

    summary: str = Field(description="Brief summary of the code")
    score: int = Field(description="Score from 0-100", ge=0, le=100)
    suggestions: list[str] = Field(description="Improvement suggestions")
