"""What is due to the provider, as the ledger has it: lines by day, batch, model and purpose, and their sum."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from workers.contract.outcome import Usage
from workers.store.billing import read_bill
from workers.store.overviews import find_batch

if TYPE_CHECKING:
    from datetime import date

    from workers.store import Store
    from workers.store.billing import BillLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """The lines, oldest first. What was really billed lies between the two sums, in US dollars."""

    lines: tuple[BillLine, ...]

    @property
    def low_usd(self) -> float:
        """The cost if no request of unknown end was billed."""
        return sum(line.low_usd for line in self.lines)

    @property
    def likely_usd(self) -> float:
        """The cost if each of them was billed like the answered requests of its job, or of its model and purpose.

        Those that the provider closed before it answered count as nothing.
        """
        return sum(line.likely_usd for line in self.lines)

    @property
    def open(self) -> int:
        """Requests of unknown end."""
        return sum(line.open for line in self.lines)

    @property
    def high_usd(self) -> float | None:
        """When each of those was billed at the most that it can cost; None when one of the prices is unknown."""
        return None if any(line.unpriced for line in self.lines) else sum(line.high_usd for line in self.lines)

    @property
    def usage(self) -> Usage:
        """Tokens of all lines."""
        return reduce(add, (line.usage for line in self.lines), Usage())


def read_bill_of(
    store: Store, *, batch: str | None = None, since: date | None = None, account: str | None = None
) -> Bill:
    """The bill of one batch or of all, from midnight (UTC) of a day on, of one account or of all.

    Raises `InvalidInput` for an unknown batch.
    """
    begins_at = None if since is None else datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp()
    with store.snapshot() as connection:
        if batch is not None:
            find_batch(connection, batch)
        lines = read_bill(connection, batch=batch, since_seconds=begins_at)
        return Bill(lines=tuple(line for line in lines if account in {None, line.provider}))
