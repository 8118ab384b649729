"""What every step of a submission works with: store, provider and the rules of one account."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from workers.contract.lane import Lane
from workers.contract.lane_choice import choose_lane
from workers.store.day_caps import NO_DAY_CAPS, DayCaps
from workers.store.lanes.submissions import advance, note
from workers.store.lanes.times import learned_times, refused_lanes, tried_lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from workers.completion.lanes.door import LaneDoor
    from workers.contract.lane_choice import LaneTime, PriceWish
    from workers.grading.records import Collaborators
    from workers.store import Store
    from workers.store.lanes.submissions import Submission, SubmissionState

T = TypeVar("T")
P = ParamSpec("P")

LIVE_JOBS_PER_SECOND = 5.0


def _nothing(_step: str) -> None:
    return None


@dataclass(slots=True, kw_only=True)
class LaneWork:
    """One account's lanes in one process. Belongs to one event loop; the store is asked on threads."""

    account: str
    store: Store
    collaborators: Collaborators
    door: LaneDoor
    """The account's provider."""
    folder: Path
    """For files on their way up."""
    day_caps: DayCaps = NO_DAY_CAPS
    live_jobs_per_second: float = LIVE_JOBS_PER_SECOND
    after: Callable[[str], None] = _nothing
    """Called with the name of each step of a submission's life once it is done; what it raises ends the round."""
    is_fresh: set[str] = field(default_factory=set)
    """Submissions of which this process knows that the provider was never asked for them."""
    unknown_since: dict[str, float] = field(default_factory=dict)
    """Submission -> when the provider first said that it does not know it, or its files."""
    most_tokens: dict[str, int] = field(default_factory=dict)
    """Model -> input tokens that its queue for batches takes at once, as far as a refusal has shown it."""

    async def in_store(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **options: P.kwargs) -> T:
        """One transaction, beside the loop."""

        def run(connection: Connection) -> T:
            return work(connection, *args, **options)

        return await asyncio.to_thread(self.store.run, run)

    async def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **options: P.kwargs) -> T:
        """The same for what only reads: it holds up nobody who writes."""

        def run() -> T:
            with self.store.snapshot() as connection:
                return query(connection, *args, **options)

        return await asyncio.to_thread(run)

    async def advance(
        self, submission: Submission, *, since: Collection[SubmissionState], to: SubmissionState, **noted: Any
    ) -> bool:
        """See `submissions.advance`."""
        return await asyncio.to_thread(
            self.store.run, partial(advance, submission_id=submission.id, since=since, to=to, **noted)
        )

    async def note(self, submission: Submission, **noted: Any) -> None:
        """See `submissions.note`."""
        await asyncio.to_thread(self.store.run, partial(note, submission_id=submission.id, **noted))

    async def known_lanes(self) -> KnownLanes:
        """What is known of the account's lanes now."""

        def read(connection: Connection) -> KnownLanes:
            refused = refused_lanes(connection, self.account)
            return KnownLanes(
                times=learned_times(connection, self.account),
                refused=frozenset((lane, model) for _, lane, model in refused),
                tried=tried_lanes(connection, self.account),
                live_jobs_per_second=self.live_jobs_per_second,
            )

        return await self.read(read)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLanes:
    """Times of an account's lanes, and which of them it does not offer."""

    times: Mapping[Lane, LaneTime]
    refused: frozenset[tuple[Lane, str]]
    tried: frozenset[Lane]
    """The others may not be offered: one request finds out."""
    live_jobs_per_second: float

    def choose(
        self,
        wish: PriceWish,
        *,
        model: str,
        seconds_to_deadline: float | None,
        jobs: int,
        cheapest: Lane,
        is_left: bool = False,
    ) -> Lane:
        """See `choose_lane`; none cheaper than `cheapest`, nor that one where these jobs have left it."""
        barred = {lane for lane, of in self.refused if of in {"", model}}
        barred |= {lane for lane in Lane if lane.price_factor < cheapest.price_factor}
        if is_left:
            barred.add(cheapest)
        return choose_lane(
            wish,
            seconds_to_deadline=seconds_to_deadline,
            jobs=jobs,
            times=self.times,
            barred=barred,
            live_jobs_per_second=self.live_jobs_per_second,
        )
