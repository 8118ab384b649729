"""Where the jobs of a batch are in their lanes, and when their answers are likely. Read-only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from workers.contract.lane import Lane
from workers.contract.outcome import JobState
from workers.store.lane_tables import batch_lanes
from workers.store.lanes.submissions import AT_PROVIDER, open_submissions
from workers.store.lanes.times import learned_times
from workers.store.sql import IS_READY
from workers.store.tables import jobs, now_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from workers.contract.lane_choice import LaneTime
    from workers.store.lanes.submissions import Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLook:
    """The jobs of one batch in one lane."""

    lane: Lane
    waiting: int
    """Jobs that are not handed over yet."""
    handed_over: int
    """Jobs at the provider."""
    submissions: int
    expected_seconds: float | None
    """Until nine of ten such submissions are answered; None where nothing is at the provider."""

    def as_json(self) -> dict[str, object]:
        """Every field by name."""
        return {
            "lane": str(self.lane),
            "waiting": self.waiting,
            "handed_over": self.handed_over,
            "submissions": self.submissions,
            "expected_seconds": self.expected_seconds,
        }


def read_lanes(connection: Connection, batch_id: int, name: str, account: str) -> tuple[LaneLook, ...]:
    """The lanes that the batch uses now, the slowest first; one short query for a batch that is live."""
    wished = select(batch_lanes.c.price).where(batch_lanes.c.batch_id == batch_id)
    if connection.execute(wished).scalar() is None:
        return ()
    waiting = _waiting(connection, batch_id)
    by_lane: dict[Lane, list[Submission]] = {}
    for each in open_submissions(connection, name):
        by_lane.setdefault(each.lane, []).append(each)
    if not waiting and not by_lane:
        return ()
    held = _held(connection, batch_id, [each.id for some in by_lane.values() for each in some])
    times = learned_times(connection, account)
    return tuple(
        LaneLook(
            lane=lane,
            waiting=waiting.get(lane, 0),
            handed_over=sum(held.get(each.id, 0) for each in by_lane.get(lane, [])),
            submissions=len(by_lane.get(lane, [])),
            expected_seconds=_expected(by_lane.get(lane, []), times.get(lane)),
        )
        for lane in reversed(Lane)
        if lane in waiting or lane in by_lane
    )


def count_waiting(connection: Connection, batch_id: int) -> int:
    """Jobs of the batch that wait to be handed over."""
    return sum(_waiting(connection, batch_id).values())


def _waiting(connection: Connection, batch_id: int) -> Mapping[Lane, int]:
    rows = connection.execute(
        select(jobs.c.lane, func.count())
        .where(jobs.c.batch_id == batch_id, IS_READY, jobs.c.lane.is_not(None), jobs.c.not_before > now_seconds())
        .group_by(jobs.c.lane)
    )
    return {Lane(lane): number for lane, number in rows}


def _held(connection: Connection, batch_id: int, ids: list[str]) -> Mapping[str, int]:
    rows = connection.execute(
        select(jobs.c.worker_id, func.count())
        .where(jobs.c.batch_id == batch_id, jobs.c.state == JobState.RUNNING, jobs.c.worker_id.in_(ids))
        .group_by(jobs.c.worker_id)
    )
    return {worker_id or "": number for worker_id, number in rows}


def _expected(some: list[Submission], time: LaneTime | None) -> float | None:
    left = [
        max(0.0, each.created_at + time.likely_seconds - each.now)
        for each in some
        if time is not None and each.created_at is not None and each.state in AT_PROVIDER
    ]
    return max(left, default=None)
