"""Counts of found errors by severity: computed fields that results of catalogues and of rubrics share."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import BaseModel, computed_field

Severity = Literal["major", "minor"]


class CountsSeverities(BaseModel):
    """For models whose `errors` have a severity. A rubric's counts are as reported, before any conversion."""

    @computed_field  # type: ignore[prop-decorator] # pydantic's documented order of decorators
    @property
    def major_errors(self) -> int:
        """Different major errors."""
        return _count(self, "major")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def minor_errors(self) -> int:
        """Different minor errors."""
        return _count(self, "minor")


class _HasSeverity(Protocol):
    severity: Severity


def _count(model: BaseModel, severity: Severity) -> int:
    errors: list[_HasSeverity] = getattr(model, "errors")  # noqa: B009 - a field in one model, computed in the other
    return sum(error.severity == severity for error in errors)
