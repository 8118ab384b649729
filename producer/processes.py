"""Starting workers and the stand-in as processes of their own. They are told where services are by environment.

Each child stands in a session of its own, so that Ctrl-C in the terminal reaches this process alone, which then
decides; and holds the read end of a pipe, so that it ends when this process is gone, however it went.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from workers.contract.errors import ServiceUnavailable
from workers.contract.wire import broker_queue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.embedded import Services
    from workers.settings import Settings

STANDIN_KEY = "sk-standin"
"""The stand-in wants a key as OpenAI does; any will do."""
STANDIN_START_SECONDS = 20.0
YOUNG_SECONDS = 60.0
"""A worker that gives up by itself (no signal killed it) so soon will do it again: it is not restarted for ever."""
MOST_FAST_CRASHES = 3


@dataclass(slots=True)
class StandinProcess:
    """A stand-in provider that dies with this process."""

    process: subprocess.Popen[bytes]
    base_url: str

    @classmethod
    def start(cls, options: Sequence[str] = ()) -> StandinProcess:
        """Start it on a free port and wait until it says that it is ready."""
        command = [sys.executable, "-m", "ops.standin", "--port", "0", "--exit-with-stdin", *options]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=_importable(os.environ)
        )
        line = _first_line(process, STANDIN_START_SECONDS)
        if not line:
            process.kill()
            raise ServiceUnavailable("provider", "the stand-in provider did not start")
        return cls(process, json.loads(line)["base_url"])

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()
        _close(self.process.stdin, self.process.stdout)


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        return process.stdout.readline() if process.stdout else b""
    finally:
        timer.cancel()


@dataclass(slots=True)
class WorkerFleet:
    """Worker processes for one queue; one that dies is started again."""

    queue: str
    count: int
    settings: Settings
    services: Services
    log_dir: Path
    logs_to_stderr: bool = False
    """Their lines go to our own standard error, as a container wants it, and to no file."""
    _workers: list[_Worker] = field(default_factory=list)
    _fast_crashes: int = 0

    def start(self) -> None:
        """Start them all; they join in within a second or two."""
        self.log_dir.mkdir(parents=True, exist_ok=True)
        self._workers = [self._start_one() for _ in range(self.count)]

    @property
    def pids(self) -> list[int]:
        """Process ids of those that live."""
        return [worker.process.pid for worker in self._workers if worker.process.poll() is None]

    def restart_dead(self) -> list[int]:
        """Start again what died; returns the exit codes. Raises `ServiceUnavailable` when they die at once, again."""
        codes = []
        for place, worker in enumerate(self._workers):
            code = worker.process.poll()
            if code is None:
                continue
            codes.append(code)
            is_refusal = code > 0 and worker.age_seconds() < YOUNG_SECONDS
            self._fast_crashes = self._fast_crashes + 1 if is_refusal else 0
            if self._fast_crashes >= MOST_FAST_CRASHES:
                raise ServiceUnavailable("worker", f"worker processes die as they start: {self._why(worker)}")
            worker.close()
            self._workers[place] = self._start_one()
        return codes

    def drain(self) -> None:
        """Ask them to finish what is in flight and end."""
        self._signal(signal.SIGTERM)

    def abandon(self) -> None:
        """Ask them to give everything back at once and end."""
        self._signal(signal.SIGQUIT)

    def wait(self, seconds: float | None = None) -> bool:
        """True when all have ended."""
        try:
            for worker in self._workers:
                worker.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Kill what is left, and let go of the pipes."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.send_signal(number)

    def _why(self, worker: _Worker) -> str:
        if worker.log_file is None:
            return "their log says why"
        return f"{_last_words(worker.log_file)} (see {self.log_dir})"

    def _start_one(self) -> _Worker:
        name = f"{self.queue}-{secrets.token_hex(3)}"
        log_file = None if self.logs_to_stderr else self.log_dir / f"worker-{name}.log"
        command = worker_command(
            queue=broker_queue(self.queue, self.settings.provider),
            name=name,
            concurrency=self.settings.concurrency,
            log_file=log_file,
        )
        broker = self.services.broker
        with (self.log_dir / "worker-stderr.log").open("ab") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=None if self.logs_to_stderr else stderr,
                start_new_session=True,
                pass_fds=[broker.lock_fd] if broker else [],
                env=worker_environment(self.settings, self.services),
            )
        return _Worker(process, log_file)


class _Worker:
    def __init__(self, process: subprocess.Popen[bytes], log_file: Path | None) -> None:
        self.process = process
        self.log_file = log_file
        self._started_at = time.monotonic()

    def age_seconds(self) -> float:
        return time.monotonic() - self._started_at

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        _close(self.process.stdin)


def _last_words(log_file: Path) -> str:
    """The last line a worker logged: the exception it died of."""
    try:
        lines = log_file.read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else "nothing was logged"


def worker_command(*, queue: str, name: str, concurrency: int, log_file: Path | None = None) -> list[str]:
    """The `celery worker` command of one process, for one broker queue."""
    command = [
        sys.executable, "-m", "celery", "-A", "workers.app:app", "worker",
        "--queues", queue, "--hostname", f"{name}@%h", "--concurrency", str(concurrency),
        "--without-gossip", "--without-mingle", "--loglevel", "INFO",
    ]  # fmt: skip
    return [*command, "--logfile", str(log_file)] if log_file else command


def worker_environment(settings: Settings, services: Services) -> dict[str, str]:
    """The settings as a child process reads them."""
    environment = _importable(os.environ)
    environment |= {
        "REDIS_URL": services.redis_url,
        "DATABASE_URL": services.database_url,
        "GRADEQUEUE_CONCURRENCY": str(settings.concurrency),
        "GRADEQUEUE_DATA_DIR": str(settings.data_dir),
        "GRADEQUEUE_EXIT_WITH_STDIN": "1",
    }
    if settings.offline:
        environment["GRADEQUEUE_OFFLINE"] = "1"
    if settings.openai_base_url:
        environment["OPENAI_BASE_URL"] = settings.openai_base_url
    if settings.openai_api_key:
        environment["OPENAI_API_KEY"] = settings.openai_api_key.get_secret_value()
    return environment


def _importable(environment: Mapping[str, str]) -> dict[str, str]:
    """A schema given as `module:Model` is found by workers where the producer found it: beside the caller."""
    known = environment.get("PYTHONPATH", "")
    return {**environment, "PYTHONPATH": os.pathsep.join(part for part in (str(Path.cwd()), known) if part)}


def _close(*pipes: IO[bytes] | None) -> None:
    for pipe in pipes:
        if pipe is not None:
            pipe.close()
