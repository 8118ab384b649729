"""Starting workers and the stand-in as processes of their own. The environment says where services are.

Each child has a session of its own, so that Ctrl-C in the terminal reaches this process alone, which then
decides; and holds the read end of a pipe, so that it ends when this process is gone, however it went.
"""

from __future__ import annotations

import json
import re
import secrets
import signal
import subprocess
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from producer.local.child_processes import Role, child_environment
from producer.local.dead_workers import free_jobs_of
from producer.local.inherited import NEUTRAL_FOLDER, python_module
from workers.contract.errors import ServiceUnavailable
from workers.store.spool import UNSAVED_EXIT
from workers.store.sql import new_id

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from pathlib import Path

    from producer.local.embedded import Services
    from producer.local.standby import StandbyWorker
    from workers.settings import Settings

WORKER_MODULE = "workers.process.celery_worker"
STANDIN_KEY = "sk-standin"
"""The stand-in wants a key as OpenAI does; any will do."""
STANDIN_START_SECONDS = 20.0
YOUNG_SECONDS = 60.0
"""A worker that gives up by itself (no signal killed it) so soon will do it again: it is not restarted for ever."""
MOST_FAST_CRASHES = 3
MOST_CRASHES_AT_WORK = 50
"""One after the other, by themselves and after they were ready: a few jobs that end their process are ended sooner."""


@dataclass(slots=True)
class StandinProcess:
    """A stand-in provider that dies with this process."""

    process: subprocess.Popen[bytes]
    base_url: str

    @classmethod
    def start(cls, options: Sequence[str] = ()) -> StandinProcess:
        """Start it on a free port and wait until it says that it is ready."""
        process = subprocess.Popen(
            python_module("ops.standin", "--port", "0", "--exit-with-stdin", *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=NEUTRAL_FOLDER,
            env=child_environment(Role.STANDIN),
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
    standby: StandbyWorker | None = None
    """The first of them, if it has been started already; whoever started it closes it."""
    _workers: list[_Worker] = field(default_factory=list)
    _fast_crashes: int = 0
    _crashes_at_work: int = 0
    _has_unsaved: bool = False

    def start(self, number: int | None = None) -> None:
        """Start them all, or so many of them as do not run yet; they join in within a second or two."""
        self.log_dir.mkdir(parents=True, exist_ok=True)
        wanted = self.count if number is None else min(number, self.count)
        while len(self._workers) < wanted:
            self._workers.append(self._start_one())

    @property
    def pids(self) -> list[int]:
        """Process ids of those that live."""
        return [worker.process.pid for worker in self._workers if worker.process.poll() is None]

    def restart_dead(self) -> list[int]:
        """Start again what died; returns the exit codes. Raises `ServiceUnavailable` when they die at once, again."""
        self.has_unsaved()  # those that are replaced now are forgotten
        codes = []
        for place, worker in enumerate(self._workers):
            code = worker.process.poll()
            if code is None:
                continue
            codes.append(code)
            self._count_crash(worker, code, held=self._free_jobs_of(worker))
            worker.close()
            self._workers[place] = self._start_one()
        return codes

    def _free_jobs_of(self, worker: _Worker) -> int:
        """Those that the dead worker held wait again; returns how many."""
        if worker.worker_id is None:
            return 0
        return free_jobs_of(worker.worker_id, database_url=self.services.database_url, data_dir=self.settings.data_dir)

    def _count_crash(self, worker: _Worker, code: int, *, held: int) -> None:
        gave_up = code > 0 and worker.age_seconds() < YOUNG_SECONDS
        was_ready = held > 0 or worker.was_ready()
        self._fast_crashes = self._fast_crashes + 1 if gave_up and not was_ready else 0
        self._crashes_at_work = self._crashes_at_work + 1 if gave_up and was_ready else 0
        if self._fast_crashes >= MOST_FAST_CRASHES:
            raise ServiceUnavailable("worker", f"worker processes die as they start: {self._why(worker)}")
        if self._crashes_at_work >= MOST_CRASHES_AT_WORK:
            raise ServiceUnavailable("worker", f"worker processes die as they work: {self._why(worker)}")

    def has_unsaved(self) -> bool:
        """True when one of them ended with paid answers that it could neither store nor spool."""
        codes = [worker.process.poll() for worker in self._workers]
        self._has_unsaved = self._has_unsaved or UNSAVED_EXIT in codes
        return self._has_unsaved

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
        """Kill what is left, and close the pipes."""
        self.has_unsaved()
        for worker in self._workers:
            worker.close()
        self._workers = []

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.send_signal(number)

    def _why(self, worker: _Worker) -> str:
        if worker.log_file is None:
            return f"exit status {worker.process.returncode}; its lines above say why"
        return f"{worker.last_words()} (see {self.log_dir})"

    def _start_one(self) -> _Worker:
        worker_id = new_id()
        name = f"{self.queue}-{secrets.token_hex(3)}"
        log_file = None if self.logs_to_stderr else self.log_dir / f"worker-{name}.log"
        command = worker_command(
            queue=self.queue,
            name=name,
            concurrency=self.settings.concurrency,
            log_file=log_file,
        )
        broker = self.services.broker
        environment = worker_environment(self.settings, self.services, worker_id=worker_id)
        held = [broker.lock_fd] if broker else []
        with log_file.with_suffix(".err").open("ab") if log_file else nullcontext() as stderr:
            if self.standby is not None and stderr is not None:
                options = command[command.index(WORKER_MODULE) + 1 :]
                given = self.standby.assign(options, environment, stderr=stderr.fileno(), held=held)
                if given is not None:
                    return _Worker(given[0], log_file, worker_id, lifeline=given[1])
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                pass_fds=held,
                cwd=NEUTRAL_FOLDER,
                env=environment,
            )
        return _Worker(process, log_file, worker_id)


class _Worker:
    def __init__(
        self,
        process: subprocess.Popen[bytes],
        log_file: Path | None,
        worker_id: str | None = None,
        *,
        lifeline: socket.socket | None = None,
    ) -> None:
        self._lifeline = lifeline
        self.process = process
        self.log_file = log_file
        self.worker_id = worker_id
        self._started_at = time.monotonic()

    def age_seconds(self) -> float:
        return time.monotonic() - self._started_at

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        _close(self.process.stdin, self._lifeline)
        if self.log_file is not None:
            _remove_empty(self.log_file.with_suffix(".err"))

    def was_ready(self) -> bool:
        """It could take jobs before it died; unknown, and so false, where its lines go to our standard error."""
        return self.log_file is not None and any(_READY.search(line) for line in _lines(self.log_file))

    def last_words(self) -> str:
        """Why it died: the last critical line of its log, else the end of its standard error, else its exit status."""
        lines = _lines(self.log_file) if self.log_file else []
        critical = [_CRITICAL.sub("", line) for line in lines if _CRITICAL.match(line)]
        on_stderr = _lines(self.log_file.with_suffix(".err")) if self.log_file else []
        said = critical or [line for line in on_stderr if not _WARNING.match(line)] or lines
        return said[-1] if said else f"nothing was logged; exit status {self.process.returncode}"


_CRITICAL = re.compile(r'^(?:\[[^\]]*CRITICAL/[^\]]*\] |(?=\{.*"level": "critical"))')
"""How a critical line of `workers.log` begins, as text or as JSON."""
_READY = re.compile(r"@\S+ ready\.")
"""*Source*: celery 5.7, `apps/worker.py`, `on_consumer_ready`: logged before the first job."""
_WARNING = re.compile(r"\w*Warning: ")
"""As `celery_worker` writes a warning of Python: never a reason to end."""


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.split("\n") if line.strip()]


def _remove_empty(file: Path) -> None:
    with suppress(OSError):
        if file.stat().st_size == 0:
            file.unlink()


def worker_command(*, queue: str, name: str, concurrency: int, log_file: Path | None = None) -> list[str]:
    """The command of one worker process, for one queue of the provider and store that its environment names."""
    command = python_module(
        WORKER_MODULE,
        "--queues", queue, "--hostname", f"{name}@%h", "--concurrency", str(concurrency),
        "--without-gossip", "--without-mingle", "--loglevel", "INFO",
    )  # fmt: skip
    return [*command, "--logfile", str(log_file)] if log_file else command


def worker_environment(settings: Settings, services: Services, *, worker_id: str | None = None) -> dict[str, str]:
    """The settings as a worker process reads them; `worker_id` is its name in the store, new for each process."""
    given = {
        "worker_id": worker_id,
        "exit_with_stdin": True,
        # always passed on: what is a default in this process need not be one in the child
        "concurrency": settings.concurrency,
        "data_dir": settings.data_dir,
    }
    return child_environment(Role.WORKER, services.apply_to(settings).model_copy(update=given))


def _close(*pipes: IO[bytes] | socket.socket | None) -> None:
    for pipe in pipes:
        if pipe is not None:
            pipe.close()
