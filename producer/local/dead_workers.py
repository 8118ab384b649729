"""A worker process of ours has ended: its jobs wait again at once, not only when its heartbeat has stood still.

A parent learns the end of its process from the system; all others have the heartbeat. Answers that it spooled are
stored first, so that their jobs are not paid for again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.contract.errors import ServiceUnavailable
from workers.store import Store
from workers.store.liveness import declare_dead
from workers.store.spool import take_up

if TYPE_CHECKING:
    from pathlib import Path

MOST_FREED = 500
"""Claims in one transaction, which others wait for."""


def free_jobs_of(worker_id: str, *, database_url: str, data_dir: Path) -> int:
    """Give back what this worker held, which has ended; returns how many jobs it held.

    While the store is away nothing happens: the heartbeat says it later. What somebody else has locked waits for that
    too.
    """
    held = 0
    try:
        store = Store.open(database_url)
        try:
            take_up(data_dir, store, kept_too=False)
            while taken := store.run(lambda connection: declare_dead(connection, worker_id, at_most=MOST_FREED)):
                held += taken
        finally:
            store.close()
    except ServiceUnavailable:
        return held
    return held
