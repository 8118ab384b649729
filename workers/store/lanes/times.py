"""What is known of an account's lanes: how long they took lately, and which of them it does not offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from workers.contract.lane import Lane
from workers.contract.lane_choice import PUBLISHED_TIMES, LaneTime
from workers.store.lane_tables import lane_refusals, submissions
from workers.store.sql import upsert
from workers.store.tables import now_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

REFUSED_SECONDS = 86_400.0
"""A server that does not know a lane is asked again after a day."""
SAMPLES = 100
"""The last so many submissions of a lane show its times."""
PRIOR_SAMPLES = 4
"""The published times count as much as so many submissions."""


def learned_times(connection: Connection, account: str) -> dict[Lane, LaneTime]:
    """The times of each lane, the published ones where nothing was learned yet.

    A submission that was cancelled for being late took longer than it lived: it counts for at least that.
    """
    return {lane: _learned(connection, account, lane) for lane in PUBLISHED_TIMES}


def _learned(connection: Connection, account: str, lane: Lane) -> LaneTime:
    rows = connection.execute(
        select(submissions.c.created_at, submissions.c.ended_at)
        .where(
            submissions.c.account == account,
            submissions.c.lane == str(lane),
            submissions.c.ended_at.is_not(None),
            submissions.c.created_at.is_not(None),
            submissions.c.ended_as.in_(["completed", "cancelled", "expired"]),
        )
        .order_by(submissions.c.ended_at.desc())
        .limit(SAMPLES)
    )
    return blended([row.ended_at - row.created_at for row in rows], PUBLISHED_TIMES[lane])


def blended(seen: Sequence[float], published: LaneTime) -> LaneTime:
    """Quantiles of what was seen, drawn towards the published ones while little was."""
    if not seen:
        return published
    ordered, weight = sorted(seen), len(seen) / (len(seen) + PRIOR_SAMPLES)
    typical, likely = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
    return LaneTime(
        typical_seconds=weight * typical + (1 - weight) * published.typical_seconds,
        likely_seconds=weight * likely + (1 - weight) * published.likely_seconds,
    )


def tried_lanes(connection: Connection, account: str) -> frozenset[Lane]:
    """Lanes in which the account's server has taken something before."""
    taken = select(submissions.c.id).where(submissions.c.account == account, submissions.c.provider_id.is_not(None))
    return frozenset(
        lane
        for lane in PUBLISHED_TIMES
        if connection.execute(taken.where(submissions.c.lane == str(lane)).limit(1)).first() is not None
    )


def note_refusal(connection: Connection, account: str, lane: Lane, model: str, message: str) -> bool:
    """The account's server does not offer this lane, or not for this model ('' is every model).

    False when that was known.
    """
    is_new = (account, lane, model) not in refused_lanes(connection, account)
    connection.execute(
        upsert(
            connection,
            lane_refusals,
            key={"account": account, "lane": str(lane), "model": model},
            values={"until": now_seconds() + REFUSED_SECONDS, "message": message},
        )
    )
    return is_new


def refused_lanes(connection: Connection, account: str | None = None) -> Mapping[tuple[str, Lane, str], str]:
    """(account, lane, model) -> what the server said, of one account or of all; the model '' is every model."""
    query = select(lane_refusals).where(lane_refusals.c.until > now_seconds())
    if account is not None:
        query = query.where(lane_refusals.c.account == account)
    return {(row.account, Lane(row.lane), row.model): row.message for row in connection.execute(query)}
