"""The number that summarises a result. Part of the contract: standard library only."""

from __future__ import annotations

import math

TOTALS = ("total_points", "total_deduction", "score", "points", "grade")
"""Fields that summarise a result; the first that exists is used."""
DEDUCTIONS = frozenset({"total_deduction"})
"""Of these, the ones that say what is taken away: from how much, they do not say."""
POINTS_BY_HAND = "points_by_hand"
"""Beside computed points: the criteria whose points a person set, and to what."""
GRADED_BY_HAND = "graded_by_hand"
"""In a grade that a person gave from nothing: what was given, `total`, `criteria` or `fields`."""


def headline(result: object) -> float | None:
    """A result's total, its deduction or its score; None when it has none that is a finite number."""
    if not isinstance(result, dict):
        return None
    for name in TOTALS:
        if isinstance(value := result.get(name), int | float) and not isinstance(value, bool):
            return float(value) if math.isfinite(value) else None
    return None
