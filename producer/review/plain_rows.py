"""Results for a spreadsheet: what the model said of every job, and beside it what a person made official."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from producer.gradebook.plain import PlainRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from producer.batch import Batch
    from workers.contract.flag import FlagKind

_TOGETHER = 500
"""Rows whose decisions are read at once: a decision holds a whole result."""


def plain_rows(batch: Batch, *, flags: Collection[FlagKind | str] = ()) -> Iterator[PlainRow]:
    """Every job in input order, as `Batch.results`, with the official grade of those that have one."""
    rows = batch.results(flags=flags)
    while some := list(islice(rows, _TOGETHER)):
        officials = batch.officials([row.id for row in some])
        for row in some:
            yield PlainRow(row, officials.get(row.id))
