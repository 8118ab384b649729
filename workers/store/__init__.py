"""The SQL store: the truth about batches, jobs, attempts and outcomes. Knows no broker and no provider.

Each file is one conversation with it. Filling it: `enqueue`, `twins`, `steering` (cancel, retry). Working: `feed` (what
should be in the broker), `claims` (a worker's hold on a job), `ledger` (attempts and outcomes), `job_update`, `writer`
(many coroutines, one transaction), `spool` (paid answers while it is away). Liveness: `liveness`, `leases`, `parks`.
Reading: `overviews`, `progress`, `results`, `history`, `worker_reports`. By people: `decisions`. Below all: `tables`,
`sql`, `engine`, `migrations`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.store.engine import Store

__all__ = ["Store"]


def __getattr__(name: str) -> object:
    """`Store` on demand: to look whether there is anything in a store needs no SQLAlchemy (see `untouched`)."""
    if name != "Store":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from workers.store.engine import Store  # noqa: PLC0415 - see above

    return Store
