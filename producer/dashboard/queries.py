"""What the page asks of the store: no more rows than it draws, and what a name already stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.dashboard.services import client
from workers.store.overview import count_batches, find_overview, list_overviews
from workers.store.reading import read_results

if TYPE_CHECKING:
    from workers.store.overview import BatchOverview
    from workers.store.reading import ResultRow


def number_of_batches() -> int:
    """How many batches there are."""
    with client().store.snapshot() as connection:
        return count_batches(connection)


def batches_on_page(page: int, *, per_page: int) -> list[BatchOverview]:
    """The batches of this page, newest first; the first page is 1."""
    with client().store.snapshot() as connection:
        return list_overviews(connection, at_most=per_page, skip=(page - 1) * per_page)


def batch_named(name: str) -> BatchOverview | None:
    """The batch of this name, or None."""
    with client().store.snapshot() as connection:
        return find_overview(connection, name)


def ended_rows(name: str, *, failures_only: bool, at_most: int) -> list[ResultRow]:
    """The first jobs of the batch that have ended, in input order."""
    with client().store.snapshot() as connection:
        return list(read_results(connection, name, ended_only=True, failed_only=failures_only, at_most=at_most))
