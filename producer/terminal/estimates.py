"""Estimates side by side, a column for each model, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from producer.terminal.words import cost
from workers.contract.lane import Lane
from workers.contract.model_profile import OPENAI_HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from producer.inputs.estimate import Estimate
    from producer.inputs.interval import Interval


def estimates_table(estimates: Sequence[Estimate]) -> Table:
    """One column per model and schema, one row per measure."""
    table = Table(title="estimate", title_justify="left")
    table.add_column("")
    for each in estimates:
        table.add_column(f"{each.model}\n{each.schema}", overflow="fold")
    for name, shown in _ROWS:
        table.add_row(name, *map(shown, estimates))
    return table


def cost_interval(estimate: Estimate) -> str:
    """What the batch will cost, as one phrase."""
    found = estimate.cost_usd
    if found is None:
        return f"unknown: no price of {estimate.model} is known (prices are known for {OPENAI_HOST} only)"
    if estimate.is_first_run:
        return f"{cost(found.low)} to {cost(found.high)}"
    return f"{cost(found.likely)} ({cost(found.low)} to {cost(found.high)})"


def cost_in_lanes(estimate: Estimate) -> str:
    """What it costs where it may wait, a line for each lane."""
    found = {lane: estimate.in_lane(lane) for lane in reversed(Lane) if lane is not Lane.LIVE}
    return "\n".join(
        f"{lane}: {cost(each.low)} to {cost(each.high)}" for lane, each in found.items() if each is not None
    )


def judged_by(estimate: Estimate) -> str:
    """Where the lengths of answers come from."""
    if estimate.is_first_run:
        return "no earlier answer of this provider, model and schema: from the shortest answer to the limit"
    return f"{estimate.earlier_answers} earlier answers of this provider, model and schema"


def _jobs(estimate: Estimate) -> str:
    said = f"{estimate.jobs:,}"
    if estimate.twins:
        said += f", of which {estimate.twins:,} are the same work as others and cost nothing"
    if estimate.left_out:
        said += f"; {estimate.left_out:,} more with nothing to grade are not sent"
    return said


def _tokens(interval: Interval, *, is_likely: bool) -> str:
    bounds = f"{interval.low:,.0f} to {interval.high:,.0f}"
    return f"{interval.likely:,.0f} ({bounds})" if is_likely else bounds


_ROWS: Sequence[tuple[str, Callable[[Estimate], str]]] = (
    ("jobs", _jobs),
    ("tokens in", lambda each: _tokens(each.prompt_tokens, is_likely=True)),
    ("tokens out", lambda each: _tokens(each.completion_tokens, is_likely=not each.is_first_run)),
    ("cost", cost_interval),
    ("cost with --price lowest", cost_in_lanes),
    ("cost, at most", lambda each: cost(each.most_cost_usd)),
    ("caching", lambda each: each.caching),
    ("tokens counted by", lambda each: each.counted_by),
    ("answers judged by", judged_by),
)
