"""The project's own worker process, stopped and interrupted in every way: no call is made twice, no answer is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ops.bench.processes import Standin, standin
from producer.client import JobClient
from producer.local.embedded import EmbeddedBroker, Services
from producer.local.processes import STANDIN_KEY, worker_command, worker_environment
from tests.support.store_id import STORE_ID, queue_key
from tests.support.wait import DEADLINE_SECONDS, wait_until
from workers.contract.job import JobSpec
from workers.contract.registry import builtin_registry
from workers.contract.wire import celery_id
from workers.publisher import KEY_PREFIX, Publisher, new_celery, new_redis, unacked_keys
from workers.settings import Settings, load_settings
from workers.store.progress import Progress, read_progress
from workers.store.results import read_results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

    from workers.store import Store

pytestmark = pytest.mark.integration

BATCH = "batch"
PROVIDER_QUEUE = queue_key("bulk", "standin")
PERIODS = {"GRADEQUEUE_HEARTBEAT": "0.3", "GRADEQUEUE_DEAD_AFTER": "30", "GRADEQUEUE_FEEDER_PERIOD": "0.2"}


@dataclass
class Scene:
    """A provider that counts, a broker, a store, and worker processes."""

    folder: Path
    provider: Standin
    broker: EmbeddedBroker
    redis: Redis
    store: Store
    client: JobClient
    settings: Settings
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self, *, concurrency: int) -> subprocess.Popen[bytes]:
        number = len(self.processes) + 1
        log_file = self.folder / f"worker-{number}.log"
        command = worker_command(queue="bulk", name=f"w{number}", concurrency=concurrency, log_file=log_file)
        services = Services(self.broker.url, self.store.engine.url.render_as_string(), None)
        environment = worker_environment(self.settings, services) | PERIODS | {"GRADEQUEUE_EXIT_WITH_STDIN": ""}
        with (self.folder / f"worker-{number}.out").open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=self.folder)
        self.processes.append(process)
        return process

    def start_knowing_worker(
        self, *, concurrency: int, rpm: int = 600_000, slice_seconds: float = 60.0
    ) -> subprocess.Popen[bytes]:
        """A worker that has had its first answer, and with it the provider's limits.

        Where none are named, the calls in flight are bounded by how long this answer took, and the machine may be busy.
        """
        self.provider.configure(rpm=rpm, slice_seconds=slice_seconds)
        worker = self.start_worker(concurrency=concurrency)
        self.enqueue(1, name="first")
        self.wait_until(lambda: self.progress("first").is_finished and not self.unacked, "the first answer is here")
        self.provider.reset()
        return worker

    def enqueue(self, count: int, *, name: str = BATCH) -> None:
        specs = [
            JobSpec(id=f"j{n:04d}", prompt=f"grade {n}", schema="feedback", model="gpt-4o-mini") for n in range(count)
        ]
        self.client.enqueue(specs, name=name, starts_carefully=False)

    def progress(self, name: str = BATCH) -> Progress:
        with self.store.snapshot() as connection:
            progress = read_progress(connection, name)
        assert progress is not None
        return progress

    def job_ids(self) -> list[str]:
        with self.store.snapshot() as connection:
            return [row.job_id for row in read_results(connection, BATCH)]

    @property
    def in_flight(self) -> int:
        return int(self.provider.stats()["in_flight"])

    @property
    def queued(self) -> int:
        return int(self.redis.llen(PROVIDER_QUEUE))

    @property
    def unacked(self) -> int:
        return int(self.redis.hlen(KEY_PREFIX + unacked_keys(STORE_ID)["unacked_key"]))

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, lambda: f"{what}\n{self.provider.stats()}\n{self.logs()[-4000:]}")

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("worker-*")))


@pytest.fixture
def scene(tmp_path: Path, store: Store) -> Iterator[Scene]:
    broker = EmbeddedBroker.join(tmp_path)
    with standin("--latency-ms", "10") as provider:
        settings = load_settings(
            offline=True,
            openai_base_url=provider.base_url,
            openai_api_key=STANDIN_KEY,
            redis_url=broker.url,
            data_dir=tmp_path,
        )
        publisher = Publisher.connect(settings)
        client = JobClient(store=store, publisher=publisher, registry=builtin_registry(), provider="standin")
        redis = new_redis(broker.url)
        scene = Scene(tmp_path, provider, broker, redis, store, client, settings)
        yield scene
        for process in scene.processes:
            process.kill()
            process.wait()
        publisher.close()
        redis.close()
    broker.leave()


def test_sigterm_during_200_calls_finishes_stores_and_acks_them_all(scene: Scene):
    worker = scene.start_knowing_worker(concurrency=200)
    scene.provider.configure(answers=False)
    scene.enqueue(300)
    scene.wait_until(lambda: scene.in_flight == 200, "200 calls are in flight")

    worker.send_signal(signal.SIGTERM)
    scene.wait_until(lambda: "Warm shutdown" in scene.logs(), "the worker stops")
    scene.provider.configure(answers=True)

    assert worker.wait(DEADLINE_SECONDS) == 0
    progress, stats = scene.progress(), scene.provider.stats()
    assert progress.running == 0
    assert progress.succeeded == stats["received"] == stats["answered"] >= 200
    assert progress.attempts == {"answered": progress.succeeded}
    assert stats["prompts_by_calls"] == {"1": progress.succeeded}
    assert (stats["disconnected"], scene.unacked) == (0, 0)
    assert scene.queued == 300 - progress.succeeded


def test_sigterm_sends_those_who_wait_for_a_low_limit_back_at_once(scene: Scene):
    worker = scene.start_knowing_worker(concurrency=50, rpm=6, slice_seconds=10)
    scene.enqueue(50)
    scene.wait_until(lambda: scene.progress().running == 50, "all wait in line")

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(DEADLINE_SECONDS) == 0, "fifty jobs at six a minute would be eight minutes"
    progress, stats = scene.progress(), scene.provider.stats()
    assert (progress.running, progress.failed, scene.unacked) == (0, 0, 0)
    assert progress.attempts.get("unknown", 0) == 0
    assert progress.succeeded == stats["answered"] <= 2


def test_sigquit_during_200_calls_frees_every_claim_and_then_returns_every_message(scene: Scene):
    worker = scene.start_knowing_worker(concurrency=200)
    scene.provider.configure(answers=False)
    scene.enqueue(200)
    scene.wait_until(lambda: scene.in_flight == 200, "200 calls are in flight")
    assert (scene.queued, scene.unacked) == (0, 200)

    asked_at = time.monotonic()
    worker.send_signal(signal.SIGQUIT)
    scene.wait_until(lambda: scene.queued, "the first message is back")
    assert scene.progress().running == 0, "claims are free before messages return, or the messages would be dropped"
    scene.wait_until(lambda: scene.queued >= 200 and scene.unacked == 0, "all of them are back")
    seconds = time.monotonic() - asked_at

    print(f"200 messages were back {seconds:.2f} s after SIGQUIT")  # noqa: T201 - two are asked for; pytest -s shows it
    worker.wait(DEADLINE_SECONDS)
    stats = scene.provider.stats()
    assert (stats["disconnected"], stats["answered"]) == (200, 0), "no answer was waited for"


def test_what_sigquit_gave_back_another_worker_finishes(scene: Scene):
    first = scene.start_knowing_worker(concurrency=50)
    scene.provider.configure(latency_ms="120000")
    scene.enqueue(50)
    scene.wait_until(lambda: scene.in_flight == 50, "50 calls are in flight")

    first.send_signal(signal.SIGQUIT)
    first.wait(DEADLINE_SECONDS)
    scene.provider.configure(latency_ms="10")
    scene.start_worker(concurrency=50)
    scene.wait_until(lambda: scene.progress().is_finished, "all is done")

    progress = scene.progress()
    assert progress.succeeded == 50
    assert progress.attempts == {"answered": 50, "unknown": 50}
    scene.wait_until(lambda: (scene.queued, scene.unacked) == (0, 0), "the second messages are dropped")


def test_a_broker_killed_and_restarted_during_100_calls_costs_no_call(scene: Scene):
    worker = scene.start_knowing_worker(concurrency=100)
    scene.provider.configure(answers=False)
    scene.enqueue(130)
    scene.wait_until(lambda: scene.in_flight == 100, "100 calls are in flight")

    os.kill(int((scene.folder / "broker.pid").read_text()), signal.SIGKILL)
    scene.wait_until(lambda: "Connection to broker lost" in scene.logs(), "the loss is noticed")
    assert scene.in_flight == 100, "calls go on without a broker"
    assert scene.broker.restart_if_dead()
    scene.provider.configure(answers=True)
    scene.wait_until(lambda: scene.progress().is_finished, "all is done")

    stats = scene.provider.stats()
    assert worker.poll() is None
    assert scene.progress().attempts == {"answered": 130}
    assert stats["prompts_by_calls"] == {"1": 130}


def test_cancelling_running_jobs_closes_their_http_requests(scene: Scene):
    scene.start_knowing_worker(concurrency=10)
    scene.provider.configure(latency_ms="120000")
    scene.enqueue(20)
    scene.wait_until(lambda: scene.in_flight == 10, "10 calls are in flight")

    scene.client.batch(BATCH).cancel()
    scene.wait_until(lambda: scene.progress().is_finished, "all have ended")

    stats = scene.provider.stats()
    assert (stats["disconnected"], stats["in_flight"], stats["received"]) == (10, 0, 10)
    assert scene.progress().failed == 20
    scene.wait_until(lambda: scene.unacked == 0, "the messages are acked")


def test_revoking_a_running_message_closes_its_http_request_and_the_job_comes_again(scene: Scene):
    scene.start_knowing_worker(concurrency=5)
    scene.provider.configure(latency_ms="120000")
    scene.enqueue(2)
    scene.wait_until(lambda: scene.in_flight == 2, "both calls are in flight")
    scene.provider.configure(latency_ms="10")

    app = new_celery(scene.broker.url)
    app.control.revoke(celery_id(scene.job_ids()[0], 1), terminate=True)
    scene.wait_until(lambda: scene.progress().succeeded == 1, "the job comes again")
    app.close()

    stats = scene.provider.stats()
    assert (stats["disconnected"], stats["in_flight"], stats["received"]) == (1, 1, 3)


def test_a_rolling_restart_repeats_no_call(scene: Scene):
    workers = [scene.start_knowing_worker(concurrency=8), scene.start_worker(concurrency=8)]
    scene.provider.configure(answers=False, latency_ms="300-700")
    scene.enqueue(160)
    scene.wait_until(lambda: scene.in_flight == 16, "both are busy")
    scene.provider.configure(answers=True)

    for worker in workers:
        successor = scene.start_worker(concurrency=8)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(DEADLINE_SECONDS) == 0
        assert successor.poll() is None
    scene.wait_until(lambda: scene.progress().is_finished, "all is done")

    assert scene.progress().attempts == {"answered": 160}
    assert scene.provider.stats()["prompts_by_calls"] == {"1": 160}


def test_a_job_is_one_line_of_the_log_that_carries_job_and_attempt(scene: Scene):
    scene.enqueue(3)
    scene.start_worker(concurrency=5)
    scene.wait_until(lambda: scene.progress().is_finished and scene.unacked == 0, "all is done")

    lines = scene.logs().splitlines()
    for job_id in scene.job_ids():
        [mine] = [line for line in lines if job_id in line]
        assert "job.finished" in mine
        assert f"[job={job_id} attempt=" in mine


def test_inspect_tells_what_the_worker_holds(scene: Scene):
    scene.start_knowing_worker(concurrency=5)
    scene.provider.configure(latency_ms="120000")
    scene.enqueue(3)
    scene.wait_until(lambda: scene.in_flight == 3, "the calls are in flight")

    app = new_celery(scene.broker.url)
    inspect: Any = app.control.inspect(timeout=30, limit=1)
    [active], [stats] = inspect.active().values(), inspect.stats().values()
    app.close()

    assert {request["id"] for request in active} == {celery_id(job_id, 1) for job_id in scene.job_ids()}
    assert stats["pool"]["in-flight"] == 3
