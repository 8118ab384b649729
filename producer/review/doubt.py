"""What to read first: every reason to doubt a grade, weighed, so that the most doubtful comes first. Pure.

The weights put what a student could appeal against above what is merely unusual; they order a list and decide nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workers.contract.flag import FlagKind
from workers.contract.headline import headline

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from producer.review.neighbours import Outlier
    from producer.review.review import ReviewItem

__all__ = ["Doubt", "by_doubt", "headline"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What is known beside the items themselves."""

    others: Mapping[str, object] = field(default_factory=dict)
    """Id -> result of a second grading of the same work."""
    band_starts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """The least points of each band but the lowest, by the hash of the rubric that an item was graded by."""
    repaired: Collection[str] = ()
    """Ids of items whose first answer was invalid."""
    outliers: Mapping[str, Outlier] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doubt:
    """One item with the reasons to read it, the strongest first."""

    item: ReviewItem
    reasons: tuple[str, ...]
    weight: float


def by_doubt(items: Iterable[ReviewItem], signs: Signs | None = None) -> list[Doubt]:
    """The items, most doubtful first, in input order where the doubt is equal."""
    known = signs or Signs()
    return sorted((_doubt(item, known) for item in items), key=lambda doubt: -doubt.weight)


def _doubt(item: ReviewItem, signs: Signs) -> Doubt:
    reasons: list[tuple[float, str]] = []
    if item.row.failure_kind is not None and item.official.result is None:
        reasons.append((FAILED_WEIGHT, f"failed: {item.row.failure_kind}"))
    if item.is_stale:
        reasons.append((STALE_WEIGHT, "graded again since the decision"))
    counts: dict[FlagKind, int] = defaultdict(int)
    for flag in item.row.flags:
        counts[flag.kind] += 1
    reasons += [(FLAG_WEIGHT[kind], f"{kind} ({count})" if count > 1 else str(kind)) for kind, count in counts.items()]
    if item.row.id in signs.repaired:
        reasons.append((REPAIR_WEIGHT, "its first answer was invalid and was repaired"))
    if (edge := _near_edge(item.row.result, signs.band_starts.get(item.row.context_hash or "", ()))) is not None:
        reasons.append((EDGE_WEIGHT, f"close to the border at {edge:g} points"))
    if (outlier := signs.outliers.get(item.row.id)) is not None:
        text = f"{outlier.neighbours} works nearly the same have about {outlier.expected:g}"
        reasons.append((DISAGREEMENT_WEIGHT * outlier.share, text))
    other = signs.others.get(item.row.id)
    if other is not None and (apart := _apart(item.row.result, other)):
        reasons.append(apart)
    reasons.sort(key=lambda reason: -reason[0])
    return Doubt(item, tuple(text for _weight, text in reasons), sum(weight for weight, _text in reasons))


def _near_edge(result: object, band_starts: Sequence[float]) -> float | None:
    points = headline(result)
    highest = result.get("max_points") if isinstance(result, dict) else None
    if points is None or not isinstance(highest, int | float):
        return None
    return next((start for start in band_starts if abs(points - start) <= EDGE_SHARE * highest), None)


def _apart(result: object, other: object) -> tuple[float, str] | None:
    here, there = headline(result), headline(other)
    if here is None or there is None or here == there:
        return None
    scale: Any = result.get("max_points") if isinstance(result, dict) else None
    share = min(1.0, abs(here - there) / scale) if isinstance(scale, int | float) and scale else 0.5
    return DISAGREEMENT_WEIGHT * share, f"the other grading says {there:g}"
