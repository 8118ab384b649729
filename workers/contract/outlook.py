"""What of a batch will start too late for the moment that a person named.

Part of the contract: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The jobs of a batch that ask one model, and the moment by which they have to start."""

    model: str
    jobs: int
    by: datetime
    late: int | None
    """How many will start later; None when no pace is known."""
    last_at: datetime | None = None
    """When the last of them is expected to start."""
    per_minute: float | None = None
    because: str = ""
    """Where the pace is known from."""

    @property
    def sentence(self) -> str:
        """For a person, in the zone that they wrote in."""
        wanted = f"{self.by:%Y-%m-%d %H:%M}"
        whose = f"{self.jobs:,} {'job' if self.jobs == 1 else 'jobs'} for {self.model}"
        if self.late is None or self.per_minute is None:
            unknown = f"{self.model} has no known limit and no earlier answer"
            return f"whether {whose} can start by {wanted} is not known: {unknown}"
        pace = f"at {_figure(self.per_minute)} requests a minute ({self.because})"
        last = "in more than a year" if self.last_at is None else f"about {self.last_at:%Y-%m-%d %H:%M}"
        if not self.late:
            return f"{whose}: the last is expected to start {last}, {pace}; asked for by {wanted}"
        late = f"about {self.late:,} of {whose} will be too late"
        return f"{late}: {pace}, the last would start {last}; asked for by {wanted}"


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"  # noqa: PLR2004 - two digits
