"""Workers whose settings name different spend caps per day are found, and said to whoever may correct it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.batch import Batch
from producer.terminal.notices import day_cap_notices
from tests.store.steps import enqueue, move_clock
from workers.store.liveness import mark_stopped, register_worker
from workers.store.worker_reports import day_caps_kept

if TYPE_CHECKING:
    from workers.store import Store


def register(store: Store, worker: str, usd: float | None, *, provider: str | None = "p") -> None:
    store.run(
        lambda connection: register_worker(
            connection, worker_id=worker, hostname="h", pid=1, queues="bulk", provider=provider, max_usd_per_day=usd
        )
    )


def kept(store: Store) -> dict[str, dict[float | None, int]]:
    with store.snapshot() as connection:
        return day_caps_kept(connection)


def test_living_workers_are_counted_by_the_cap_that_they_keep(store: Store):
    register(store, "silent", 1.0)
    move_clock(store, "workers", "heartbeat_at", 60)
    register(store, "stopped", 2.0)
    store.run(lambda connection: mark_stopped(connection, worker_id="stopped"))
    register(store, "older release", None, provider=None)
    for number, usd in enumerate((None, 5.0, 4.0, 5.0)):
        register(store, f"w{number}", usd)
    register(store, "elsewhere", 7.0, provider="q")

    found = kept(store)
    assert found == {"p": {4.0: 1, 5.0: 2, None: 1}, "q": {7.0: 1}}
    [notice] = day_cap_notices(found)
    assert notice.startswith("workers of p keep different spend caps per day (1 process $4.0000, 2 processes $5.0000, ")
    assert "1 process no cap" in notice


def test_a_run_whose_workers_would_keep_another_cap_says_so(store: Store):
    enqueue(store, 1)
    batch = Batch(store, "b")
    assert batch.day_cap_notices(joining_usd=5.0) == [], "nobody else works"
    register(store, "w", 5.0)
    assert batch.day_cap_notices(joining_usd=5.0) == []
    [notice] = batch.day_cap_notices(joining_usd=None)
    assert "1 process $5.0000, 1 process no cap" in notice
