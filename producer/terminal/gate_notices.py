"""Why a batch waits for a decision, and the command that resumes it: for `status`, `run` and the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.inputs.interval import interval_of_rest
from producer.terminal.notices import pause_notices
from producer.terminal.words import command, cost
from workers.settings import STANDIN_PROVIDER
from workers.store.gates import ClosedBy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.store.day_caps import DayGate
    from workers.store.gates import BatchGate
    from workers.store.pauses import BatchPauses
    from workers.store.progress import Counts

MARGIN = 1.1
"""Of a suggested cap over what the rest is likely to cost."""


def closed_notice(
    gate: BatchGate, progress: Counts, days: Iterable[DayGate] = (), paused: BatchPauses | None = None
) -> str | None:
    """One paragraph when nothing more of the batch starts: the reason, and what resumes it; None otherwise."""
    if paused is not None and paused.pauses and paused.is_whole:
        return "; ".join(pause_notices(paused))
    if gate.closed_by is not None:
        return f"{gate.batch} waits: {gate.message}. {_way_on(gate, progress)}"
    for day in days:
        if day.provider == progress.provider and day.closed_at is not None:
            return day_notice(day)
    if gate.pilot is not None and gate.pilot.is_over and progress.waiting:
        return (
            f"The pilot of {gate.pilot.jobs} jobs is over; {progress.waiting} jobs wait. Grade them with the same "
            f"command and --go, or with: {command('resume', gate.batch)}"
        )
    return None


def day_notice(day: DayGate) -> str:
    """Why nothing more of a provider's jobs starts today."""
    return (
        f"{day.provider} waits: for {day.day}, {day.message}. Its jobs continue by themselves at 00:00 UTC, or with a "
        "higher GRADEQUEUE_MAX_USD_PER_DAY: run the same command again, or restart the workers"
    )


def day_line(day: DayGate) -> str:
    """What is spent of a provider's cap today."""
    return f"{day.provider}, {day.day} (UTC): {_spent(day.held_usd, day.max_usd)}"


@dataclass(frozen=True, slots=True)
class Costs:
    """What finished jobs of a batch have cost, US dollars each, and how many more will be sent."""

    usd: tuple[float, ...]
    to_send: int


def price_of_rest(costs: Costs, provider: str, *, noun: str = "job") -> str:
    """The likely cost of the jobs still to send, from the cost of the finished ones; `noun` is what they are called."""
    is_one = costs.to_send == 1
    rest = f"The last {noun}" if is_one else f"The other {costs.to_send:,} {noun}s"
    if provider == STANDIN_PROVIDER:
        return f"{rest} {'costs' if is_one else 'cost'} nothing: the stand-in grades {'it' if is_one else 'them'}."
    if not costs.usd:
        return f"{rest}: the cost is not known, because the model has no price here or no {noun} has ended."
    interval = interval_of_rest(costs.usd, costs.to_send)
    span = f"{cost(interval.low)} to {cost(interval.high)}"
    return (
        f"{rest} {'is' if is_one else 'are'} likely to cost {cost(interval.likely)} ({span}), judged by "
        f"{len(costs.usd)} finished ones."
    )


def cap_line(gate: BatchGate) -> str | None:
    """What is spent of a cap; None without one."""
    return None if gate.max_usd is None else _spent(gate.held_usd, gate.max_usd)


def _spent(held_usd: float, max_usd: float) -> str:
    return f"{cost(held_usd)} of {cost(max_usd)} spent"


def _way_on(gate: BatchGate, progress: Counts) -> str:
    resume, failures, retry = (command(name, gate.batch) for name in ("resume", "failures", "retry"))
    match gate.closed_by:
        case ClosedBy.SPEND_CAP:
            next_usd = _next_cap(gate, progress)
            with_cap = command("resume", gate.batch, options=["--max-cost", f"{next_usd:.2f}"])
            return f"No job failed because of it. Resume with: {with_cap}"
        case ClosedBy.NO_PRICE:
            return (
                "A spend cap needs prices: give them in the file that GRADEQUEUE_MODEL_PROFILES names, start the "
                f"workers, then: {resume}"
            )
        case _:
            return (
                f"See: {failures}. Once the cause is fixed: {retry}, and run the same command again. To send the rest "
                f"all the same: {resume}"
            )


def _next_cap(gate: BatchGate, progress: Counts) -> float:
    """What all jobs are likely to cost, judged by those that have ended; in whole cents."""
    mean_usd = gate.held_usd / progress.finished if progress.finished else 0.0
    return math.ceil(max(mean_usd * progress.total * MARGIN, (gate.max_usd or 0.0) * MARGIN) * 100) / 100
