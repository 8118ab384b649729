"""What of a batch will start too late for the moment that a person named: said when it is enqueued.

By the limits that are known, else by the pace of earlier answers; the jobs beside it take their share of the queue.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from workers.contract.outlook import Outlook
from workers.store.forecast import read_demand

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from workers.contract.job import JobParameters, JobSpec
    from workers.store import Store
    from workers.store.enqueue import EnqueueReport
    from workers.store.forecast import ModelDemand, Speed, Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualLimits:
    """The settings' own limits, for models that nobody has asked yet. Per minute; None is unknown."""

    requests: int | None = None
    tokens: int | None = None

    @classmethod
    def of(cls, requests: int | None, tokens: int | None) -> UsualLimits:
        """As settings say them (see `Settings.minute_limits`)."""
        return cls(requests=requests, tokens=tokens)


UNKNOWN_LIMITS = UsualLimits()


def with_moment(specs: Iterable[JobSpec], by: datetime) -> Iterator[JobSpec]:
    """The specs, none of which may start after this moment."""
    moment = by.timestamp()
    made: dict[JobParameters, JobParameters] = {}
    for spec in specs:
        if spec.parameters not in made:
            made[spec.parameters] = replace(spec.parameters, deadline_at=moment)
        yield replace(spec, parameters=made[spec.parameters])


def with_outlooks(
    report: EnqueueReport, store: Store, by: datetime, *, limits: UsualLimits, now: float | None = None
) -> EnqueueReport:
    """The report, with what will be late."""
    with store.snapshot() as connection:
        demands = read_demand(
            connection, report.batch, requests_per_minute=limits.requests, tokens_per_minute=limits.tokens
        )
    at = time.time() if now is None else now
    return replace(report, outlooks=tuple(outlook(each, by, now=at) for each in demands))


def outlook(demand: ModelDemand, by: datetime, *, now: float) -> Outlook:
    """What follows from the demand; `now` in seconds since the epoch."""
    pace, because = _pace(demand.speed)
    own = demand.own.jobs
    if pace is None:
        return Outlook(model=demand.model, jobs=own, by=by, late=None)
    minutes = max(0.0, by.timestamp() - now) / 60.0
    started = min(own, math.floor(_own_share(pace * minutes, demand.own, demand.others)))
    needed = _requests_until_done(demand.own, demand.others) / pace
    return Outlook(
        model=demand.model,
        jobs=own,
        by=by,
        late=own - started,
        last_at=_later(now, needed, by),
        per_minute=pace,
        because=because,
    )


def _later(now: float, minutes: float, by: datetime) -> datetime | None:
    return None if minutes > 366 * 1440 else datetime.fromtimestamp(now, by.tzinfo) + timedelta(minutes=minutes)


def _pace(speed: Speed) -> tuple[float | None, str]:
    """Requests a minute, and where that is known from: the tightest limit, or what was seen when there is none."""
    found: list[tuple[float, str]] = []
    if speed.requests_per_minute:
        found.append((speed.requests_per_minute, "its limit"))
    if speed.tokens_per_minute and speed.request_tokens:
        found.append((speed.tokens_per_minute / speed.request_tokens, "its limit of tokens"))
    if speed.calls_in_flight and speed.request_seconds:
        found.append((speed.calls_in_flight * 60.0 / speed.request_seconds, "your limit of calls in flight"))
    if not found and speed.answers_per_minute:
        return speed.answers_per_minute, "as in earlier runs"
    return min(found, default=(None, ""))


def _own_share(requests: float, own: Waiting, others: Sequence[Waiting]) -> float:
    """How many of so many requests are the batch's own: those that come first are served, the rest by weight."""
    left = requests - sum(each.jobs for each in others if each.is_first)
    sharing = [each for each in others if not each.is_first]
    while left > 0:
        weights = own.weight + sum(each.weight for each in sharing)
        done = [each for each in sharing if each.jobs <= left * each.weight / weights]
        if not done:
            return left * own.weight / weights
        left -= sum(each.jobs for each in done)
        sharing = [each for each in sharing if each not in done]
    return 0.0


def _requests_until_done(own: Waiting, others: Sequence[Waiting]) -> float:
    """Requests of all until the last of the batch's own: a batch beside it gets at most its weight's worth."""
    beside = (each.jobs if each.is_first else min(each.jobs, own.jobs * each.weight / own.weight) for each in others)
    return own.jobs + sum(beside)
