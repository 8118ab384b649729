"""Which lane a job takes: one pure function over the time that it has, the price that is wished and the lanes' times.

To try a slow lane costs time and no money: what it has not answered when a job has to leave is not billed, and the job
is sent live. So `lowest` tries whatever may answer in time at all, `balanced` what almost always does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from workers.contract.errors import InvalidInput
from workers.contract.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_HOUR = 3600.0


class PriceWish(StrEnum):
    """What matters more to a batch: that it is cheap, or that it is there."""

    LOWEST = "lowest"
    """The cheapest lane whose answer may come in time."""
    BALANCED = "balanced"
    """The cheapest lane whose answer comes in time nine times of ten; within two hours where there is no deadline."""
    LIVE = "live"


def price_wish(name: str | None) -> PriceWish | None:
    """The wish of this name; None of none. Raises `InvalidInput` with the names that there are."""
    try:
        return None if name is None else PriceWish(name)
    except ValueError:
        raise InvalidInput(f"there is no price {name!r}; choose from {', '.join(PriceWish)}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneTime:
    """How long a lane takes from the hand-over to its last answer, in seconds."""

    typical_seconds: float
    """Half of the requests took no longer."""
    likely_seconds: float
    """Nine of ten took no longer."""


PUBLISHED_TIMES: Mapping[Lane, LaneTime] = {
    Lane.WINDOW_2H: LaneTime(typical_seconds=0.25 * _HOUR, likely_seconds=1.5 * _HOUR),
    Lane.WINDOW_8H: LaneTime(typical_seconds=1.0 * _HOUR, likely_seconds=6.0 * _HOUR),
    Lane.BATCH: LaneTime(typical_seconds=420.0, likely_seconds=1.0 * _HOUR),
}
"""Until a lane's own times are known. *Source*: OpenRouter on 230,000 batches (2026): half within 7 minutes, nine of
ten within an hour. Of the windows nothing is published but their ends; these are guesses well below them."""
LEAST_CANCEL_SECONDS = 90.0
LONGEST_CANCEL_SECONDS = 600.0
"""*Source*: OpenAI, "Batch API": a batch may be cancelling for up to ten minutes."""
CANCEL_SHARE = 0.1
"""So much of the time to the deadline is given up at most to have a request cancelled."""
LEAST_LIVE_SECONDS = 60.0
"""One live call with a retry."""
LIVE_JOBS_PER_SECOND = 5.0
"""What a worker is thought to send live while nothing is known of the account's limits."""
SHARE_WORTH_A_TRY = 0.25
"""Of the typical time: about one of five batches is answered within it."""
PATIENCE_SECONDS = 2 * _HOUR
"""What `balanced` takes for "in time" where there is no deadline."""


def cancel_seconds(seconds_left: float) -> float:
    """What is kept to have requests in a lane cancelled, so that none is answered twice.

    A provider that takes longer is not waited for: its jobs go live, and the ledger holds both requests.
    """
    return min(max(CANCEL_SHARE * seconds_left, LEAST_CANCEL_SECONDS), LONGEST_CANCEL_SECONDS)


def live_seconds(jobs: int, *, live_jobs_per_second: float = LIVE_JOBS_PER_SECOND) -> float:
    """What is kept to have so many jobs answered live."""
    return LEAST_LIVE_SECONDS + jobs / live_jobs_per_second


def reserve_seconds(
    jobs: int, *, seconds_left: float = 0.0, live_jobs_per_second: float = LIVE_JOBS_PER_SECOND
) -> float:
    """So long before their deadline jobs leave their lane: to be cancelled there, and to be answered live.

    `seconds_left` to the deadline when they are handed over; the least reserve where it is not known.
    """
    return cancel_seconds(seconds_left) + live_seconds(jobs, live_jobs_per_second=live_jobs_per_second)


def choose_lane(
    wish: PriceWish,
    *,
    seconds_to_deadline: float | None,
    jobs: int,
    times: Mapping[Lane, LaneTime],
    barred: Collection[Lane] = (),
    live_jobs_per_second: float = LIVE_JOBS_PER_SECOND,
) -> Lane:
    """The lane for so many jobs that have so long (None: no deadline) and are handed over together.

    `times` are what was learned; `PUBLISHED_TIMES` hold where it has nothing. `barred`: what the account does not
    offer, and what these jobs have left.
    """
    if wish is PriceWish.LIVE:
        return Lane.LIVE
    left = None
    if seconds_to_deadline is not None:
        left = seconds_to_deadline - reserve_seconds(
            jobs, seconds_left=seconds_to_deadline, live_jobs_per_second=live_jobs_per_second
        )
    fitting = [lane for lane in PUBLISHED_TIMES if lane not in barred and _fits(wish, lane, left, times)]
    return min(fitting, key=lambda lane: lane.price_factor, default=Lane.LIVE)


def needed_seconds(wish: PriceWish, time: LaneTime) -> float:
    """The least time for which a lane with these times is worth it."""
    return time.typical_seconds * SHARE_WORTH_A_TRY if wish is PriceWish.LOWEST else time.likely_seconds


def _fits(wish: PriceWish, lane: Lane, left: float | None, times: Mapping[Lane, LaneTime]) -> bool:
    needed = needed_seconds(wish, times.get(lane, PUBLISHED_TIMES[lane]))
    if left is None:
        return wish is PriceWish.LOWEST or needed <= PATIENCE_SECONDS
    return needed <= left
