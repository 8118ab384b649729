"""What to read first: every reason to doubt a grade, weighed. Pure; the one definition, for commands and the page.

The weights put what a student could appeal against above what is merely unusual; they order a list and decide nothing.
The store puts a batch in the order of `doubts_of` (`workers.store.student_order`); `reasons_of` says why in words. A
test compares the two. A second grading of the same work is known to who names one: `apart` is added to the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.contract.flag import FlagKind
from workers.contract.headline import headline
from workers.store.student_choice import Border, Doubts, Reason, Sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from producer.review.review import ReviewItem
    from workers.contract.outcome import FailureKind
    from workers.store.work_comparisons import Outlier

FLAG_WEIGHT: Mapping[FlagKind, float] = {
    FlagKind.INJECTION_SUSPECTED: 5,
    FlagKind.OFF_TASK: 5,
    FlagKind.CANNOT_ASSESS: 4,
    FlagKind.EVIDENCE_NOT_FOUND: 3,
    FlagKind.PARTS_MISSING: 3,
    FlagKind.IDENTITY_IN_PROMPT: 1,
}
FAILED_WEIGHT = 6.0
"""No grade at all: a person has to give one."""
STALE_WEIGHT = 6.0
EDGE_WEIGHT = 2.0
EDGE_SHARE = 0.02
"""Of the rubric's maximum: so close to a band's border one level more or less changes the band."""
DISAGREEMENT_WEIGHT = 4.0
"""When two gradings, or the gradings of nearly the same work, differ by the whole scale; less in proportion."""
REPAIR_WEIGHT = 1.5
"""The model's first answer was invalid, and it was asked to correct it."""
_MOST_BORDERS = 10_000
"""Of all rubrics of a batch: as many as one statement takes."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What is known of one grade."""

    points: float | None
    failure_kind: FailureKind | None = None
    """Why nobody has graded it: None when the model or a person has."""
    is_stale: bool = False
    flags: Iterable[FlagKind] = ()
    is_repaired: bool = False
    borders: Sequence[Border] = ()
    """Of the rubric that it was graded by."""
    outlier: Outlier | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """One item with the reasons to read it, the strongest first."""

    item: ReviewItem
    reasons: tuple[str, ...]
    weight: float


def doubts_of(rubrics: Mapping[str, Mapping[str, Any]]) -> Doubts:
    """The weights, with the borders of these rubrics, which are given by their hashes."""
    borders: dict[str, tuple[Border, ...]] = {}
    left = _MOST_BORDERS
    for name, rubric in rubrics.items():
        if (found := _borders(rubric)) and (left := left - len(found)) >= 0:
            borders[name] = found
    return Doubts(
        failed=FAILED_WEIGHT,
        stale=STALE_WEIGHT,
        edge=EDGE_WEIGHT,
        repaired=REPAIR_WEIGHT,
        outlier=DISAGREEMENT_WEIGHT,
        flag=FLAG_WEIGHT,
        borders=borders,
    )


def reasons_of(signs: Signs, *, more: Iterable[Reason] = ()) -> tuple[Reason, ...]:
    """Why to read this grade, the strongest reason first."""
    found = list(more)
    if signs.failure_kind is not None:
        found.append(Reason(Sign.FAILED, FAILED_WEIGHT, f"failed: {signs.failure_kind}"))
    if signs.is_stale:
        found.append(Reason(Sign.STALE, STALE_WEIGHT, "graded again since the decision"))
    counts: dict[FlagKind, int] = {}
    for kind in signs.flags:
        counts[kind] = counts.get(kind, 0) + 1
    for kind, count in counts.items():
        found.append(Reason(Sign.FLAG, FLAG_WEIGHT[kind], f"{kind} ({count})" if count > 1 else str(kind)))
    if signs.is_repaired:
        found.append(Reason(Sign.REPAIRED, REPAIR_WEIGHT, "its first answer was invalid and was repaired"))
    near = signs.points is not None and next((each for each in signs.borders if each.is_near(signs.points)), None)
    if near:
        found.append(Reason(Sign.BORDER, EDGE_WEIGHT, f"close to the border at {near.start:g} points"))
    if (outlier := signs.outlier) is not None:
        text = f"{outlier.neighbours} works nearly the same have about {outlier.expected:g}"
        found.append(Reason(Sign.NEIGHBOURS, DISAGREEMENT_WEIGHT * outlier.share, text))
    return tuple(sorted(found, key=lambda reason: -reason.weight))


def apart(result: object, other: float) -> Reason | None:
    """What a second grading of the same work says, where that is something else."""
    here = headline(result)
    if here is None or here == other:
        return None
    scale: Any = result.get("max_points") if isinstance(result, dict) else None
    share = min(1.0, abs(here - other) / scale) if isinstance(scale, int | float) and scale else 0.5
    return Reason(Sign.OTHER_GRADING, DISAGREEMENT_WEIGHT * share, f"the other grading says {other:g}")


def most_points_of(context: Mapping[str, Any]) -> float | None:
    """The rubric's maximum; None where there is no rubric."""
    criteria = [each for each in context.get("criteria") or () if each.get("enabled", True)]
    return sum(float(each["max_points"]) for each in criteria) if criteria else None


def _borders(rubric: Mapping[str, Any]) -> tuple[Border, ...]:
    """Where each band but the lowest begins."""
    near = EDGE_SHARE * (most_points_of(rubric) or 0.0) + _ROUNDING
    starts = sorted(float(band["score_min"]) for band in rubric.get("overall_bands") or ())[1:]
    return tuple(Border(start, start - near, start + near) for start in starts)
