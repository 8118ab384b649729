"""Error catalogues: the errors a course looks for, each with a severity and the points it costs.

Part of the contract: stdlib and pydantic only. The model says which errors occur and where; the deduction is
computed here.

An error costs its penalty once, however often it occurs: definitions name kinds of mistakes ("naming conventions are
not followed"), and the course counts each kind once. Disabled definitions are left out altogether.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from workers.contract.doubt import without_refusal_to_doubt
from workers.contract.errors import InvalidInput
from workers.contract.schemes.document import FormModel, Name, Points, parse_document, read_document, refuse_doubles
from workers.contract.schemes.selector import split_option
from workers.contract.strict.labels import safe_ids

if TYPE_CHECKING:
    from pathlib import Path

_INSTRUCTION = (
    "Report every place where one of the errors below occurs, under its exact error_id, with a short quotation and the "
    "line numbers. Report nothing that is not in this list, and no points: they are computed afterwards."
)


class ErrorDefinition(FormModel):
    """One kind of error."""

    error_id: Name
    name: Name
    description: str
    severity_category: Literal["major", "minor"]
    enabled: bool = True
    default_penalty_points: Points
    examples: list[str] | None = None


class Assignment(FormModel):
    """The definitions for one assignment."""

    assignment_id: Name
    assignment_name: str = ""
    error_definitions: list[ErrorDefinition]


class Course(FormModel):
    """The assignments of one course."""

    course_id: Name
    assignments: list[Assignment]


class CatalogueFile(FormModel):
    """The whole document."""

    courses: list[Course]


class ErrorCatalogue(FormModel):
    """The definitions that count for one assignment of one course."""

    course_id: Name
    assignment_id: Name
    assignment_name: str = ""
    error_definitions: Annotated[list[ErrorDefinition], Field(min_length=1)]
    cannot_assess: bool = False
    """The model may say that there is nothing to judge, as in `Rubric`."""

    @property
    def enabled_definitions(self) -> list[ErrorDefinition]:
        """What is looked for, in the catalogue's order."""
        return [definition for definition in self.error_definitions if definition.enabled]

    def context(self) -> dict[str, object]:
        """All that decides prompt and deductions, ready for JSON; disabled definitions are left out."""
        kept = self.model_copy(update={"error_definitions": self.enabled_definitions})
        return without_refusal_to_doubt(kept.model_dump(mode="json"))

    @model_validator(mode="after")
    def _can_be_used(self) -> ErrorCatalogue:
        if not self.enabled_definitions:
            raise ValueError("every error definition is disabled; enable one")
        refuse_doubles([definition.error_id for definition in self.error_definitions], what="error_id")
        return self


def load_catalogues(path: Path) -> list[ErrorCatalogue]:
    """Every catalogue of a file, in its order. `InvalidInput` names the field that is wrong."""
    document = parse_document(CatalogueFile, read_document(path), where=path.name)
    return [
        parse_catalogue(
            {"course_id": course.course_id, "cannot_assess": True, **assignment.model_dump()},
            where=f"{path.name} {course.course_id}/{assignment.assignment_id}",
        )
        for course in document.courses
        for assignment in course.assignments
    ]


def select_catalogue(path: Path, course_id: str | None = None, assignment_id: str | None = None) -> ErrorCatalogue:
    """The catalogue of this course and assignment; what is not given is left open, and one must remain."""
    catalogues = load_catalogues(path)
    found = [
        catalogue
        for catalogue in catalogues
        if course_id in {None, catalogue.course_id} and assignment_id in {None, catalogue.assignment_id}
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{catalogue.course_id}/{catalogue.assignment_id}" for catalogue in catalogues)
    asked = f"{course_id or 'any course'}/{assignment_id or 'any assignment'}"
    raise InvalidInput(
        f"has {'several' if found else 'no'} error catalogues for {asked}; choose one with "
        f"{path.name}#COURSE/ASSIGNMENT; there are: {known or 'none'}",
        where=path.name,
    )


def catalogue_from_option(option: str) -> ErrorCatalogue:
    """The catalogue that `FILE`, `FILE#COURSE` or `FILE#COURSE/ASSIGNMENT` names."""
    path, selector = split_option(option)
    course_id, _, assignment_id = (selector or "").partition("/")
    return select_catalogue(path, course_id or None, assignment_id or None)


def parse_catalogue(entry: object, *, where: str = "error catalogue") -> ErrorCatalogue:
    """A catalogue from its JSON form, such as a stored context."""
    return parse_document(ErrorCatalogue, entry, where=where)


def build_prompt_section(catalogue: ErrorCatalogue) -> str:
    """What the model is told of a catalogue: ids, names and descriptions without their points.

    Ids are spelled as in the schema, which holds no quotation mark and no line break in a value.
    """
    ids = safe_ids(definition.error_id for definition in catalogue.enabled_definitions)
    lines = [f"# Errors to look for: {catalogue.assignment_name or catalogue.assignment_id}", "", _INSTRUCTION]
    for severity in ("major", "minor"):
        chosen = [each for each in catalogue.enabled_definitions if each.severity_category == severity]
        lines += ["", f"## {severity.capitalize()} errors"] if chosen else []
        lines += [f"- {ids[each.error_id]}: {each.name}. {each.description}{_examples(each)}" for each in chosen]
    return "\n".join(lines)


def _examples(definition: ErrorDefinition) -> str:
    return f" For example: {'; '.join(definition.examples)}" if definition.examples else ""
