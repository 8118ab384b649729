"""`rubric_assessment`: a level, or a list of errors, per criterion of a rubric; the numbers are computed here.

The model is made from a rubric. It asks for what only a reader can say; points, total and band are computed fields,
so they are in every dump and never on the wire. Each criterion is a required field under its own id, so that strict
mode itself demands them all. A criterion that is missing, unknown or doubled, and a level that the criterion does not
have, is a validation error: never a zero.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, create_model

from workers.contract.doubt import WORK_DESCRIPTION, CannotAssess, WorkState
from workers.contract.evidence import Evidence  # noqa: TC001 - pydantic reads it
from workers.contract.schemas.severities import CountsSeverities, Severity
from workers.contract.schemes.document import exact_sum
from workers.contract.schemes.rubric import Criterion, Rubric, parse_rubric

if TYPE_CHECKING:
    from collections.abc import Mapping

_CACHED_MODELS = 64
"""A worker meets few rubrics at a time, and each many times; making a class takes milliseconds."""


class CriterionAssessment(BaseModel):
    """What is said of one criterion. Evidence comes before the verdict, so that the verdict follows from it."""

    criterion: ClassVar[Criterion]

    evidence: Evidence = Field(description="Short quotation from the submission that decides")
    feedback: str = Field(description="One or two sentences for the student")

    @computed_field  # type: ignore[prop-decorator] # pydantic's documented order of decorators
    @property
    def max_points(self) -> float:
        """The most this criterion can give."""
        return self.criterion.max_points


class UnassessedCriterion(CannotAssess):
    """A criterion that what was handed in does not let anybody judge: it has no points."""

    criterion: ClassVar[Criterion]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def max_points(self) -> float:
        """The most this criterion could give."""
        return self.criterion.max_points

    @computed_field  # type: ignore[prop-decorator]
    @property
    def points(self) -> None:
        """None: nobody said what it is worth, and a zero would be a judgement."""
        return


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

    severity: Severity
    description: str = Field(description="What is wrong")
    evidence: Evidence = Field(description="Short quotation from the submission")
    line_numbers: list[int] = Field(description="Lines of the submission, counted from 1; empty if not in a line")


class ErrorCountAssessment(CountsSeverities, CriterionAssessment):
    """A criterion that loses points by errors."""

    errors: list[FoundError] = Field(description="Each distinct error once; empty if there is none")

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
    def total_points(self) -> float | None:
        """Sum over the criteria; None while one of them could not be assessed."""
        points = [assessment.points for _name, assessment in self.criteria]
        return None if None in points else exact_sum(points)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def max_points(self) -> float:
        """The most the rubric can give."""
        return self.rubric.max_points

    @computed_field  # type: ignore[prop-decorator]
    @property
    def band(self) -> str | None:
        """The overall band of the total, if the rubric has bands."""
        total = self.total_points
        return None if total is None else self.rubric.band_for(total)


class DoubtingRubricAssessment(RubricAssessmentResult):
    """The same by a rubric that lets the model say what it cannot judge."""

    sends_equal_parts_once: ClassVar[bool] = True
    """Criteria with the same levels, and what is said of one that cannot be judged, are one part of the schema."""

    work: WorkState = Field(description=WORK_DESCRIPTION)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def assessed_points(self) -> float:
        """Sum over the criteria that were assessed; the total where all were."""
        return exact_sum(
            assessment.points for _name, assessment in self.criteria if not isinstance(assessment, CannotAssess)
        )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def not_assessed(self) -> list[str]:
        """Ids of the criteria without points."""
        ids = (criterion.criterion_id for criterion in self.rubric.enabled_criteria)
        return [
            criterion_id
            for criterion_id, (_name, assessment) in zip(ids, self.criteria, strict=True)
            if isinstance(assessment, CannotAssess)
        ]


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
            _answer(number, criterion, may_abstain=rubric.cannot_assess),
            Field(alias=criterion.criterion_id, description=criterion.name),
        )
        for number, criterion in enumerate(rubric.enabled_criteria, start=1)
    }
    criteria = create_model("Criteria", __base__=AssessedCriteria, **fields)
    model = create_model(
        "RubricAssessment",
        __base__=DoubtingRubricAssessment if rubric.cannot_assess else RubricAssessmentResult,
        __doc__=f"Assessment by the rubric {rubric.title!r}.",
        criteria=(criteria, Field(description="Every criterion of the rubric")),
    )
    model.rubric = rubric
    return model


def _answer(number: int, criterion: Criterion, *, may_abstain: bool) -> Any:
    assessment = _assessment(number, criterion)
    if not may_abstain:
        return assessment
    unassessed = create_model(f"Criterion{number}NotAssessed", __base__=UnassessedCriterion)
    unassessed.criterion = criterion
    return assessment | unassessed


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
