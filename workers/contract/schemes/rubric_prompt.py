"""What the model is told of a rubric, beside what the schema's own descriptions say.

Part of the contract: stdlib and pydantic only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.contract.strict.labels import safe_ids

if TYPE_CHECKING:
    from workers.contract.schemes.rubric import Criterion, Rubric


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What the model is told of every rubric."""

    instruction: str
    levels: str
    errors: str


_WITHOUT_DOUBT = _Words(
    instruction=(
        "Assess the submission by every criterion below, each exactly once, under its criterion_id. Quote the "
        "submission as evidence, then say in one or two sentences what follows from it. Points are computed "
        "afterwards: state none."
    ),
    levels="Choose the level that fits best, by its exact label:",
    errors="List every error you find as major or minor, each distinct error once; an empty list means none.",
)
_WITH_DOUBT = _Words(
    instruction=(
        "Assess the submission by every criterion below. As evidence, quote it word for word (empty where nothing can "
        "be quoted), then say in one or two sentences what follows. State no points. Bad or missing work has its "
        "level; cannot_assess is for what allows no judgement at all."
    ),
    levels="Levels:",
    errors="List every error you find as major or minor.",
)
"""What the schema's own descriptions say is not said twice, so that this prompt is no longer than the other."""
_NO_CONVERSION = "Do not convert minor errors into major ones and choose no level: that is done afterwards."


def build_prompt_section(rubric: Rubric) -> str:
    """What the model is told of a rubric: criteria and levels without their points, so that it does not add up.

    Ids and labels are spelled as in the schema, which holds no quotation mark and no line break in a name.
    """
    words = _WITH_DOUBT if rubric.cannot_assess else _WITHOUT_DOUBT
    lines = [f"# Rubric: {rubric.title}", *_paragraph(rubric.description), "", words.instruction]
    ids = safe_ids(criterion.criterion_id for criterion in rubric.enabled_criteria)
    for criterion in rubric.enabled_criteria:
        lines += [
            "",
            f"## {criterion.name} (criterion_id: {ids[criterion.criterion_id]})",
            *_paragraph(criterion.description),
        ]
        lines += [words.errors, _NO_CONVERSION] if criterion.counts_errors else [words.levels, *_level_lines(criterion)]
    return "\n".join(lines)


def _paragraph(text: str | None) -> list[str]:
    return [text.strip()] if text and text.strip() else []


def _level_lines(criterion: Criterion) -> list[str]:
    labels = safe_ids(level.label for level in criterion.levels or ())
    described = [(labels[level.label], level.description.strip()) for level in criterion.levels or ()]
    return [f'- "{label}": {description}' if description else f'- "{label}"' for label, description in described]
