"""A person's correction of one result: fields are changed, everything that code computes is computed again. Pure.

Points by hand, for a criterion between two levels, replace what its level gives; total and band follow from them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from workers.contract.errors import InvalidInput
from workers.contract.headline import DEDUCTIONS, POINTS_BY_HAND, TOTALS
from workers.contract.schemas.rubric_assessment import RubricAssessmentResult
from workers.contract.schemes.document import exact_sum
from workers.contract.validation_words import first_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from workers.contract.schemes.rubric import Rubric

_NOT_ASSESSED = "cannot_assess"
_VERDICTS = ("level", "errors", _NOT_ASSESSED)
"""Fields of a criterion that decide its points."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What to change. A path names a field from the outside in: `criteria.style.level`."""

    fields: Mapping[str, str] = field(default_factory=dict)
    """Path -> the new value: text as it is, whatever else as JSON."""
    points: Mapping[str, float] = field(default_factory=dict)
    """criterion_id -> points; only for results by a rubric."""
    total: float | None = None
    """The points of the whole; where nobody computes them, or of a grade by hand."""

    @property
    def is_empty(self) -> bool:
        """True when it would change nothing."""
        return not self.fields and not self.points and self.total is None

    def with_total(self, model: type[BaseModel]) -> Mapping[str, str]:
        """The fields, the total among them under its own name; `InvalidInput` where this result has none in points."""
        if self.total is None:
            return self.fields
        name = total_of(model)
        if name is None:
            raise InvalidInput("this kind of result has no total; change its fields with --set")
        if name in DEDUCTIONS:
            raise InvalidInput(f"these results say what is deducted: --set {name}={self.total:g}, if that is meant")
        return {**self.fields, name: json.dumps(float(self.total))}


def total_of(model: type[BaseModel]) -> str | None:
    """The field that summarises results of this model, whether it is said or computed; None without one."""
    return next((name for name in TOTALS if name in {*model.model_fields, *model.model_computed_fields}), None)


def corrected(result: object, model: type[BaseModel], correction: Correction) -> object:
    """The result after the correction, validated and recomputed; raises `InvalidInput` that names what does not fit."""
    if not isinstance(result, dict):
        raise InvalidInput("this result has no fields that could be changed")
    earlier = {key: value for key, value in result.get(POINTS_BY_HAND, {}).items() if not _assesses(correction, key)}
    by_hand = {**earlier, **correction.points}
    changed = json.loads(json.dumps({name: value for name, value in result.items() if name != POINTS_BY_HAND}))
    fields = correction.with_total(model)
    for path, text in fields.items():
        _set(changed, path, text)
    result_now = recomputed(changed, model)
    for path, text in fields.items():
        _refuse_computed(result_now, changed, path, text)
    return _with_points(result_now, model, by_hand) if by_hand else result_now


def _assesses(correction: Correction, criterion_id: str) -> bool:
    """Whether it changes what the criterion's points follow from: then earlier points by hand are void."""
    place = f"criteria.{criterion_id}"
    verdicts = {place, *(f"{place}.{name}" for name in _VERDICTS)}
    return any(path in verdicts or path.startswith(f"{place}.errors.") for path in correction.fields)


def recomputed(changed: object, model: type[BaseModel]) -> dict[str, Any]:
    """What the model makes of these fields, everything computed among it; `InvalidInput` names what does not fit."""
    try:
        parsed = model.model_validate_json(json.dumps(changed))
    except ValidationError as error:
        where, sentence = first_fault(error)
        raise InvalidInput(f"{where or 'the result'}: {sentence}") from None
    dumped: dict[str, Any] = parsed.model_dump(mode="json")
    return dumped


def _set(changed: dict[str, Any], path: str, text: str) -> None:
    _turn_verdict(changed, path)
    holder, key = _place(changed, path)
    present = holder[key]
    if isinstance(present, str):
        holder[key] = text
        return
    try:
        holder[key] = json.loads(text)
    except json.JSONDecodeError:
        if present is not None:
            raise InvalidInput(f"{path} is {json.dumps(present)}; {text!r} is no value of that kind") from None
        holder[key] = text


def _turn_verdict(changed: dict[str, Any], path: str) -> None:
    """Make room for a level (or errors) where the model could not assess, and the other way round."""
    head, _dot, verdict = path.rpartition(".")
    if verdict not in _VERDICTS or not head.startswith("criteria."):
        return
    criteria = changed.get("criteria")
    said = criteria.get(head.removeprefix("criteria.")) if isinstance(criteria, dict) else None
    if not isinstance(said, dict) or verdict in said:
        return
    if verdict == _NOT_ASSESSED:
        kept: dict[str, Any] = {_NOT_ASSESSED: ""}
    elif _NOT_ASSESSED in said:
        kept = {"evidence": "", "feedback": "", verdict: [] if verdict == "errors" else ""}
    else:
        return
    said.clear()
    said.update(kept)


def _place(result: dict[str, Any], path: str) -> tuple[Any, Any]:
    """The object or list that holds the field, and the field's key in it."""
    holder: Any = result
    rest = path
    while True:
        key, rest = _next_step(holder, rest, path)
        if not rest:
            return holder, key
        holder = holder[key]


def _next_step(holder: object, rest: str, path: str) -> tuple[str | int, str]:
    if isinstance(holder, list):
        step, _dot, after = rest.partition(".")
        if step.isdecimal() and int(step) < len(holder):
            return int(step), after
    if isinstance(holder, dict):
        # ids of criteria may hold dots themselves: the longest key that fits is meant
        for key in sorted(map(str, holder), key=len, reverse=True):
            if rest == key or rest.startswith(f"{key}."):
                return key, rest[len(key) + 1 :]
        raise InvalidInput(f"the result has no field {path!r}; here it has {', '.join(map(str, holder))}")
    raise InvalidInput(f"the result has no field {path!r}")


def _refuse_computed(result_now: dict[str, Any], changed: dict[str, Any], path: str, text: str) -> None:
    """A computed field takes no value: saying so beats changing nothing without a word."""
    try:
        holder, key = _place(result_now, path)
    except InvalidInput:
        return
    wanted_holder, wanted_key = _place(changed, path)
    if holder[key] != wanted_holder[wanted_key]:
        raise InvalidInput(
            f"{path} is computed from other fields, so it cannot be set to {text}; change what it follows from, "
            "or set a criterion's points with --points CRITERION=NUMBER"
        )


def _with_points(result: dict[str, Any], model: type[BaseModel], by_hand: Mapping[str, float]) -> dict[str, Any]:
    if not issubclass(model, RubricAssessmentResult):
        raise InvalidInput("points by criterion can be set in results by a rubric alone; change fields with --set")
    criteria = result["criteria"]
    for criterion_id, points in by_hand.items():
        if criterion_id not in criteria:
            raise InvalidInput(f"the rubric has no criterion {criterion_id!r}; it has {', '.join(criteria)}")
        highest = criteria[criterion_id]["max_points"]
        if not 0 <= points <= highest:
            raise InvalidInput(f"{criterion_id} takes 0 to {highest:g} points, not {points:g}")
        criteria[criterion_id]["points"] = points
    rubric: Rubric = model.rubric
    given = [each["points"] for each in criteria.values()]
    total = None if None in given else exact_sum(given)  # as the rubric's own: a criterion may not be assessed yet
    result["total_points"] = total
    result["band"] = None if total is None else rubric.band_for(total)
    if "not_assessed" in result:
        result["assessed_points"] = exact_sum(points for points in given if points is not None)
        result["not_assessed"] = [name for name, each in criteria.items() if each["points"] is None]
    result[POINTS_BY_HAND] = dict(by_hand)
    return result
