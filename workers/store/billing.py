"""What the ledger says is due: sums by day, batch, model, purpose, tier and lane, as an invoice has them. Read-only.

What nobody knows the end of (its worker died, it timed out, it is in flight) may have been billed or not: it counts as
nothing in the low sum, and in the high one at the most that it can cost. In the likely sum

    closed before a response began   nothing: a provider that gives up makes no answer. One that is cut off from us goes
                                     silent, and the request times out
    everything else                  what the answered request of its job cost, with the same prompt and parameters, or
                                     else the mean of its model and purpose: providers bill an answer nobody waits for
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, and_, case, func, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from workers.contract.lane import Lane
from workers.contract.outcome import AttemptEnding
from workers.store.ledger import USAGE_SUMS, usage_of
from workers.store.tables import attempts, batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row
    from sqlalchemy.sql.compiler import SQLCompiler

    from workers.contract.outcome import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """All requests of one day, batch, model, purpose, tier and lane. Costs are US dollars."""

    day: str
    """UTC, as `2026-11-27`; of the moment when the request was sent."""
    batch: str
    provider: str
    model: str
    """The one that was asked."""
    purpose: str
    tier: str | None
    """The one that served; None where the server named none."""
    lane: Lane
    answered: int
    open: int
    """Requests that may have been billed: nobody knows how they ended."""
    unpriced: int
    """Requests whose cost has no known bound; they are in neither sum."""
    usage: Usage
    low_usd: float
    likely_usd: float
    high_usd: float
    surcharge_usd: float
    """Part of all sums that is due because prompts were long."""

    def as_line(self) -> dict[str, object]:
        """Flat, for a row of CSV or JSON; input tokens without those read from the cache or written into it."""
        usage = self.usage
        return {
            "day": self.day,
            "batch": self.batch,
            "provider": self.provider,
            "model": self.model,
            "purpose": self.purpose,
            "tier": self.tier,
            "lane": str(self.lane),
            "answered": self.answered,
            "open": self.open,
            "unpriced": self.unpriced,
            "input_tokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "output_tokens": usage.completion_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "surcharge_usd": self.surcharge_usd,
            "low_usd": self.low_usd,
            "likely_usd": self.likely_usd,
            "high_usd": self.high_usd,
        }


def read_bill(
    connection: Connection, *, batch: str | None = None, since_seconds: float | None = None
) -> list[BillLine]:
    """Lines in order of day, batch, model, purpose; requests that cannot have been billed are in none."""
    day = _utc_day(attempts.c.opened_at).label("day")
    keys = (
        day,
        batches.c.name,
        batches.c.provider,
        attempts.c.model,
        attempts.c.purpose,
        attempts.c.service_tier,
        attempts.c.lane,
    )
    statement = (
        select(
            *keys,
            func.count().filter(_IS_ANSWERED).label("answered"),
            func.count().filter(~_IS_ANSWERED).label("open"),
            func.count().filter(_IS_UNPRICED).label("unpriced"),
            func.coalesce(func.sum(func.coalesce(attempts.c.cost_usd, attempts.c.held_usd)), 0.0).label("high_usd"),
            func.coalesce(func.sum(attempts.c.surcharge_usd), 0.0).label("surcharge_usd"),
            func.count().filter(_IS_LIKELY_DUE).label("due"),
            func.count(_own_usd).label("due_alike"),
            func.coalesce(func.sum(_own_usd), 0.0).label("own_usd"),
            *USAGE_SUMS,
        )
        .join(batches, batches.c.id == attempts.c.batch_id)
        .where(or_(_IS_ANSWERED, _IS_OPEN))
        .group_by(*keys)
        .order_by(*keys)
    )
    if batch is not None:
        statement = statement.where(batches.c.name == batch)
    if since_seconds is not None:
        statement = statement.where(attempts.c.opened_at >= since_seconds)
    return _with_likely_costs(connection.execute(statement).all())


_ending = attempts.c.ending
_IS_ANSWERED = func.coalesce(_ending, "") == str(AttemptEnding.ANSWERED)
_HAS_FAILED = func.coalesce(_ending, "") == str(AttemptEnding.FAILED)
_HAS_NO_END = or_(_ending.is_(None), _ending.in_((str(AttemptEnding.UNKNOWN), str(AttemptEnding.TIMED_OUT))))
# a failed request that may be due keeps the most that it can cost; all others hold nothing any more
_IS_OPEN = and_(~_IS_ANSWERED, or_(attempts.c.held_usd > 0, and_(attempts.c.held_usd.is_(None), _HAS_NO_END)))
_IS_UNPRICED = and_(attempts.c.cost_usd.is_(None), or_(_IS_ANSWERED, attempts.c.held_usd.is_(None)))
_IS_LIKELY_DUE = and_(_IS_OPEN, ~and_(_HAS_FAILED, attempts.c.status_code.is_(None)))
_alike = attempts.alias("alike")
# of a request that is likely due: the mean cost of the answered ones of its job; asked for these rows alone
_own_usd = case(
    (
        _IS_LIKELY_DUE,
        select(func.avg(_alike.c.cost_usd))
        .where(
            _alike.c.job_id == attempts.c.job_id,
            _alike.c.model == attempts.c.model,
            _alike.c.purpose == attempts.c.purpose,
            func.coalesce(_alike.c.lane, "") == func.coalesce(attempts.c.lane, ""),
            _alike.c.ending == str(AttemptEnding.ANSWERED),
        )
        .correlate(attempts)
        .scalar_subquery(),
    )
)


def _line(row: Any) -> BillLine:
    return BillLine(
        day=row.day,
        batch=row.name,
        provider=row.provider,
        model=row.model,
        purpose=row.purpose,
        tier=row.service_tier,
        lane=Lane.LIVE if row.lane is None else Lane(row.lane),
        answered=row.answered,
        open=row.open,
        unpriced=row.unpriced,
        usage=usage_of(row),
        low_usd=float(row.cost_usd or 0.0),
        likely_usd=float(row.high_usd),
        high_usd=float(row.high_usd),
        surcharge_usd=float(row.surcharge_usd),
    )


def _with_likely_costs(rows: Sequence[Row[Any]]) -> list[BillLine]:
    """Needs all rows: a request of unknown end names no tier, so it is in another line than answered ones."""
    answered: defaultdict[tuple[str, ...], list[BillLine]] = defaultdict(list)
    lines = [_line(row) for row in rows]
    for line in lines:
        if line.answered and not line.unpriced:
            for alike in (line.model, line.purpose, line.lane), (line.model, line.lane):
                answered[alike].append(line)

    def likely_usd(line: BillLine, row: Row[Any]) -> float:
        others: int = row.due - row.due_alike
        found_usd = line.low_usd + float(row.own_usd)
        if not others:
            return min(line.high_usd, found_usd)
        alike = answered.get((line.model, line.purpose, line.lane)) or answered.get((line.model, line.lane))
        if not alike:
            return line.high_usd
        mean_usd = sum(each.low_usd for each in alike) / sum(each.answered for each in alike)
        return min(line.high_usd, found_usd + others * mean_usd)

    return [replace(line, likely_usd=likely_usd(line, row)) for line, row in zip(lines, rows, strict=True)]


class _utc_day(FunctionElement[str]):  # noqa: N801 - reads as the SQL function it compiles to
    """The day (UTC) of a time in seconds since the epoch."""

    type = String()
    inherit_cache = True


@compiles(_utc_day, "sqlite")
def _day_on_sqlite(element: _utc_day, compiler: SQLCompiler, **options: Any) -> str:
    return f"strftime('%Y-%m-%d', {compiler.process(element.clauses, **options)}, 'unixepoch')"


@compiles(_utc_day, "postgresql")
def _day_on_postgresql(element: _utc_day, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"to_char(to_timestamp({seconds}) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
