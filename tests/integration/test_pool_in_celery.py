"""The pool inside a real Celery worker process: time limits, revoke, inspect, the three ways to stop, a lost broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from producer.local.embedded import EmbeddedBroker
from tests.support.wait import DEADLINE_SECONDS, wait_until
from workers.publisher import KEY_PREFIX, new_celery, new_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
QUEUE = KEY_PREFIX + "pool"
UNACKED = KEY_PREFIX + "unacked"


@dataclass
class Scene:
    """A broker, a worker process, and a line to each."""

    folder: Path
    broker: EmbeddedBroker
    redis: Redis
    app: Any
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self, *, concurrency: int = 4, soft_seconds: float = 0.0) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "celery", "-A", "tests.integration.pool_app:app", "worker", "--queues", "pool",
            "--concurrency", str(concurrency), "--without-gossip", "--without-mingle", "--loglevel", "INFO", "-E",
        ]  # fmt: skip
        environment = os.environ | {
            "REDIS_URL": self.broker.url,
            "POOL_EVENTS": str(self.folder / "events"),
            "POOL_GATE": str(self.folder / "gate"),
            "POOL_SOFT_SECONDS": str(soft_seconds),
        }
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=REPOSITORY)
        self.processes.append(process)
        return process

    def send(self, name: str, task: str = "hold", **options: Any) -> str:
        task_id: str = self.app.send_task(task, args=(name,) if name else (), queue="pool", **options).id
        return task_id

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    def events(self) -> list[str]:
        file = self.folder / "events"
        return file.read_text().splitlines() if file.exists() else []

    def wait_for(self, *events: str) -> None:
        self.wait_until(lambda: set(events) <= set(self.events()), f"{events} happen")

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, lambda: f"{what}\n{self.events()}\n{self.log()[-4000:]}")

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()

    @property
    def queued(self) -> int:
        return int(self.redis.llen(QUEUE))

    @property
    def unacked(self) -> int:
        return int(self.redis.hlen(UNACKED))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    broker = EmbeddedBroker.join(tmp_path)
    app = new_celery(broker.url)
    redis = new_redis(broker.url)
    scene = Scene(tmp_path, broker, redis, app)
    yield scene
    scene.open_gate()
    for process in scene.processes:
        process.kill()
        process.wait()
    app.close()
    redis.close()
    broker.leave()


def test_tasks_run_side_by_side_with_their_request_where_celery_looks_for_it(scene: Scene):
    scene.start_worker(concurrency=3)
    ids = {name: scene.send(name) for name in "abc"}
    scene.wait_for("began a", "began b", "began c")
    scene.open_gate()
    scene.wait_until(lambda: scene.unacked == 0, "all are acked")

    assert {f"request {name} {task_id}" for name, task_id in ids.items()} <= set(scene.events())
    assert scene.queued == 0


def test_no_more_than_the_concurrency_are_taken_from_the_queue(scene: Scene):
    scene.start_worker(concurrency=2)
    for name in "abcd":
        scene.send(name)
    scene.wait_for("began a", "began b")

    scene.wait_until(lambda: scene.queued == 2, "the others wait in the queue")
    scene.open_gate()
    scene.wait_for("ended c", "ended d")


def test_inspect_shows_what_is_active_and_how_full_the_pool_is(scene: Scene):
    scene.start_worker(concurrency=3)
    ids = {scene.send(name) for name in "ab"}
    scene.wait_for("began a", "began b")

    inspect = scene.app.control.inspect(timeout=30, limit=1)
    [active] = inspect.active().values()
    [stats] = inspect.stats().values()

    assert {request["id"] for request in active} == ids
    assert len({request["worker_pid"] for request in active}) == 2, "each job has a pid of its own"
    assert stats["pool"]["implementation"] == "workers.process.celery_pool:TaskPool"
    assert (stats["pool"]["in-flight"], stats["pool"]["max-concurrency"]) == (2, 3)


def test_a_soft_time_limit_cancels_the_coroutine(scene: Scene):
    scene.start_worker()
    scene.send("a", soft_time_limit=0.2)

    scene.wait_for("cancelled a", "SoftTimeLimitExceeded a")
    scene.wait_until(lambda: scene.unacked == 0, "its message is acked")


def test_a_hard_time_limit_frees_the_slot_though_the_coroutine_goes_on(scene: Scene):
    scene.start_worker(concurrency=1)
    scene.send("stuck", "ignore_cancellation", time_limit=0.2)
    scene.send("next")

    scene.wait_for("began next")
    assert "ended stuck" not in scene.events()
    [active] = scene.app.control.inspect(timeout=30, limit=1).active().values()
    assert [request["args"] for request in active] == [["next"]]


def test_revoke_terminate_cancels_a_running_task_and_only_that(scene: Scene):
    scene.start_worker()
    victim, _other = scene.send("a"), scene.send("b")
    scene.wait_for("began a", "began b")

    scene.app.control.revoke(victim, terminate=True)
    scene.wait_for("cancelled a", "Terminated a")
    scene.open_gate()
    scene.wait_for("ended b")
    scene.wait_until(lambda: scene.unacked == 0, "both are acked")


def test_a_cancellation_by_nobody_leaves_no_slot_occupied(scene: Scene):
    scene.start_worker(concurrency=1)
    scene.send("", "cancel_itself")
    scene.send("a")

    scene.wait_for("began a")


def test_sigterm_finishes_and_acks_what_is_in_flight_and_leaves_the_rest(scene: Scene):
    worker = scene.start_worker(concurrency=2)
    for name in "abc":
        scene.send(name)
    scene.wait_for("began a", "began b")

    worker.send_signal(signal.SIGTERM)
    scene.wait_until(lambda: "Warm shutdown" in scene.log(), "the worker stops")
    scene.open_gate()

    assert worker.wait(DEADLINE_SECONDS) == 0
    assert {"ended a", "ended b"} <= set(scene.events())
    assert "began c" not in scene.events()
    assert scene.events()[-1] == "close"
    assert (scene.queued, scene.unacked) == (1, 0)


def test_sigquit_gives_messages_back_and_services_close_first(scene: Scene):
    worker = scene.start_worker(concurrency=2)
    for name in "abc":
        scene.send(name)
    scene.wait_for("began a", "began b")

    worker.send_signal(signal.SIGQUIT)
    worker.wait(DEADLINE_SECONDS)

    assert {"cancelled a", "cancelled b", "Ignore a", "Ignore b"} <= set(scene.events())
    assert scene.events()[-1] == "close"
    assert (scene.queued, scene.unacked) == (3, 0)


def test_sigquit_ends_the_wait_of_a_sigterm(scene: Scene):
    worker = scene.start_worker()
    scene.send("a")
    scene.wait_for("began a")

    worker.send_signal(signal.SIGTERM)
    scene.wait_until(lambda: "Warm shutdown" in scene.log(), "the worker stops")
    worker.send_signal(signal.SIGQUIT)
    worker.wait(DEADLINE_SECONDS)

    assert "cancelled a" in scene.events()
    assert (scene.queued, scene.unacked) == (1, 0)


def test_within_the_soft_limit_what_ends_is_acked_and_the_worker_stops_when_all_has(scene: Scene):
    worker = scene.start_worker(soft_seconds=600)
    scene.send("a")
    scene.wait_for("began a")

    worker.send_signal(signal.SIGQUIT)
    scene.wait_until(lambda: "Cold shutdown" in scene.log(), "the worker stops")
    scene.open_gate()
    worker.wait(DEADLINE_SECONDS)

    assert "ended a" in scene.events()
    assert (scene.queued, scene.unacked) == (0, 0)


def test_after_the_soft_limit_what_has_not_ended_goes_back(scene: Scene):
    worker = scene.start_worker(soft_seconds=0.5)
    scene.send("a")
    scene.wait_for("began a")

    worker.send_signal(signal.SIGQUIT)
    worker.wait(DEADLINE_SECONDS)

    assert "cancelled a" in scene.events()
    assert (scene.queued, scene.unacked) == (1, 0)


def test_a_killed_broker_interrupts_no_coroutine_and_the_worker_takes_work_again(scene: Scene):
    scene.start_worker(concurrency=3)
    scene.send("a")
    scene.wait_for("began a")

    pid = int((scene.folder / "broker.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    scene.wait_until(lambda: "retrying" in scene.log() or "Trying again" in scene.log(), "the loss is noticed")
    scene.open_gate()
    scene.wait_for("ended a")
    assert scene.broker.restart_if_dead()
    scene.send("b")
    scene.wait_for("ended b")

    assert scene.processes[0].poll() is None
    assert "cancelled a" not in scene.events()


def test_task_events_of_the_last_jobs_are_sent_before_the_worker_goes(scene: Scene):
    worker = scene.start_worker(concurrency=2)
    succeeded: list[str] = []
    ids = {scene.send(name) for name in "ab"}
    scene.wait_for("began a", "began b")

    with scene.app.connection_for_read() as connection:
        receiver = scene.app.events.Receiver(
            connection, handlers={"task-succeeded": lambda event: succeeded.append(event["uuid"])}
        )
        with receiver.consumer_context() as (own, _channel, _consumers):
            _drain(own)  # subscribes
            worker.send_signal(signal.SIGTERM)
            scene.wait_until(lambda: "Warm shutdown" in scene.log(), "the worker stops")
            scene.open_gate()
            worker.wait(DEADLINE_SECONDS)
            scene.wait_until(lambda: _drain(own) or set(succeeded) == ids, "the events arrive")


def _drain(connection: Any) -> None:
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.2)
