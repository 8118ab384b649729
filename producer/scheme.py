"""Grading schemes: a rubric or an error catalogue as a schema, its context, and the prompt around a submission.

Used by every producer that takes one: the command line, the page, regrading.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from workers.contract.error_catalogue import catalogue_from_option, catalogue_prompt, parse_catalogue
from workers.contract.errors import InvalidInput
from workers.contract.rubric import parse_rubric, rubric_from_option, rubric_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workers.contract.error_catalogue import ErrorCatalogue
    from workers.contract.rubric import Rubric

RUBRIC_SCHEMA = "rubric_assessment"
CATALOGUE_SCHEMA = "exam_errors"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradingScheme:
    """Which schema a rubric or catalogue makes, and how it stands in the prompt."""

    schema: str
    title: str
    context: Mapping[str, object] = field(repr=False)
    wrap_prompt: Callable[[str], str] = field(repr=False)
    warnings: tuple[str, ...] = ()
    """What an instructor should know before grading."""

    @property
    def digest(self) -> str:
        """SHA-256 of the context, hex."""
        return hashlib.sha256(json.dumps(self.context, sort_keys=True).encode()).hexdigest()


def scheme_of_rubric(rubric: Rubric) -> GradingScheme:
    """The model chooses levels, code computes the points."""
    return GradingScheme(
        schema=RUBRIC_SCHEMA,
        title=rubric.title,
        context=rubric.context(),
        wrap_prompt=partial(rubric_prompt, rubric),
        warnings=rubric.warnings(),
    )


def scheme_of_catalogue(catalogue: ErrorCatalogue) -> GradingScheme:
    """The model reports errors, code computes the deduction."""
    return GradingScheme(
        schema=CATALOGUE_SCHEMA,
        title=catalogue.assignment_name or catalogue.assignment_id,
        context=catalogue.context(),
        wrap_prompt=partial(catalogue_prompt, catalogue),
    )


def scheme_from_options(rubric: str | None, catalogue: str | None) -> GradingScheme | None:
    """The scheme of `FILE[#ID]` or `FILE[#COURSE[/ASSIGNMENT]]`; None when neither is given."""
    if rubric and catalogue:
        raise InvalidInput("give --rubric or --catalogue, not both")
    if rubric:
        return scheme_of_rubric(rubric_from_option(rubric))
    return scheme_of_catalogue(catalogue_from_option(catalogue)) if catalogue else None


def scheme_of_context(schema: str, context: Mapping[str, object]) -> GradingScheme | None:
    """The scheme behind a stored context; None for a schema that knows none."""
    if schema == RUBRIC_SCHEMA:
        return scheme_of_rubric(parse_rubric(dict(context)))
    return scheme_of_catalogue(parse_catalogue(dict(context))) if schema == CATALOGUE_SCHEMA else None
