"""What a drain made of a quota, from the seconds that the provider counted. Pure.

Utilisation is the charge that the provider admitted between 10% and 90% of the drain, over what its limit allows in
that time; so neither the full bucket of the beginning nor the last jobs' idle end count. Where limits moved, each
second is held against what was available in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS_PER_MINUTE = 60.0
SMOOTHING_SECONDS = 3
"""A second holds few requests: recovery is read from the mean of so many."""
RECOVERED_SHARE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """What one contender did."""

    contender: str
    jobs: int
    answered: int
    lost: int
    refused: int
    seconds: float
    """From the first admitted call to the last."""
    ideal_seconds: float
    utilisation: float | None
    """None when the drain was too short to say."""
    recovery_seconds: tuple[float | None, ...]
    """After each change of what was available; None where it never came back."""
    served: tuple[float, ...]
    """Charge admitted in each second, in units of the limit that binds."""
    available: tuple[float, ...]
    refused_by_second: tuple[int, ...]

    @property
    def refused_per_thousand(self) -> float:
        """Answers of 429 per 1,000 jobs."""
        return 1000 * self.refused / self.jobs


def measure(
    contender: str,
    stats: dict[str, Any],
    *,
    jobs: int,
    unit: str,
    slice_seconds: float,
    available: Callable[[float], float],
    changes: Sequence[float],
) -> Drain:
    """Read a stand-in's statistics. `available(second)` is a minute's limit then; `changes` are seconds."""
    by_second: dict[int, float] = {}
    for account in stats["accounts"]:
        for second, charged in account["by_second"].items():
            by_second[int(second)] = by_second.get(int(second), 0) + charged[unit]
    first, last = (min(by_second), max(by_second)) if by_second else (0, 0)
    served = tuple(float(by_second.get(second, 0)) for second in range(first, last + 1))
    per_second = tuple(available(second + 0.5) / SECONDS_PER_MINUTE for second in range(first, last + 1))
    total = sum(served)
    bucket = available(first) * slice_seconds / SECONDS_PER_MINUTE
    return Drain(
        contender=contender,
        jobs=jobs,
        answered=stats["answered"],
        lost=max(0, jobs - stats["answered"]),
        refused=stats["refused_total"],
        seconds=_seconds_between_ends(stats["accounts"]),
        ideal_seconds=_ideal_seconds(total - bucket, per_second),
        utilisation=_utilisation(served, per_second),
        recovery_seconds=tuple(_recovery(served, per_second, change - first) for change in changes if change < last),
        served=served,
        available=per_second,
        refused_by_second=tuple(stats["refused_by_second"].get(str(second), 0) for second in range(first, last + 1)),
    )


def _seconds_between_ends(accounts: Sequence[dict[str, Any]]) -> float:
    first = min((account["first_admitted_seconds"] for account in accounts), default=0.0)
    last = max((account["last_admitted_seconds"] for account in accounts), default=0.0)
    return round(last - first, 3)


def _utilisation(served: Sequence[float], available: Sequence[float]) -> float | None:
    total, passed, inside = sum(served), 0.0, []
    for second, charge in enumerate(served):
        if passed >= 0.1 * total and passed + charge <= 0.9 * total:
            inside.append(second)
        passed += charge
    if len(inside) < SMOOTHING_SECONDS:
        return None
    return sum(served[second] for second in inside) / sum(available[second] for second in inside)


def _ideal_seconds(charge: float, available: Sequence[float]) -> float:
    """How long this much takes at what was available; the last value goes on."""
    if not available:
        return 0.0
    seconds = 0.0
    while charge > 0:
        each = available[min(int(seconds), len(available) - 1)]
        seconds += 1 if charge >= each else charge / each
        charge -= each
    return max(seconds, 1.0)


def _recovery(served: Sequence[float], available: Sequence[float], change: float) -> float | None:
    """Seconds from a change until the mean of the next few seconds reaches what is available."""
    for second in range(int(change), len(served) - SMOOTHING_SECONDS):
        window = slice(second, second + SMOOTHING_SECONDS)
        if sum(served[window]) >= RECOVERED_SHARE * sum(available[window]):
            return max(0.0, second - change)
    return None
