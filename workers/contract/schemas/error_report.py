"""`error_report`: what is wrong with a program; what the errors cost is computed here.

The model lists errors and states no points: a number that it adds up itself agrees with its own list only by luck. A
course with weights of its own grades with a rubric (`--rubric`) or an error catalogue (`--catalogue`).
"""

from __future__ import annotations

from pydantic import BaseModel, Field, computed_field

MAJOR_ERROR_POINTS = 10
"""What each major error costs."""
MINOR_ERROR_POINTS = 2
"""What each minor error costs."""


class ErrorReport(BaseModel):
    """Errors found in one submission."""

    major_errors: list[str] = Field(description="Critical errors, each once")
    minor_errors: list[str] = Field(description="Style issues, each once")
    feedback: str = Field(description="Constructive feedback")

    @computed_field  # type: ignore[prop-decorator] # pydantic's documented order of decorators
    @property
    def total_deduction(self) -> int:
        """Points deducted: `MAJOR_ERROR_POINTS` and `MINOR_ERROR_POINTS` for each error listed."""
        return MAJOR_ERROR_POINTS * len(self.major_errors) + MINOR_ERROR_POINTS * len(self.minor_errors)
