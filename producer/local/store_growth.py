"""What `gradequeue doctor` says of a store's size and of the counters in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from workers.store.sizes import read_size
from workers.store.tallies import recount

if TYPE_CHECKING:
    from workers.store import Store

MOST_TABLES = 3


def size_line(store: Store) -> str:
    """How large it is, and how much of that is one job's."""
    with store.snapshot() as connection:
        size = read_size(connection)
    total = f"{size.total_bytes / 2**20:,.1f} MiB"
    if size.bytes_per_job is None:
        return f"{total}, no jobs yet"
    largest = [f"{name} {held / size.jobs / 1024:.1f}" for name, held in list(size.by_table.items())[:MOST_TABLES]]
    tables = f" ({', '.join(largest)})" if largest else ""
    return f"{total}, {size.jobs:,} jobs, {size.bytes_per_job / 1024:.1f} KiB each{tables}"


def recount_line(store: Store) -> str:
    """Counts every row and compares. Raises `ValueError` when a counter differs."""
    with store.snapshot() as connection:
        if not store.is_sqlite:  # a million rows take longer than any other statement of ours
            connection.execute(text("SELECT set_config('statement_timeout', '0', true)"))
        differences = recount(connection)
        jobs = read_size(connection).jobs
    if differences:
        tables = ", ".join(f"{name} ({len(rows)} rows)" for name, rows in sorted(differences.items()))
        raise ValueError(f"counters differ from the rows in {tables}; report this with the output of `doctor --json`")
    return f"every counter equals a recount, over {jobs:,} jobs"
