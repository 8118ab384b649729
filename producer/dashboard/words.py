"""Texts of the page. Streamlit reads labels and headings as Markdown; what people wrote must stay what they wrote."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from workers.settings import STANDIN_PROVIDER

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:@/&])")


def plain(text: object) -> str:
    """The text with everything escaped that Markdown, HTML or an emoji code could be made of, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(text).split()))


def duration(seconds: float | None) -> str:
    """`2h05m`, `3m12s` or `7s`; a dash when it cannot be told."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def rate(jobs_per_second: float | None) -> str:
    """Per minute, as people count; a dash when it cannot be told."""
    return "-" if jobs_per_second is None else f"{jobs_per_second * 60:.0f} / min"


def cost(cost_usd: float | None, provider: str) -> str:
    """Dollars, or that the price is not known: never a zero that stands for ignorance."""
    if provider == STANDIN_PROVIDER:
        return "nothing"
    return "unknown" if cost_usd is None else f"${cost_usd:,.4f}"


def enqueued(new: int, existing: int) -> str:
    """What an enqueue did, and that the rest is neither graded nor paid for again."""
    if not existing:
        return f"{new:,} new"
    there = f"{new:,} new, {existing:,} {'was' if existing == 1 else 'were'} there already"
    return there if new else f"{there}: nothing is graded or paid for again"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b` or `a, b and c`."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def moment(seconds: float) -> str:
    """A time of the database, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
