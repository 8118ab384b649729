"""Rubrics: criteria with levels or error counts, the text the model sees, and the points that follow from its answer.

Part of the contract: stdlib and pydantic only. The model chooses levels and reports errors; every number is
computed here.

How points follow:
- `level_band` (and `manual` with levels, and no mode at all): the chosen level's range and the criterion's
  `points_strategy`: `min` (also when it is not given) takes score_min, `max` score_max, `mid` the middle, rounded down
  to a whole point when the range has whole bounds.
- `error_count`: max_points less the weights of major and minor errors, after `minor_to_major_ratio` minor errors
  became one major error each; the deduction is capped by `max_deduction`, the result kept between `floor_score` (or 0)
  and max_points. Levels of such a criterion are for people: where they contradict the weights, `warnings` says so.
- `manual` without levels would leave the points to the model: refused.
- The overall band is the highest one whose score_min is reached; of two with the same score_min, the one listed first.

*Source* for min, mid, the conversion and the order of bands: the course's own scoring (cpcc_task_automation, 2026).
Where it selects levels of `program_performance` by a table per course in code, this follows `error_rules` of the file.
"""

from __future__ import annotations

import re
from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from workers.contract.doubt import without_refusal_to_doubt
from workers.contract.errors import InvalidInput
from workers.contract.schemes.document import (
    FormModel,
    Name,
    Points,
    exact,
    exact_sum,
    parse_document,
    read_document,
    refuse_doubles,
)
from workers.contract.schemes.rubric_table import rubrics_of_table
from workers.contract.schemes.selector import split_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_STATED_ERRORS = re.compile(r"(?P<count>\d+)(?P<more>\+?) (?P<severity>major|minor) errors?", re.IGNORECASE)


class ScoreRange(FormModel):
    """A label for the scores from `score_min` to `score_max`, both included."""

    label: Name
    score_min: Points
    score_max: Points

    @model_validator(mode="after")
    def _is_ascending(self) -> ScoreRange:
        if self.score_min > self.score_max:
            raise ValueError(
                f"score_min {self.score_min:g} of {self.label!r} is above its score_max {self.score_max:g}"
            )
        return self


class Level(ScoreRange):
    """How well a criterion may be met."""

    description: str = ""


class ErrorConversion(FormModel):
    """So many minor errors weigh as one major error."""

    minor_to_major_ratio: Annotated[int, Field(ge=1)]


class ErrorRules(FormModel):
    """Points that errors cost."""

    major_weight: Points
    minor_weight: Points
    max_deduction: Points | None = None
    floor_score: Points | None = None
    error_conversion: ErrorConversion | None = None

    def deduction(self, major: int, minor: int) -> Decimal:
        """Points lost to so many errors."""
        if self.error_conversion is not None:
            converted, minor = divmod(minor, self.error_conversion.minor_to_major_ratio)
            major += converted
        lost = major * exact(self.major_weight) + minor * exact(self.minor_weight)
        return lost if self.max_deduction is None else min(lost, exact(self.max_deduction))


class Criterion(FormModel):
    """One thing to assess, by a level the model chooses or by the errors it finds."""

    criterion_id: Name
    name: Name
    description: str | None = None
    max_points: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    enabled: bool = True
    levels: list[Level] | None = None
    scoring_mode: Literal["manual", "level_band", "error_count"] = "manual"
    error_rules: ErrorRules | None = None
    points_strategy: Literal["min", "mid", "max"] = "min"

    @property
    def counts_errors(self) -> bool:
        """Whether points follow from errors instead of a level."""
        return self.scoring_mode == "error_count"

    def points_for_level(self, label: str) -> float:
        """Points of the level with this label; `KeyError` when there is none."""
        level = {level.label: level for level in self.levels or ()}[label]
        if self.points_strategy == "min":
            return level.score_min
        if self.points_strategy == "max":
            return level.score_max
        middle = (exact(level.score_min) + exact(level.score_max)) / 2
        if level.score_min.is_integer() and level.score_max.is_integer():
            middle = middle.to_integral_value(ROUND_FLOOR)
        return float(middle)

    def points_for_errors(self, *, major: int, minor: int) -> float:
        """Points left after so many errors, as the model reported them (conversion happens here)."""
        if self.error_rules is None:
            return self.max_points
        left = exact(self.max_points) - self.error_rules.deduction(major, minor)
        return float(max(left, exact(self.error_rules.floor_score or 0.0)))

    @model_validator(mode="after")
    def _can_be_scored(self) -> Criterion:
        what = f"criterion {self.criterion_id!r}"
        if not self.counts_errors and not self.levels:
            raise ValueError(f"{what} has no levels, so its points would be the model's; give it levels or error_rules")
        if self.counts_errors and self.error_rules is None:
            raise ValueError(f"{what} is scored by error_count and has no error_rules; add them")
        floor = self.error_rules.floor_score if self.error_rules else None
        if floor is not None and floor > self.max_points:
            raise ValueError(f"{what} has a floor_score above its max_points")
        refuse_overlaps(self.levels or (), top=self.max_points, what=f"level of {what}")
        return self


class Rubric(FormModel):
    """Criteria with their points, and bands for the total. Only enabled criteria are assessed."""

    rubric_id: Name
    rubric_version: str = "1"
    title: Name
    description: str | None = None
    course_ids: list[str] = Field(default_factory=list)
    criteria: Annotated[list[Criterion], Field(min_length=1)]
    overall_bands: list[ScoreRange] | None = None
    cannot_assess: bool = False
    """The model may say that a criterion cannot be judged. Rubrics of files get it unless they say otherwise; one that
    an earlier release stored has it not."""

    @property
    def enabled_criteria(self) -> list[Criterion]:
        """What is assessed, in the rubric's order."""
        return [criterion for criterion in self.criteria if criterion.enabled]

    @property
    def max_points(self) -> float:
        """Sum over the enabled criteria."""
        return exact_sum(criterion.max_points for criterion in self.enabled_criteria)

    def band_for(self, total_points: float) -> str | None:
        """Label of the highest band that the total reaches; None without bands or below the lowest."""
        reached = [band for band in self.overall_bands or () if band.score_min <= total_points]
        return max(reached, key=lambda band: band.score_min).label if reached else None

    def context(self) -> dict[str, object]:
        """All that decides prompt and points, ready for JSON; disabled criteria are left out."""
        kept = self.model_copy(update={"criteria": self.enabled_criteria})
        return without_refusal_to_doubt(kept.model_dump(mode="json"))

    def warnings(self) -> tuple[str, ...]:
        """What an instructor should know before grading: points nobody can reach, rules that cannot both hold."""
        return (*_unreachable_points(self), *_contradicting_levels(self))

    @model_validator(mode="after")
    def _is_consistent(self) -> Rubric:
        if not self.enabled_criteria:
            raise ValueError("every criterion is disabled; enable one")
        refuse_doubles([criterion.criterion_id for criterion in self.criteria], what="criterion_id")
        refuse_overlaps(self.overall_bands or (), top=self.max_points, what="overall band")
        return self


def rubric_entries(path: Path) -> dict[str, object]:
    """What a file holds under each rubric's key, unchecked. `InvalidInput` for a file that holds no rubrics."""
    if path.suffix.casefold() == ".csv":
        return rubrics_of_table(path)
    document = read_document(path)
    if not isinstance(document, dict) or not document:
        raise InvalidInput(
            "holds no rubrics; it should be a JSON object with one rubric under each id", where=path.name
        )
    if "criteria" in document:
        return {str(document.get("rubric_id", "rubric")): document}
    return document


def select_rubric(path: Path, rubric_id: str | None = None) -> Rubric:
    """The rubric with this key or `rubric_id`, or the only one of the file. Others in the file are not judged."""
    entries = rubric_entries(path)
    key = _selected_key(entries, rubric_id, path)
    return entry_from_file(entries[key], where=f"{path.name} {key}")


def entry_from_file(entry: object, *, where: str) -> Rubric:
    """A rubric as a person wrote it: unless it says otherwise, the model may say what cannot be judged."""
    rubric = parse_rubric(entry, where=where)
    return rubric if "cannot_assess" in rubric.model_fields_set else rubric.model_copy(update={"cannot_assess": True})


def rubric_from_option(option: str) -> Rubric:
    """The rubric that `FILE` or `FILE#rubric_id` names."""
    path, selector = split_option(option)
    return select_rubric(path, selector)


def parse_rubric(entry: object, *, where: str = "rubric") -> Rubric:
    """A rubric from its JSON form, such as a stored context."""
    return parse_document(Rubric, entry, where=where)


def refuse_overlaps(ranges: Sequence[ScoreRange], *, top: float, what: str) -> None:
    """`ValueError` for a label that appears twice, a range above `top`, or two that share more than one score."""
    refuse_doubles([each.label for each in ranges], what=what)
    above = next((each for each in ranges if each.score_max > top), None)
    if above is not None:
        raise ValueError(f"{what} {above.label!r} reaches {above.score_max:g}, but {top:g} points are the most")
    ordered = sorted(ranges, key=lambda each: (each.score_min, each.score_max))
    for lower, upper in pairwise(ordered):
        if lower.score_max > upper.score_min:
            raise ValueError(f"{what} {lower.label!r} and {upper.label!r} overlap; let one end where the other begins")


def _selected_key(entries: Mapping[str, object], rubric_id: str | None, path: Path) -> str:
    if rubric_id is None:
        found = list(entries)
        problem = f"holds {len(entries)} rubrics; choose one with {path.name}#ID"
    elif rubric_id in entries:
        return rubric_id
    else:
        found = [
            key for key, entry in entries.items() if isinstance(entry, dict) and entry.get("rubric_id") == rubric_id
        ]
        problem = f"has {'several rubrics' if found else 'no rubric'} {rubric_id!r}"
    if len(found) != 1:
        raise InvalidInput(f"{problem}; its rubrics are: {', '.join(sorted(entries))}", where=path.name)
    return found[0]


def _unreachable_points(rubric: Rubric) -> list[str]:
    best = exact_sum(_best_points(criterion) for criterion in rubric.enabled_criteria)
    if best >= rubric.max_points:
        return []
    said = (
        f"the best levels give {best:g} of {rubric.max_points:g} points: points_strategy 'min' (the default) and 'mid' "
        "take less than a level's score_max; set it to 'max', or choose --points highest, if that is not meant"
    )
    return [said]


def _best_points(criterion: Criterion) -> float:
    if criterion.counts_errors:
        return criterion.max_points
    return max(criterion.points_for_level(level.label) for level in criterion.levels or ())


def _contradicting_levels(rubric: Rubric) -> list[str]:
    return [
        f"level {level.label!r} of {criterion.criterion_id!r} is {level.score_min:g} to {level.score_max:g} points, "
        f"but error_rules give {points:g} for {stated[0]}; error_rules decide"
        for criterion in rubric.enabled_criteria
        if criterion.counts_errors
        for level in criterion.levels or ()
        for stated in _STATED_ERRORS.finditer(level.label)
        for points in [_points_of_statement(criterion, stated)]
        if points > level.score_max or (points < level.score_min and not stated["more"])
    ]


def _points_of_statement(criterion: Criterion, stated: re.Match[str]) -> float:
    count = int(stated["count"])
    is_major = stated["severity"].casefold() == "major"
    return criterion.points_for_errors(major=count if is_major else 0, minor=0 if is_major else count)
