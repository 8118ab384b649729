"""A broker, a provider, worker processes and a store, all real, all of one test's own."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import redis
from sqlalchemy import func, select

from ops.bench.chaos.services import Broker, Workers
from ops.bench.processes import Standin, standin
from producer.client import JobClient
from tests.support.stores import new_store
from tests.support.wait import wait_until
from workers.contract.job import JobSpec
from workers.contract.registry import builtin_registry
from workers.publisher import Publisher
from workers.settings import load_settings
from workers.store.progress import read_progress
from workers.store.tables import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from workers.store import Store
    from workers.store.progress import Progress

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Scene:
    """What a test acts on."""

    broker: Broker
    provider: Standin
    workers: Workers
    store: Store
    client: JobClient

    def enqueue(self, count: int, name: str, *, prompt: str = "") -> None:
        specs = [
            JobSpec(id=f"{name}-{n}", prompt=f"{prompt} {name} {n}", schema="feedback", model="standin")
            for n in range(count)
        ]
        self.client.enqueue(specs, name=name, starts_carefully=False)

    def begin_calls(self, count: int, name: str, *, prompt: str = "") -> None:
        """Enqueue so many jobs, and wait until all their calls are in flight; they stay there until `answer`."""
        self.provider.configure(answers=False)
        self.enqueue(count, name, prompt=prompt)
        self.wait_for(name, lambda _progress: self.provider.stats()["in_flight"] == count, "calls are in flight")

    def answer(self, count: int) -> None:
        """Let the calls in flight end, and wait until so many are answered: they are paid for."""
        self.provider.configure(answers=True)
        wait_until(lambda: self.provider.stats()["answered"] == count, "every answer is paid for")

    def progress(self, name: str) -> Progress:
        with self.store.snapshot() as connection:
            progress = read_progress(connection, name)
        assert progress is not None
        return progress

    def wait_for(self, name: str, condition: Callable[[Progress], bool], what: str) -> Progress:
        wait_until(
            lambda: condition(self.progress(name)),
            lambda: f"{what}\n{self.workers.logs().decode()[-3000:]}",
        )
        return self.progress(name)

    def kill_while(self, condition: Callable[[], object], what: str, *, pids: Collection[int] = ()) -> None:
        """Kill these workers [default: all] while the condition holds: they stand still when it is looked at."""
        chosen = list(pids or self.workers.pids)

        def are_killed() -> bool:
            if not condition():
                return False
            for pid in chosen:
                os.kill(pid, signal.SIGSTOP)
            still_holds = bool(condition())
            for pid in chosen:
                if still_holds:
                    self.workers.kill(pid)
                else:
                    os.kill(pid, signal.SIGCONT)
            return still_holds

        wait_until(are_killed, lambda: f"{what}\n{self.workers.logs().decode()[-3000:]}")

    def is_quiet(self) -> bool:
        """The worker lives, the broker takes writes, and no job has still to end."""
        with self.store.snapshot() as connection:
            left = connection.execute(select(func.count()).where(jobs.c.state.in_(("ready", "running")))).scalar_one()
        return not left and bool(self.workers.pids) and self._broker_takes_writes()

    def _broker_takes_writes(self) -> bool:
        try:
            with self.broker.client() as client:
                return bool(client.set("is it writable", "yes", px=1))
        except redis.RedisError:
            return False


class SharedScene:
    """One scene for the tests of a file, as long as each leaves it as it was; after a failure the next has its own."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._folder, self._options = folder, options
        self._opened = ExitStack()
        self._scene: Scene | None = None

    @contextmanager
    def borrowed(self) -> Iterator[Scene]:
        """The scene, with nothing counted yet."""
        if self._scene is None:
            folder = Path(mkdtemp(dir=self._folder))
            store = self._opened.enter_context(closing(new_store(folder / "store.db")))
            self._scene = self._opened.enter_context(open_scene(store, folder, **self._options))
        self._scene.provider.reset()
        yield self._scene
        if not self._scene.is_quiet():
            self.close()

    def close(self) -> None:
        self._scene = None
        self._opened.close()


@contextmanager
def open_scene(
    store: Store,
    folder: Path,
    *,
    latency_ms: str = "1000-1600",
    workers: int = 1,
    broker: Broker | None = None,
    **changes: str,
) -> Iterator[Scene]:
    """Start everything, quick periods; `changes` are settings of the workers by their environment names.

    `broker`: one that runs already, and is ended here.
    """
    if broker is None:
        broker = Broker()
        broker.start()
    logs = folder / "logs"
    logs.mkdir()
    with standin("--latency-ms", "5") as provider:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRADEQUEUE_")}
        settings = {
            "REDIS_URL": broker.url,
            "DATABASE_URL": store.engine.url.render_as_string(hide_password=False),
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": "sk-standin",
            "GRADEQUEUE_OFFLINE": "1",
            "GRADEQUEUE_HEARTBEAT": "1",
            "GRADEQUEUE_DEAD_AFTER": "5",
            "GRADEQUEUE_FEEDER_PERIOD": "0.5",
            "GRADEQUEUE_COUNTDOWN_GRACE": "2",
            "GRADEQUEUE_DATA_DIR": str(folder),
            "PYTHONPATH": str(REPOSITORY),
        }
        fleet = Workers(
            count=workers,
            concurrency=12,
            queue="bulk",
            environment=inherited | settings | changes,
            log_dir=logs,
        )
        publisher = Publisher.connect(load_settings(redis_url=broker.url, offline=True))
        client = JobClient(store=store, publisher=publisher, registry=builtin_registry(), provider="standin")
        fleet.start()
        try:
            scene = Scene(broker, provider, fleet, store, client)
            _warm_up(scene, latency_ms)
            yield scene
        finally:
            fleet.stop()
            publisher.close()
            broker.kill()


def _warm_up(scene: Scene, latency_ms: str) -> None:
    """A first answer tells the budget its limits; before it there is one call at a time."""
    scene.enqueue(1, "warm-up")
    scene.wait_for("warm-up", lambda progress: progress.is_finished, "the first answer came")
    scene.provider.configure(latency_ms=latency_ms)
    scene.provider.reset()
