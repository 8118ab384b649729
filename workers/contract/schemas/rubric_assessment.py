"""`rubric_assessment`: a level, or a list of errors, per criterion of a rubric; the numbers are computed here.

The model is made from a rubric. It asks for what only a reader can say; points, total and band are computed fields,
so they stand in every dump and never on the wire. Each criterion is a required field under its own id, so that strict
mode itself demands them all. A criterion that is missing, unknown or doubled, and a level that the criterion does not
have, is a validation error: never a zero.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, create_model

from workers.contract.rubric import Criterion, Rubric, exact_sum, parse_rubric

if TYPE_CHECKING:
    from collections.abc import Mapping

_CACHED_MODELS = 64
"""A worker meets few rubrics at a time, and each many times; making a class takes milliseconds."""


class CriterionAssessment(BaseModel):
    """What is said of one criterion. Evidence comes before the verdict, so that the verdict follows from it."""

    criterion: ClassVar[Criterion]

    evidence: str = Field(description="Short quotation from the submission that decides")
    feedback: str = Field(description="One or two sentences for the student")

    @computed_field  # type: ignore[prop-decorator] # pydantic's documented order of decorators
    @property
    def max_points(self) -> float:
        """The most this criterion can give."""
        return self.criterion.max_points


class LevelAssessment(CriterionAssessment):
    """A criterion met to some level."""

    level: str = Field(description="Exact label of the level that fits best")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def points(self) -> float:
        """Follow from the level."""
        return self.criterion.points_for_level(self.level)


class FoundError(BaseModel):
    """One distinct error in the submission."""

    severity: Literal["major", "minor"]
    description: str = Field(description="What is wrong")
    evidence: str = Field(description="Short quotation from the submission")
    line_numbers: list[int] = Field(description="Lines of the submission, counted from 1; empty if not in a line")


class ErrorCountAssessment(CriterionAssessment):
    """A criterion that loses points by errors."""

    errors: list[FoundError] = Field(description="Each distinct error once; empty if there is none")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def major_errors(self) -> int:
        """Reported as major, before any conversion."""
        return sum(error.severity == "major" for error in self.errors)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def minor_errors(self) -> int:
        """Reported as minor, before any conversion."""
        return sum(error.severity == "minor" for error in self.errors)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def points(self) -> float:
        """Follow from the counts."""
        return self.criterion.points_for_errors(major=self.major_errors, minor=self.minor_errors)


class AssessedCriteria(BaseModel):
    """One required field per enabled criterion, under the criterion's own id: a strict server can leave out none."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)


class RubricAssessmentResult(BaseModel):
    """Every enabled criterion exactly once, in the rubric's order."""

    rubric: ClassVar[Rubric]

    criteria: AssessedCriteria
    overall_feedback: str = Field(description="A short paragraph for the student")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total_points(self) -> float:
        """Sum over the criteria."""
        return exact_sum(assessment.points for _name, assessment in self.criteria)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def max_points(self) -> float:
        """The most the rubric can give."""
        return self.rubric.max_points

    @computed_field  # type: ignore[prop-decorator]
    @property
    def band(self) -> str | None:
        """The overall band of the total, if the rubric has bands."""
        return self.rubric.band_for(self.total_points)


def build(context: Mapping[str, object]) -> type[BaseModel]:
    """Grades by a rubric: a level or errors per criterion, points and band computed in code.

    `context` is a rubric in its JSON form (`Rubric.context()`); equal contexts give the same class.
    """
    return _model(parse_rubric(dict(context)).model_dump_json())


@lru_cache(maxsize=_CACHED_MODELS)
def _model(rubric_json: str) -> type[BaseModel]:
    rubric = Rubric.model_validate_json(rubric_json)
    fields: dict[str, Any] = {
        f"criterion_{number}": (
            _assessment(number, criterion),
            Field(alias=criterion.criterion_id, description=criterion.name),
        )
        for number, criterion in enumerate(rubric.enabled_criteria, start=1)
    }
    criteria = create_model("Criteria", __base__=AssessedCriteria, **fields)
    model = create_model(
        "RubricAssessment",
        __base__=RubricAssessmentResult,
        __doc__=f"Assessment by the rubric {rubric.title!r}.",
        criteria=(criteria, Field(description="Every criterion of the rubric")),
    )
    model.rubric = rubric
    return model


def _assessment(number: int, criterion: Criterion) -> type[CriterionAssessment]:
    name = f"Criterion{number}"
    if criterion.counts_errors:
        counted = create_model(name, __base__=ErrorCountAssessment)
        counted.criterion = criterion
        return counted
    labels = tuple(level.label for level in criterion.levels or ())
    level = (_one_of(labels), Field(description="Exact label of the level that fits best"))
    leveled = create_model(name, __base__=LevelAssessment, level=level)
    leveled.criterion = criterion
    return leveled


def _one_of(labels: tuple[str, ...]) -> Any:
    return Literal[labels]
