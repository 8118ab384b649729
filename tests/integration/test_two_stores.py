"""Two stores on one broker: nothing of one is seen, counted or taken by the workers of the other."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from ops.bench.chaos.services import Broker, Workers
from ops.bench.processes import Standin, standin
from producer.client import JobClient
from tests.support.postgres import fresh_schema
from tests.support.scene import REPOSITORY
from tests.support.wait import DEADLINE_SECONDS, wait_until
from workers.budget.view import BudgetView
from workers.contract.job import JobSpec
from workers.contract.registry import builtin_registry
from workers.process.feeder import Feeder
from workers.publisher import KEY_PREFIX, Publisher
from workers.settings import load_settings
from workers.store import Store
from workers.store.feed import Feed
from workers.store.progress import read_progress
from workers.store.tables import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

FEED = Feed("bulk", "standin")
CALLS = 40


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[Store]]:
    opened = [Store.open(f"sqlite:///{tmp_path / name}.db") for name in "ab"]
    for store in opened:
        store.migrate()
    yield opened
    for store in opened:
        store.close()


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    publisher = Publisher.connect(load_settings(redis_url=broker.url, offline=True, window=30))
    yield publisher
    publisher.close()


def client_of(store: Store, publisher: Publisher) -> JobClient:
    return JobClient(store=store, publisher=publisher, registry=builtin_registry(), provider="standin")


def enqueue(store: Store, publisher: Publisher) -> None:
    specs = [JobSpec(id=f"{n}", prompt=f"{store.id} {n}", schema="feedback", model="standin") for n in range(CALLS)]
    client_of(store, publisher).enqueue(specs, name="batch", starts_carefully=False)


def fleet(store: Store, broker: Broker, provider: Standin, folder: Path) -> Workers:
    logs = folder / store.id / "logs"
    logs.mkdir(parents=True)
    environment = {
        "REDIS_URL": broker.url,
        "DATABASE_URL": store.engine.url.render_as_string(),
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": "sk-standin",
        "GRADEQUEUE_OFFLINE": "1",
        "GRADEQUEUE_FEEDER_PERIOD": "0.2",
        "GRADEQUEUE_DATA_DIR": str(folder / store.id),
        "PYTHONPATH": str(REPOSITORY),
    }
    return Workers(count=1, concurrency=8, queue="bulk", environment=environment, log_dir=logs)


def finished(store: Store) -> int:
    with store.snapshot() as connection:
        progress = read_progress(connection, "batch")
    return progress.finished if progress is not None else 0


def test_each_store_is_graded_by_its_own_workers_and_nothing_crosses(
    stores: list[Store], broker: Broker, publisher: Publisher, tmp_path: Path
):
    with standin("--latency-ms", "5") as provider:
        first, second = (fleet(store, broker, provider, tmp_path) for store in stores)
        first.start()
        try:
            for store in stores:
                enqueue(store, publisher)
            wait_until(lambda: finished(stores[0]) == CALLS, "the first store's jobs are done")
            assert finished(stores[1]) == 0, "its own workers have not started"
            second.start()
            wait_until(lambda: finished(stores[1]) == CALLS, "the second store's jobs are done")
        finally:
            stopped = [workers.stop(seconds=DEADLINE_SECONDS) for workers in (first, second)]
        stats = provider.stats()

    assert stopped == [True, True]
    assert stats["prompts_by_calls"] == {"1": 2 * CALLS}
    for store, other, workers in ((*stores, first), (*reversed(stores), second)):
        with other.snapshot() as connection:
            others_jobs = connection.execute(select(jobs.c.id)).scalars().all()
        logs = workers.logs().decode()
        assert not [job_id for job_id in others_jobs if job_id in logs], f"{store.id} received what was not its own"
        assert "messages_missing" not in logs
        assert "lost_its_memory" not in logs
    with broker.client() as connection:
        kept = [key.decode() for key in connection.scan_iter(f"{KEY_PREFIX}*") if b"unacked" in key]
    assert all(any(key.endswith(store.id) for store in stores) for key in kept), kept


def test_feeders_of_two_stores_count_their_own_messages_and_begin_their_own_epoch(
    stores: list[Store], publisher: Publisher
):
    feeders = [
        Feeder(store, publisher, holder=store.id, period_seconds=1, dead_after_seconds=30, countdown_grace_seconds=60)
        for store in stores
    ]
    for store in stores:
        enqueue(store, publisher)
    for _ in range(3):
        assert [feeder.round() for feeder in feeders] == [True, True]

    assert [publisher.queue_length(store, FEED) for store in stores] == [30, 30], "each has a whole window"
    assert len({publisher.epoch(store) for store in stores}) == 2


def test_two_stores_share_the_budget_of_one_account_on_purpose(
    stores: list[Store], broker: Broker, publisher: Publisher, tmp_path: Path
):
    with standin("--latency-ms", "5") as provider:
        fleets = [fleet(store, broker, provider, tmp_path) for store in stores]
        view = BudgetView.connect(broker.url, key_prefix=KEY_PREFIX)
        try:
            for store, workers in zip(stores, fleets, strict=True):
                workers.start()
                enqueue(store, publisher)
            wait_until(lambda: all(finished(store) == CALLS for store in stores), "all is done")
            assert [budget["model"] for budget in view.snapshot("standin") or ()] == ["standin"]
        finally:
            for workers in fleets:
                workers.stop(seconds=DEADLINE_SECONDS)
            view.close()


OPEN = "import sys; from workers.store import Store; s = Store.open(sys.argv[1]); s.migrate(); print(s.id)"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_all_who_open_a_new_store_at_once_agree_on_its_id(kind: str, tmp_path: Path):
    def open_it(url: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", OPEN, url], capture_output=True, text=True, check=True, cwd=REPOSITORY
        ).stdout.strip()

    def ids_of(url: str) -> set[str]:
        with ThreadPoolExecutor(4) as threads:
            return set(threads.map(open_it, [url] * 4))

    if kind == "sqlite":
        found = ids_of(f"sqlite:///{tmp_path / 'new.db'}")
    else:
        with fresh_schema() as url:
            found = ids_of(url)
    assert len(found) == 1
    assert len(found.pop()) == 12
