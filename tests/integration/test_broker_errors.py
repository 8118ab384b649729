"""A broker that answers, but with errors, is away: worker processes outlive it, and every job is graded afterwards."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
import redis

from producer.client import JobClient
from tests.support.scene import Scene, SharedScene, open_scene
from tests.support.wait import wait_until
from workers.broker.needs import NEEDS
from workers.contract.job import JobSpec
from workers.contract.registry import builtin_registry
from workers.publisher import Publisher
from workers.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from ops.bench.chaos.services import Broker
    from workers.store import Store

pytestmark = pytest.mark.integration

WORDS = "worker.waiting_for_broker"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedScene]:
    shared = SharedScene(tmp_path_factory.mktemp("scene"), GRADEQUEUE_BROKER_TIMEOUT="2")
    yield shared
    shared.close()


@pytest.fixture
def scene(shared: SharedScene) -> Iterator[Scene]:
    with shared.borrowed() as scene:
        yield scene


@contextmanager
def read_only(broker: Broker) -> Iterator[None]:
    """As after a failover: this server is the replica now."""
    with broker.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        yield
        client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def stale_replica(broker: Broker) -> Iterator[None]:
    """A replica that has lost its primary and may not even be read."""
    with broker.client() as client:
        client.config_set("replica-serve-stale-data", "no")
    with read_only(broker):
        yield


@contextmanager
def out_of_memory(broker: Broker) -> Iterator[None]:
    with broker.client() as client:
        client.config_set("maxmemory", "1")
        yield
        client.config_set("maxmemory", "0")


@contextmanager
def persistence_broken(broker: Broker) -> Iterator[None]:
    """MISCONF: the folder for its snapshots is gone."""
    with broker.client() as client, TemporaryDirectory() as outer:
        before, folder = client.config_get("dir")["dir"], Path(outer) / "snapshots"
        folder.mkdir()
        client.config_set("dir", str(folder))
        folder.rmdir()
        client.config_set("stop-writes-on-bgsave-error", "yes")
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot failed")
        yield
        client.config_set("save", "")
        client.config_set("dir", before)


@contextmanager
def not_permitted(broker: Broker) -> Iterator[None]:
    with broker.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-@scripting", "-@list", "-@hash", "-@pubsub")
        yield
        client.execute_command("ACL", "SETUSER", "default", "+@all")


@contextmanager
def busy(broker: Broker) -> Iterator[None]:
    """Somebody's script runs and runs."""

    def run() -> None:
        with broker.client() as looping, suppress(redis.RedisError):
            looping.connection_pool.connection_kwargs["socket_timeout"] = 60
            looping.eval("while true do end", 0)

    with broker.client() as client:
        client.config_set("busy-reply-threshold", "50")
        script = threading.Thread(target=run)
        script.start()
        yield
        client.execute_command("SCRIPT", "KILL")
        script.join()


FAULTS = [read_only, stale_replica, out_of_memory, persistence_broken, not_permitted, busy]


@pytest.mark.parametrize("fault", FAULTS)
def test_calls_in_flight_go_on_and_every_job_is_graded_once_the_error_is_lifted(
    scene: Scene, fault: Callable[[Broker], AbstractContextManager[None]]
):
    name, said_before = fault.__name__, scene.workers.logs().decode().count(WORDS)
    scene.enqueue(36, name)
    [pid] = scene.workers.pids
    scene.wait_for(name, lambda progress: progress.running >= 10 and progress.succeeded >= 5, "the worker is busy")
    with fault(scene.broker):
        wait_until(lambda: not scene.provider.stats()["in_flight"], "every call that was sent is answered")
        wait_until(lambda: scene.workers.logs().decode().count(WORDS) > said_before, "it waits, and says so")
        assert scene.workers.pids == [pid], "the process lives while the error lasts"
    progress = scene.wait_for(name, lambda progress: progress.is_finished, "all is done")

    assert progress.succeeded == 36
    assert scene.workers.pids == [pid], "the process lived through it"
    assert progress.attempts == {"answered": 36}


def test_a_worker_that_starts_while_the_broker_refuses_waits_and_then_works(store: Store, tmp_path: Path):
    with open_scene(store, tmp_path, GRADEQUEUE_BROKER_TIMEOUT="2") as scene:
        assert scene.workers.stop()
        with out_of_memory(scene.broker):
            scene.workers.start()
            wait_until(lambda: WORDS in scene.workers.logs().decode(), "it waits, and says so")
            [pid] = scene.workers.pids
            scene.enqueue(3, "b")
        scene.wait_for("b", lambda progress: progress.is_finished, "all is done")
        assert scene.workers.pids == [pid]


def test_a_worker_that_waits_for_its_broker_stops_when_asked(store: Store, tmp_path: Path):
    with open_scene(store, tmp_path, GRADEQUEUE_BROKER_TIMEOUT="2") as scene, read_only(scene.broker):
        wait_until(lambda: WORDS in scene.workers.logs().decode(), "it waits, and says so")
        assert scene.workers.stop(), "SIGTERM was enough"


def test_the_rights_that_doctor_names_are_the_rights_that_a_worker_needs(store: Store, tmp_path: Path):
    with open_scene(store, tmp_path) as scene:
        assert scene.workers.stop()
        with scene.broker.client() as client:
            client.execute_command("ACL", "SETUSER", "grader", "on", ">secret", "+ping")
        url = f"redis://grader:secret@127.0.0.1:{scene.broker.port}/0"
        publisher = Publisher.connect(load_settings(redis_url=url))
        refused = publisher.refusals()
        assert len(refused) == len(NEEDS)
        assert all("grant it with: ACL SETUSER grader +" in sentence for sentence in refused)
        with scene.broker.client() as client:
            for sentence in refused:
                client.execute_command(*sentence.partition("grant it with: ")[2].split())
        assert publisher.refusals() == []
        publisher.close()

        scene.workers.environment = {**scene.workers.environment, "REDIS_URL": url}
        scene.workers.start()
        scene.enqueue(6, "b")
        scene.wait_for("b", lambda progress: progress.is_finished, "all is done")
        assert "NOPERM" not in scene.workers.logs().decode()
        assert "permission" not in scene.workers.logs().decode()


def test_an_enqueue_while_the_broker_refuses_is_committed_and_the_log_says_why(
    store: Store, broker: Broker, caplog: pytest.LogCaptureFixture
):
    publisher = Publisher.connect(load_settings(redis_url=broker.url, offline=True))
    client = JobClient(store=store, publisher=publisher, registry=builtin_registry(), provider="standin")
    publisher.begin_epoch(store)
    spec = JobSpec(id="a", prompt="text-of-a-student", schema="feedback", model="m")
    try:
        for fault in (read_only, out_of_memory):
            with fault(broker):
                assert client.enqueue([spec], name=fault.__name__).new == 1
    finally:
        publisher.close()

    said = [record.getMessage() for record in caplog.records if "enqueue.not_published" in record.getMessage()]
    assert len(said) == 2
    assert "read-only replica" in said[0]
    assert "out of memory" in said[1]
    assert "text-of-a-student" not in caplog.text
