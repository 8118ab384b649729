"""Chaos: workers killed, broker killed and emptied, store restarted, provider resets and hangs, while jobs flow.

Every few seconds a random worker is killed with many calls in flight; broker and store go once each. Afterwards the
books are read: no job lost, no outcome overwritten, no call that is not in the ledger, and a marker that stands in
every prompt is found nowhere but in the store.
"""

from __future__ import annotations

import math
import os
import random
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from ops.bench.chaos.audit import Books, Witness, open_calls, read_books
from ops.bench.chaos.services import Broker, Cluster, Workers
from ops.bench.chaos.setting import Setting
from ops.bench.processes import REPOSITORY, Standin, standin, wait_until
from producer.client import JobClient
from workers.contract.errors import ServiceUnavailable
from workers.contract.job import JobParameters, JobSpec
from workers.contract.registry import builtin_registry
from workers.publisher import Publisher
from workers.settings import load_settings
from workers.store import Store
from workers.store.tables import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARKER = "XCHAOSMARKERX"
"""Stands in every prompt."""
PROVIDER = "standin"
PLENTY = "60000"
"""Requests a minute: a provider that names no limit is approached in steps, and kills want many calls at once."""
MOST_LONGER = 5  # times the planned duration, until enough workers were killed
FAULTS = ("reset_before=0.02", "reset_body=0.01", "hang=0.01", "server_error=0.02")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to happen. Seconds, but for counts."""

    duration: float = 60.0
    kill_period: float = 5.0
    least_in_flight: int = 50
    """Calls at the provider when a worker is killed."""
    workers: int = 3
    concurrency: int = 40
    latency_ms: str = "2000-8000"
    call_timeout: float = 15.0
    drain: float = 120.0
    """Without a job that ends: those that two workers died of run alone, one by one, for as long as it takes."""
    wave: int = 200
    """Jobs per enqueue, each a batch of its own; two waves wait, and are drained in the end."""
    seed: int = 0
    with_postgresql: bool = True
    pooled: bool = False
    """The store stands behind PgBouncer."""
    hosts: bool = False
    """Each worker has an address and a clock of its own, and one of them is cut off for a while."""
    rolling: str | None = None
    """Workers are replaced by those of the next release while they run: of this checkout, from this commit on."""

    @property
    def least_kills(self) -> int:
        """A machine that is slow takes longer for them than planned."""
        return math.ceil(self.duration / self.kill_period / 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill -9."""

    calls_at_provider: int
    calls_of_worker: int
    """Requests that the ledger had open for it: what its death may have cost twice."""


@dataclass(slots=True, kw_only=True)
class Report:
    """How it went."""

    books: Books
    kills: list[Kill]
    events: list[str]
    most_in_flight: int
    marker_found_in: list[str]
    stopped_in_order: bool
    seconds: float
    calls_cut_off: int = 0

    @property
    def calls_in_flight_at_kills(self) -> int:
        """What the deaths may have cost twice, and the host that was cut off."""
        return sum(kill.calls_of_worker for kill in self.kills) + self.calls_cut_off


@dataclass
class Scene:
    """What a run works with."""

    plan: Plan
    folder: Path
    broker: Broker
    provider: Standin
    store: Store
    store_server: Cluster | None
    workers: Workers
    setting: Setting
    events: list[str] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    calls_cut_off: int = 0
    """Requests that the ledger had open for the host that was cut off, when it was."""
    enqueued: int = 0
    began_at: float = field(default_factory=time.monotonic)

    def note(self, event: str) -> None:
        """For the record of the run."""
        self.events.append(f"{time.monotonic() - self.began_at:5.1f}s {event}")


def run_chaos(plan: Plan, *, say: Callable[[str], None] = lambda _line: None) -> Report:
    """Run the plan and read the books. Takes its duration and the drain of what is left."""
    with opened_scene(plan) as scene:
        return _play(scene, say)


@contextmanager
def opened_scene(plan: Plan) -> Iterator[Scene]:
    """Store, broker and provider running, and workers that are not started yet; all of it ended afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gq-chaos-")))
        (folder / "logs").mkdir()
        setting = stack.enter_context(Setting.of(plan))
        server = stack.enter_context(setting.cluster()) if plan.with_postgresql else None
        url = setting.store_url(server) if server else f"sqlite:///{folder / 'store.db'}"
        store = Store.open(url)
        stack.callback(store.close)
        setting.migrate(store, url)
        broker = Broker(host=setting.address)
        broker.start()
        stack.callback(broker.kill)
        options = ("--host", setting.address, "--latency-ms", plan.latency_ms, "--rpm", PLENTY, *_fault_options())
        provider = stack.enter_context(standin(*options))
        workers = Workers(
            count=plan.workers,
            concurrency=plan.concurrency,
            queue="bulk",
            environment=_environment(plan, folder, broker, provider, url),
            log_dir=folder / "logs",
            places=setting.places,
        )
        scene = Scene(plan, folder, broker, provider, store, server, workers, setting)
        stack.callback(lambda: workers.stop(seconds=0.1))
        yield scene


def _fault_options() -> list[str]:
    return [part for fault in FAULTS for part in ("--fault", fault)]


def _environment(plan: Plan, folder: Path, broker: Broker, provider: Standin, store_url: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRADEQUEUE_")}
    return inherited | {
        "REDIS_URL": broker.url,
        "DATABASE_URL": store_url,
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": "sk-standin",
        "GRADEQUEUE_OFFLINE": "1",
        "GRADEQUEUE_DATA_DIR": str(folder),
        "GRADEQUEUE_CALL_TIMEOUT": str(plan.call_timeout),
        "GRADEQUEUE_HEARTBEAT": "1",
        "GRADEQUEUE_DEAD_AFTER": "4",
        "GRADEQUEUE_FEEDER_PERIOD": "0.3",
        "GRADEQUEUE_COUNTDOWN_GRACE": "5",
        "GRADEQUEUE_BROKER_TIMEOUT": "3",
        "PYTHONPATH": str(REPOSITORY),
    }


def _play(scene: Scene, say: Callable[[str], None]) -> Report:
    stop_enqueueing, witness = threading.Event(), Witness()
    producer = threading.Thread(target=produce, args=(scene, stop_enqueueing), daemon=True)
    scene.workers.start()
    producer.start()
    wait_until(lambda: _in_flight(scene) >= scene.plan.least_in_flight, "the workers are busy")
    most_in_flight, broker_contents = _wreak(scene, witness, say)
    stop_enqueueing.set()
    producer.join()
    scene.note(f"no more jobs after {scene.enqueued}; draining")
    _drain(scene, witness)
    stopped_in_order = scene.workers.stop()
    broker_contents.append(scene.broker.contents())
    stats = scene.provider._ask("stats?prompts=1")  # noqa: SLF001 - the one question that costs too much to ask often
    return Report(
        books=read_books(scene.store, enqueued=scene.enqueued, witness=witness, provider_stats=stats),
        kills=scene.kills,
        events=scene.events,
        most_in_flight=most_in_flight,
        marker_found_in=_where_the_marker_is(scene, broker_contents),
        stopped_in_order=stopped_in_order,
        seconds=time.monotonic() - scene.began_at,
        calls_cut_off=scene.calls_cut_off,
    )


def produce(scene: Scene, stop: threading.Event) -> None:
    """Keep jobs waiting. A wave that breaks off is sent again, whole, as a user would send the command again."""
    settings = load_settings(redis_url=scene.broker.url, offline=True, broker_timeout_seconds=3.0)
    publisher = Publisher.connect(settings)
    client = JobClient(store=scene.store, publisher=publisher, registry=builtin_registry(), provider=PROVIDER)
    parameters = JobParameters(max_tokens=64, max_retries=20, retry_delay_seconds=0.2)
    size, wave, broke_off = scene.plan.wave, 0, False
    while broke_off or not stop.is_set():
        specs = [
            JobSpec(
                id=f"{wave}-{number}",
                prompt=f"{MARKER} {wave} {number}: grade this program.",
                schema="feedback",
                model="standin",
                parameters=parameters,
            )
            for number in range(size)
        ]
        try:
            if broke_off or _waiting(scene.store) < 2 * size:
                client.enqueue(specs, name=f"wave-{wave}")
                scene.enqueued += size
                wave, broke_off = wave + 1, False
        except ServiceUnavailable:  # committed or not: nobody knows before it is sent again
            broke_off = True
            scene.note("an enqueue broke off")
        time.sleep(0.5)
    publisher.close()


def _waiting(store: Store) -> int:
    with store.snapshot() as connection:
        return connection.execute(select(func.count()).where(jobs.c.state == "ready")).scalar_one()


def _wreak(scene: Scene, witness: Witness, say: Callable[[str], None]) -> tuple[int, list[bytes]]:
    plan, chance = scene.plan, random.Random(scene.plan.seed)  # noqa: S311 - which worker dies
    began, next_kill, most = time.monotonic(), time.monotonic() + plan.kill_period, 0
    contents: list[bytes] = []
    wreckings: list[tuple[float, Callable[[], None]]] = [
        (0.20, lambda: _kill_broker(scene)),
        (0.45, lambda: _flush_broker(scene, contents)),
        (0.70, lambda: _restart_store(scene)),
        *scene.setting.wreckings(scene),
    ]
    wreckings.sort(key=lambda wrecking: wrecking[0])
    longest = MOST_LONGER * plan.duration
    while (passed := time.monotonic() - began) < (plan.duration if len(scene.kills) >= plan.least_kills else longest):
        if wreckings and passed > wreckings[0][0] * plan.duration:
            wreckings.pop(0)[1]()
            say(scene.events[-1])
        if time.monotonic() > next_kill and (in_flight := _in_flight(scene)) >= plan.least_in_flight:
            _kill_worker(scene, chance, in_flight)
            next_kill = time.monotonic() + plan.kill_period
            say(scene.events[-1])
        scene.workers.restart_dead()
        most = max(most, _in_flight(scene))
        _look(scene, witness)
        time.sleep(0.2)
    return most, contents


def _in_flight(scene: Scene) -> int:
    in_flight: int = scene.provider.stats()["in_flight"]
    return in_flight


def _kill_worker(scene: Scene, chance: random.Random, in_flight: int) -> None:
    busy = [pid for pid in scene.workers.pids if open_calls(scene.store).get(pid)]
    if not busy:
        return
    pid = chance.choice(busy)
    scene.workers.kill(pid)
    calls = open_calls(scene.store).get(pid, 0)
    scene.kills.append(Kill(calls_at_provider=in_flight, calls_of_worker=calls))
    scene.note(f"kill -9 of a worker, {in_flight} calls at the provider, {calls} of them its own")


def _kill_broker(scene: Scene) -> None:
    scene.broker.kill()
    time.sleep(2)
    scene.broker.start()
    scene.note("kill -9 of the broker; started again, empty, after 2 s")


def _flush_broker(scene: Scene, contents: list[bytes]) -> None:
    contents.append(scene.broker.contents())
    with scene.broker.client() as client:
        client.flushall()
    scene.note("FLUSHALL")


def _restart_store(scene: Scene) -> None:
    if scene.store_server is not None:
        scene.store_server.crash()
        time.sleep(2)
        scene.store_server.start()
        scene.note("crash of the store; started again after 2 s")


def _look(scene: Scene, witness: Witness) -> None:
    try:
        witness.look(scene.store)
    except ServiceUnavailable:
        scene.note("the store did not answer a look")


def _drain(scene: Scene, witness: Witness) -> None:
    left = _unfinished(scene.store)

    def has_moved() -> bool:
        scene.workers.restart_dead()
        _look(scene, witness)
        return _unfinished(scene.store) < left

    while left:
        try:
            wait_until(has_moved, "another job has an outcome", scene.plan.drain)
        except TimeoutError:
            scene.note(f"no job ended in {scene.plan.drain:.0f} s")
            return
        left = _unfinished(scene.store)


def _unfinished(store: Store) -> int:
    with store.snapshot() as connection:
        return connection.execute(select(func.count()).where(jobs.c.state.in_(("ready", "running")))).scalar_one()


def _where_the_marker_is(scene: Scene, broker_contents: list[bytes]) -> list[str]:
    marker = MARKER.encode()
    brokers = [f"broker ({number})" for number, content in enumerate(broker_contents) if marker in content]
    files = (path for path in sorted(scene.folder.rglob("*")) if path.is_file())
    outside = [path for path in files if not path.name.startswith("store.db") and marker in path.read_bytes()]
    return brokers + [path.relative_to(scene.folder).as_posix() for path in outside]
