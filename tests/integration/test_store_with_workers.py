"""The store and real worker processes: cancel reaches calls in flight; paid answers outlive a store that is away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ops.bench.chaos.services import Cluster, cluster
from tests.support.scene import Scene, open_scene
from tests.support.store_id import give_known_id, queue_key
from tests.support.wait import DEADLINE_SECONDS, wait_until
from workers.store import Store
from workers.store.steering import cancel_batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

MARKER = "XMARKERX"


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    if not Cluster.is_possible():
        pytest.skip("PostgreSQL is not installed here")
    with cluster() as made:
        yield made


@pytest.fixture
def cluster_store(own_cluster: Cluster) -> Iterator[Store]:
    store = Store.open(own_cluster.url)
    store.migrate()
    give_known_id(store)
    yield store
    store.close()


def is_busy(scene: Scene) -> bool:
    in_flight: int = scene.provider.stats()["in_flight"]
    return in_flight >= 12


def test_a_cancelled_batch_ends_within_a_heartbeat_and_its_calls_are_closed(store: Store, tmp_path: Path):
    with open_scene(store, tmp_path, latency_ms="60000") as scene:
        scene.enqueue(40, "b")
        scene.wait_for("b", lambda _progress: is_busy(scene), "calls are in flight")
        cancelled, asked = cancel_batch(store, "b")
        progress = scene.wait_for("b", lambda progress: progress.is_finished, "all has ended")
        wait_until(lambda: scene.provider.stats()["in_flight"] == 0, "no call is in flight")

        assert (cancelled, asked) == (28, 12)
        assert {str(kind): count for kind, count in progress.failures.items()} == {"cancelled": 40}
        assert progress.attempts == {"unknown": 12}
        assert scene.provider.stats()["answered"] == 0
        assert len(scene.workers.pids) == 1
        scene.provider.configure(latency_ms="10")
        scene.enqueue(5, "c")
        scene.wait_for("c", lambda progress: progress.succeeded == 5, "the slots are free again")


def test_paid_answers_wait_out_a_crash_of_the_store(own_cluster: Cluster, cluster_store: Store, tmp_path: Path):
    with open_scene(cluster_store, tmp_path, latency_ms="5") as scene:
        scene.begin_calls(12, "b")
        own_cluster.crash()
        scene.answer(12)
        own_cluster.start()
        progress = scene.wait_for("b", lambda progress: progress.is_finished, "every answer is stored")

        assert progress.attempts == {"answered": 12}
        assert progress.succeeded == 12


def test_a_worker_that_stops_while_the_store_is_away_spools_its_paid_answers_for_the_next_one(
    own_cluster: Cluster, cluster_store: Store, tmp_path: Path
):
    with open_scene(cluster_store, tmp_path, latency_ms="5", GRADEQUEUE_STORE_PATIENCE="2") as scene:
        scene.begin_calls(12, "b", prompt=MARKER)
        own_cluster.crash()
        scene.answer(12)
        assert scene.workers.stop(seconds=DEADLINE_SECONDS), "it stops in order, without the store"

        [file] = list((tmp_path / "spool").rglob("*.jsonl"))
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert len(lines) == 12
        assert all(line["outcome"]["result"] for line in lines)
        assert file.stat().st_mode & 0o777 == 0o600
        assert MARKER not in file.read_text()
        with scene.broker.client() as client:
            assert client.exists(queue_key("bulk", "standin")), "unstored, the messages went back"

        own_cluster.start()
        scene.workers.start()
        progress = scene.wait_for("b", lambda progress: progress.is_finished, "they were taken up")
        wait_until(lambda: not file.exists(), "the file is gone")
        assert progress.attempts == {"answered": 12}
        assert scene.provider.stats()["received"] == 12, "nothing was paid for twice"


def test_two_workers_that_start_at_once_take_the_spool_up_once(
    own_cluster: Cluster, cluster_store: Store, tmp_path: Path
):
    with open_scene(cluster_store, tmp_path, latency_ms="5", GRADEQUEUE_STORE_PATIENCE="1") as scene:
        scene.begin_calls(12, "b")
        own_cluster.crash()
        scene.answer(12)
        scene.workers.stop(seconds=DEADLINE_SECONDS)
        own_cluster.start()
        scene.workers.count = 2
        scene.workers.start()
        scene.wait_for("b", lambda progress: progress.is_finished, "they were taken up")
        wait_until(lambda: len(scene.workers.pids) == 2 and scene.workers.logs().count(b"ready.") >= 3, "both run")

        assert scene.workers.logs().count(b"spool.taken_up") == 1
        left = [path.read_bytes().strip(b"\0") for path in (tmp_path / "spool").rglob("*.*")]
        assert left == [b"", b""], "each of the two has reserved its room again, and nothing else is there"
