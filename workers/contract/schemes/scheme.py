"""Grading schemes: a rubric or an error catalogue as a schema, its context, and the prompt around a submission.

Used by every producer that takes one: the command line, the page, regrading.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.schemes.catalogue import (
    build_prompt_section as catalogue_section,
)
from workers.contract.schemes.catalogue import (
    catalogue_from_option,
    parse_catalogue,
)
from workers.contract.schemes.open_ranges import leaves_points_open, with_level_points
from workers.contract.schemes.rubric import parse_rubric, rubric_from_option
from workers.contract.schemes.rubric_prompt import build_prompt_section as rubric_section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.contract.schemes.catalogue import ErrorCatalogue
    from workers.contract.schemes.open_ranges import LevelPoints
    from workers.contract.schemes.rubric import Rubric

RUBRIC_SCHEMA = "rubric_assessment"
CATALOGUE_SCHEMA = "exam_errors"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradingScheme:
    """Which schema a rubric or catalogue makes, and its text in the prompt."""

    schema: str
    title: str
    context: Mapping[str, object] = field(repr=False)
    section: str = field(repr=False)
    """What the instructions say of it."""
    warnings: tuple[str, ...] = ()
    """What an instructor should know before grading."""
    leaves_points_open: bool = False
    """Levels have ranges, and neither the rubric nor the instructor said which points of a range count."""

    @property
    def digest(self) -> str:
        """SHA-256 of what the instructor wrote, hex: the same file finds the batch of an earlier release."""
        content = {name: value for name, value in self.context.items() if name != "cannot_assess"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def scheme_of_rubric(rubric: Rubric, points: LevelPoints | None = None) -> GradingScheme:
    """The model chooses levels, code computes the points. `points` says which count where the rubric does not."""
    if points is not None:
        rubric = with_level_points(rubric, points)
    return GradingScheme(
        schema=RUBRIC_SCHEMA,
        title=rubric.title,
        context=rubric.context(),
        section=rubric_section(rubric),
        warnings=rubric.warnings(),
        leaves_points_open=points is None and leaves_points_open(rubric),
    )


def scheme_of_catalogue(catalogue: ErrorCatalogue) -> GradingScheme:
    """The model reports errors, code computes the deduction."""
    return GradingScheme(
        schema=CATALOGUE_SCHEMA,
        title=catalogue.assignment_name or catalogue.assignment_id,
        context=catalogue.context(),
        section=catalogue_section(catalogue),
    )


def scheme_from_options(
    rubric: str | None, catalogue: str | None, points: LevelPoints | None = None
) -> GradingScheme | None:
    """The scheme of `FILE[#ID]` or `FILE[#COURSE[/ASSIGNMENT]]`; None when neither is given."""
    if rubric and catalogue:
        raise InvalidInput("give --rubric or --catalogue, not both")
    if rubric:
        return scheme_of_rubric(rubric_from_option(rubric), points)
    return scheme_of_catalogue(catalogue_from_option(catalogue)) if catalogue else None


def scheme_of_context(schema: str, context: Mapping[str, object]) -> GradingScheme | None:
    """The scheme behind a stored context; None for a schema that knows none."""
    if schema == RUBRIC_SCHEMA:
        return scheme_of_rubric(parse_rubric(dict(context)))
    return scheme_of_catalogue(parse_catalogue(dict(context))) if schema == CATALOGUE_SCHEMA else None
