"""A grade that a person gives where the model gave none: the total alone, every criterion, or every field. Pure.

Such a result says so under `graded_by_hand`, and holds what its person said and what code computes from that, nothing
in the model's name: no evidence, no level that nobody chose.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from pydantic import create_model

from producer.review.corrections import recomputed, total_of
from workers.contract.errors import InvalidInput
from workers.contract.headline import GRADED_BY_HAND
from workers.contract.schemas.rubric_assessment import RubricAssessmentResult
from workers.contract.schemes.document import exact_sum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from producer.review.corrections import Correction
    from workers.contract.schemes.rubric import Criterion, Rubric

_OVERALL = "overall_feedback"
_OF_A_CRITERION = ("level", "feedback")


def is_by_hand(result: object) -> bool:
    """Whether a person gave this grade from nothing, not by correcting the model's."""
    return isinstance(result, dict) and GRADED_BY_HAND in result


def graded_by_hand(base: object, model: type[BaseModel], given: Correction) -> dict[str, Any]:
    """The grade, from nothing or from an earlier one by hand. `InvalidInput` names what is missing or wrong.

    By a rubric: every criterion with its level or points, or the total alone. Of other results: the total with what
    else was given, or every field.
    """
    earlier: Mapping[str, Any] = base if isinstance(base, dict) and is_by_hand(base) else {}
    if issubclass(model, RubricAssessmentResult):
        return _by_rubric(earlier, model.rubric, given)
    return _by_fields(earlier, model, given)


def _by_rubric(earlier: Mapping[str, Any], rubric: Rubric, given: Correction) -> dict[str, Any]:
    fields = dict(given.fields)
    overall = fields.pop(_OVERALL, earlier.get(_OVERALL, ""))
    stated = fields.pop("total_points", None)
    total = given.total if stated is None else _number(stated, "total_points")
    if total is not None and (fields or given.points):
        raise InvalidInput("give the total, or the criteria; the total of criteria is computed")
    if total is None and not (fields or given.points) and earlier.get(GRADED_BY_HAND) == "total":
        total = earlier["total_points"]
    criteria = {} if total is not None else _criteria(earlier.get("criteria") or {}, rubric, fields, given.points)
    if total is None:
        total = exact_sum(each["points"] for each in criteria.values())
    _refuse_outside(total, rubric.max_points, "the total")
    return {
        GRADED_BY_HAND: "criteria" if criteria else "total",
        **({"criteria": criteria} if criteria else {}),
        _OVERALL: overall,
        "total_points": float(total),
        "max_points": rubric.max_points,
        "band": rubric.band_for(total),
    }


def _criteria(
    earlier: Mapping[str, Any], rubric: Rubric, fields: Mapping[str, str], points: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    known = {each.criterion_id: each for each in rubric.enabled_criteria}
    said: dict[str, dict[str, Any]] = {name: dict(earlier.get(name, {})) for name in known}
    for path, text in fields.items():
        name, _dot, field = path.removeprefix("criteria.").rpartition(".")
        if not path.startswith("criteria.") or name not in known or field not in _OF_A_CRITERION:
            ways = [f"criteria.{each}.level" for each in known]
            raise InvalidInput(f"a grade by hand has no field {path!r}; set {', '.join([*ways, _OVERALL])}")
        said[name][field] = text
        if field == "level":
            said[name]["points"] = _points_for_level(known[name], text)
    for name, number in points.items():
        if name not in known:
            raise InvalidInput(f"the rubric has no criterion {name!r}; it has {', '.join(known)}")
        _refuse_outside(number, known[name].max_points, name)
        said[name]["points"] = float(number)
    if missing := [name for name in known if "points" not in said[name]]:
        raise InvalidInput(
            f"a grade by hand needs every criterion, and has none for {', '.join(missing)}; or give the total alone"
        )
    return {name: {"level": None, "feedback": "", **said[name], "max_points": known[name].max_points} for name in known}


def _points_for_level(criterion: Criterion, label: str) -> float:
    labels = [level.label for level in criterion.levels or ()]
    if label not in labels:
        has = f"its levels are {', '.join(labels)}" if labels else "it has no levels; give its points"
        raise InvalidInput(f"{criterion.criterion_id} has no level {label!r}; {has}")
    return criterion.points_for_level(label)


def _by_fields(earlier: Mapping[str, Any], model: type[BaseModel], given: Correction) -> dict[str, Any]:
    if given.points:
        raise InvalidInput("points by criterion can be set in results by a rubric alone; give the total")
    total = total_of(model)
    fields = given.with_total(model)
    unknown = [name for name in fields if name not in model.model_fields and name != total]
    if unknown:
        known = dict.fromkeys([*([total] if total else []), *model.model_fields])
        raise InvalidInput(f"the result has no field {unknown[0]!r}; it has {', '.join(known)}")
    own = {name: value for name, value in earlier.items() if name in model.model_fields}
    own |= {name: _value(text, model, name) for name, text in fields.items() if name in model.model_fields}
    is_stated = total is not None and (total in fields or earlier.get(GRADED_BY_HAND) == "total")
    if not is_stated or total is None:
        return {GRADED_BY_HAND: "fields", **recomputed(own, model)}
    kinds: dict[str, Any] = {name: (model.model_fields[name].annotation, model.model_fields[name]) for name in own}
    found = recomputed(own, create_model("GivenFields", **kinds))  # each field by itself: the others were not given
    if total not in model.model_fields:
        found[total] = _number(fields[total], total) if total in fields else earlier[total]
        _refuse_outside(found[total], None, total)
    return {GRADED_BY_HAND: "total", **found}


def _value(text: str, model: type[BaseModel], name: str) -> object:
    if model.model_fields[name].annotation is str:
        return text
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError:
        return text  # the model says what is wrong with it
    return value


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{name} is a number, not {text!r}") from None


def _refuse_outside(points: float, highest: float | None, what: str) -> None:
    if not math.isfinite(points) or points < 0 or (highest is not None and points > highest):
        reach = "0 or more" if highest is None else f"0 to {highest:g}"
        raise InvalidInput(f"{what} takes {reach} points, not {points:g}")
