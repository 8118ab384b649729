"""The number that summarises a result. Part of the contract: standard library only."""

from __future__ import annotations

import math

TOTALS = ("total_points", "total_deduction", "score", "points", "grade")
"""Fields that summarise a result; the first that exists is used."""


def headline(result: object) -> float | None:
    """A result's total, its deduction or its score; None when it has none that is a finite number."""
    if not isinstance(result, dict):
        return None
    for name in TOTALS:
        if isinstance(value := result.get(name), int | float) and not isinstance(value, bool):
            return float(value) if math.isfinite(value) else None
    return None
