"""`exam_errors`: which errors of a catalogue occur in a program, and where; the deduction is computed here.

The model is made from a catalogue. An error_id that the catalogue does not have is a validation error.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, Field, computed_field, create_model

from workers.contract.doubt import WORK_DESCRIPTION, WorkState
from workers.contract.evidence import Evidence  # noqa: TC001 - pydantic reads it
from workers.contract.schemas.severities import CountsSeverities, Severity
from workers.contract.schemes.catalogue import ErrorCatalogue, parse_catalogue
from workers.contract.schemes.document import exact_sum

if TYPE_CHECKING:
    from collections.abc import Mapping

_CACHED_MODELS = 64
"""A worker meets few catalogues at a time, and each many times; making a class takes milliseconds."""


class Occurrence(BaseModel):
    """One place where an error of the catalogue occurs."""

    error_id: str
    evidence: Evidence = Field(description="Short quotation from the submission")
    line_numbers: list[int] = Field(description="Lines of the submission, counted from 1; empty if not in a line")


class FoundError(BaseModel):
    """An error of the catalogue that occurs, and what it costs: the penalty counts once."""

    error_id: str
    name: str
    severity: Severity
    occurrences: int
    penalty_points: float


class ErrorsOfCatalogue(BaseModel):
    """Occurrences of errors, and the errors that follow."""

    catalogue: ClassVar[ErrorCatalogue]

    occurrences: list[Occurrence]
    overall_feedback: str = Field(description="A short paragraph for the student")

    @computed_field  # type: ignore[prop-decorator] # pydantic's documented order of decorators
    @property
    def errors(self) -> list[FoundError]:
        """Each error that occurs, once, in the catalogue's order."""
        counts = Counter(occurrence.error_id for occurrence in self.occurrences)
        return [
            FoundError(
                error_id=definition.error_id,
                name=definition.name,
                severity=definition.severity_category,
                occurrences=counts[definition.error_id],
                penalty_points=definition.default_penalty_points,
            )
            for definition in self.catalogue.enabled_definitions
            if counts[definition.error_id]
        ]


class ExamErrorsResult(CountsSeverities, ErrorsOfCatalogue):
    """Occurrences of errors, and the deduction that follows."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total_deduction(self) -> float:
        """Sum of the penalties; the catalogue knows no maximum, so neither does this."""
        return exact_sum(error.penalty_points for error in self.errors)


class DoubtingExamErrors(ExamErrorsResult):
    """The same by a catalogue that lets the model say that there is nothing to judge."""

    work: WorkState = Field(description=WORK_DESCRIPTION)


def build(context: Mapping[str, object]) -> type[BaseModel]:
    """Finds the errors of a catalogue in a program; the deduction is computed in code.

    `context` is a catalogue in its JSON form (`ErrorCatalogue.context()`); equal contexts give the same class.
    """
    return _model(parse_catalogue(dict(context)).model_dump_json())


@lru_cache(maxsize=_CACHED_MODELS)
def _model(catalogue_json: str) -> type[BaseModel]:
    catalogue = ErrorCatalogue.model_validate_json(catalogue_json)
    ids = tuple(definition.error_id for definition in catalogue.enabled_definitions)
    error_id: Any = Literal[ids]
    identity = (error_id, Field(description="Exact error_id of the list"))
    occurrence = create_model("ErrorOccurrence", __base__=Occurrence, error_id=identity)
    described = Field(description="Every place where an error of the list occurs; empty if there is none")
    model = create_model(
        "ExamErrors",
        __base__=DoubtingExamErrors if catalogue.cannot_assess else ExamErrorsResult,
        __doc__=f"Errors of {catalogue.course_id}/{catalogue.assignment_id} in one submission.",
        occurrences=(list[occurrence], described),  # type: ignore[valid-type] # made at run time
    )
    model.catalogue = catalogue
    return model
