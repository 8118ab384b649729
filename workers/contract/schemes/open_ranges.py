"""Which points of a level's range count, where the rubric does not say: the lowest, the middle, the highest.

Part of the contract: stdlib and pydantic only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.contract.schemes.rubric import Criterion, Rubric

LevelPoints = Literal["lowest", "middle", "highest"]
LEVEL_POINTS: tuple[LevelPoints, ...] = get_args(LevelPoints)
STRATEGIES: Mapping[str, Literal["min", "mid", "max"]] = {"lowest": "min", "middle": "mid", "highest": "max"}
"""As people say it -> `points_strategy` of a criterion."""


def leaves_points_open(rubric: Rubric) -> bool:
    """Whether a level of an enabled criterion has a range of points and the rubric does not say which of them count."""
    return any(_is_open(criterion) for criterion in rubric.enabled_criteria)


def with_level_points(rubric: Rubric, points: LevelPoints) -> Rubric:
    """The rubric with this answer wherever it left the question open; what it says itself stays."""
    strategy = STRATEGIES[points]
    criteria = [
        criterion.model_copy(update={"points_strategy": strategy}) if _is_open(criterion) else criterion
        for criterion in rubric.criteria
    ]
    return rubric.model_copy(update={"criteria": criteria})


def _is_open(criterion: Criterion) -> bool:
    if criterion.counts_errors or "points_strategy" in criterion.model_fields_set:
        return False
    return any(level.score_min < level.score_max for level in criterion.levels or ())
