"""The ways in which one attempt can be made: at once at the full price, or later for less.

Part of the contract: standard library only. What a lane costs is said here alone; ledger, estimate and bill ask
`ModelProfile.cost_usd(usage, lane=...)`.
*Source*: OpenAI, "Batch API" and "Background mode" (read November 2026): Batch -50 % within 24 h, background responses
with a completion window of 2 h -30 % and of 8 h -40 %; the factor holds for cached tokens, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Lane(StrEnum):
    """Closed and stable: names stored today are read for years. The fastest lane, which is the dearest, comes first."""

    LIVE = "live"
    WINDOW_2H = "window_2h"
    WINDOW_8H = "window_8h"
    BATCH = "batch"

    @property
    def price_factor(self) -> float:
        """What a token costs here, as a share of its live price."""
        return _TERMS[self].price_factor

    @property
    def longest(self) -> timedelta | None:
        """Within this time the provider answers or gives up; None: while the request lasts."""
        return _TERMS[self].longest

    @property
    def completion_window(self) -> str | None:
        """The provider's own word for `longest`, as requests carry it; None for live calls."""
        return _TERMS[self].completion_window

    @property
    def is_background(self) -> bool:
        """Each job is a request of its own that is answered later, not a line of a file."""
        return self in {Lane.WINDOW_2H, Lane.WINDOW_8H}


@dataclass(frozen=True, slots=True)
class _Terms:
    price_factor: float
    longest: timedelta | None
    completion_window: str | None


_TERMS: Mapping[Lane, _Terms] = {
    Lane.LIVE: _Terms(1.0, None, None),
    Lane.WINDOW_2H: _Terms(0.7, timedelta(hours=2), "2h"),
    Lane.WINDOW_8H: _Terms(0.6, timedelta(hours=8), "8h"),
    Lane.BATCH: _Terms(0.5, timedelta(hours=24), "24h"),
}
