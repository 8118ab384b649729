"""`error_report`: what is wrong with a program, and how much it costs."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ErrorReport(BaseModel):
    """Errors found in one submission."""

    major_errors: list[str] = Field(description="Critical errors")
    minor_errors: list[str] = Field(description="Style issues")
    total_deduction: int = Field(description="Points deducted", ge=0)
    feedback: str = Field(description="Constructive feedback")
