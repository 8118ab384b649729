"""A review as a list: for the terminal and for scripts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from producer.inputs.courses.roster import display_name
from workers.contract.decision import ReviewState
from workers.contract.headline import headline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producer.review.doubt import Doubt
    from workers.contract.decision import Official, ReleaseRule
    from workers.store.students import Ordered

MOST_ROWS = 40


def review_table(shown: Sequence[Doubt], batch: str, *, of: int) -> Table:
    """These items, the first `of` so many, one row each."""
    title = f"{batch}: what to read first"
    if len(shown) < of:
        title += f" ({len(shown)} of {of})"
    table = Table(title=title, title_justify="left")
    names = [display_name(doubt.item.row.metadata) for doubt in shown]
    has_names = any(names)
    for column in ("id", *(["name"] if has_names else []), "model said", "official", "decided", "why read it"):
        table.add_column(column, overflow="fold")
    for doubt, name in zip(shown, names, strict=True):
        item = doubt.item
        table.add_row(
            item.row.id,
            *([Text(name)] if has_names else []),
            _grade(item.row.result) or (str(item.row.failure_kind or "")),
            _grade(item.official.result),
            standing(item.official),
            "; ".join(doubt.reasons),
        )
    return table


def review_summary(items: Sequence[Ordered], rule: ReleaseRule) -> Iterator[str]:
    """How far the review is, in two lines."""
    states = Counter(item.state for item in items)
    counts = ", ".join(f"{states[state]} {state.value.replace('_', ' ')}" for state in ReviewState)
    released = sum(item.released for item in items)
    changed = sum(item.changed for item in items)
    yield f"{len(items)} ended: {counts}"
    again = f" ({changed} changed since)" if changed else ""
    yield f"{released} released{again}; rule: {rule.sentence}"


def standing(official: Official) -> str:
    """Who decided what, in a few words."""
    if official.decision is None:
        words = "" if not official.last_id else "undone"
    else:
        words = f"{official.state.value.replace('_', ' ')} by {official.decision.by}"
    if official.released:
        words += ", released" if not official.changed_since_release else ", changed since release"
    return words


def as_line(doubt: Doubt) -> dict[str, object]:
    """The same for scripts: a result line with the decision and the reasons to read it."""
    official = doubt.item.official
    return {
        **doubt.item.row.as_line(),
        "review": {
            "state": str(official.state),
            "official": official.result,
            "by": official.decision.by if official.decision else None,
            "reason": official.decision.reason if official.decision else None,
            "released": official.released,
            "changed_since_release": official.changed_since_release,
            "last_decision": official.last_id,
        },
        "doubt": {"weight": doubt.weight, "reasons": list(doubt.reasons)},
    }


def _grade(result: object) -> str:
    number = headline(result)
    if number is None:
        return "" if result is None else "given"
    highest = result.get("max_points") if isinstance(result, dict) else None
    return f"{number:g} of {highest:g}" if isinstance(highest, int | float) else f"{number:g}"
