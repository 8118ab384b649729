"""How much room a store takes, and how much of it a job. Read-only, and costs the same for any number of jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from workers.store.sql import is_sqlite
from workers.store.tables import metadata
from workers.store.tallies import job_tallies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSize:
    """Bytes on disk, indexes included, and the jobs they are for."""

    jobs: int
    total_bytes: int
    """Of the file, or of all tables of ours."""
    by_table: Mapping[str, int] = field(default_factory=dict)
    """The largest first; empty on SQLite, which does not say."""

    @property
    def bytes_per_job(self) -> float | None:
        """None without a job."""
        return self.total_bytes / self.jobs if self.jobs else None


def read_size(connection: Connection) -> StoreSize:
    """What the store takes now; the room of rows that were removed is part of it until the database reuses it."""
    jobs = int(connection.execute(select(func.sum(job_tallies.c.jobs))).scalar() or 0)
    if is_sqlite(connection):
        pages = connection.execute(text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"))
        return StoreSize(jobs=jobs, total_bytes=pages.scalar_one())
    sizes = {
        table.name: connection.execute(select(func.pg_total_relation_size(table.name))).scalar_one()
        for table in metadata.sorted_tables
    }
    largest_first = dict(sorted(sizes.items(), key=lambda each: -each[1]))
    return StoreSize(jobs=jobs, total_bytes=sum(sizes.values()), by_table=largest_first)
