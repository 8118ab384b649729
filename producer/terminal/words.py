"""Amounts in words, for terminal and page alike: times, rates, costs, counts. Every other place asks here."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Sequence

STANDIN_NOTICE = "STAND-IN PROVIDER: these grades are not real"


def duration(seconds: float | None) -> str:
    """`2h05m`, `3m12s` or `7s`; a dash when it is unknown."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def rate(jobs_per_second: float | None) -> str:
    """Jobs per minute; a dash when it is unknown."""
    return "-" if jobs_per_second is None else f"{jobs_per_second * 60:.0f} / min"


def cost(cost_usd: float | None, provider: str = "") -> str:
    """Dollars; `$0` for the stand-in alone; never a zero where the price is unknown."""
    if provider == STANDIN_PROVIDER:
        return "$0"
    return "unknown" if cost_usd is None else f"${cost_usd:,.4f}"


def cost_between(low_usd: float, high_usd: float | None, provider: str = "") -> str:
    """An interval in dollars, or one number where both ends are the same; an upper end of None is unknown."""
    if provider == STANDIN_PROVIDER:
        return "nothing"
    if high_usd is None:
        return f"unknown; at least ${low_usd:,.4f}" if low_usd else "unknown"
    low, high = cost(low_usd), cost(high_usd)
    return low if low == high else f"{low} to {high}"


def enqueued(new: int, existing: int) -> str:
    """What an enqueue did; jobs that exist are neither graded nor paid for again."""
    if not existing:
        return f"{new:,} new"
    counts = f"{new:,} new, {existing:,} already enqueued"
    return counts if new else f"{counts}: nothing is graded or paid for again"


def counted(count: int, noun: str, several: str | None = None) -> str:
    """`1 submission`, `2 submissions`; `several` where an s does not make the plural."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {several or f'{noun}s'}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b` or `a, b and c`."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def moment(seconds: float, *, with_seconds: bool = False) -> str:
    """A time of the database, in UTC, to the minute or to the second."""
    pattern = "%Y-%m-%d %H:%M:%S" if with_seconds else "%Y-%m-%d %H:%M"
    return f"{datetime.fromtimestamp(seconds, UTC):{pattern}} UTC"


def command(name: str, *batches: str, options: Sequence[str] = ()) -> str:
    """A command of ours to copy into a shell: a batch may be called anything, and a shell runs what some names say.

    It names the data folder that the present command was given: without it the batch would not be found.
    """
    if (folder := _given_data_dir()) and "--data-dir" not in options:
        options = [*options, "--data-dir", folder]
    is_like_an_option = any(batch.startswith("-") for batch in batches)
    given = [*options, "--", *batches] if is_like_an_option else [*batches, *options]
    return shlex.join(["gradequeue", name, *given])


def _given_data_dir() -> str:
    """Of the command that runs; empty where it was given none, and on the page."""
    context = click.get_current_context(silent=True)
    given = context.params.get("data_dir") if context is not None else None
    return str(given) if given is not None else ""
