"""Our own programs in processes that start at once, forked from one that has imported everything they need.

A worker spends 1.7 CPU seconds on its imports and a command one, and the suite starts some hundreds of them: that was
more than half of its time. Each is a process of its own all the same, with its own pid, session, pipes, signals and
exit status, in the folder and environment that it is given. What a start itself does (interpreter, imports, path) is
for the tests that start the programs themselves: see `COLD`.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from tests.support.places import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COLD = "cold_start"
"""The marker of tests whose processes start as a user's do."""
PROGRAMS = ("producer.cli.main", "workers.process.celery_worker", "ops.standin")
TITLE_BYTES = 4096
"""Room for a command as `ps` shows it."""

_RealPopen: Any = subprocess.Popen


def module_and_arguments(command: object) -> list[str] | None:
    """The module and the arguments of a command that runs one of `PROGRAMS` with this interpreter, else None."""
    if not isinstance(command, list) or command[:1] != [sys.executable]:
        return None
    rest = command[2:] if command[1:2] == ["-P"] else command[1:]
    return rest[1:] if rest[:1] == ["-m"] and rest[1] in PROGRAMS else None


class QuickPopen(_RealPopen):  # type: ignore[misc]
    """`subprocess.Popen`; a command of ours is forked by the server at `address`, every other starts as ever."""

    server: Callable[[], str] | None = None
    """Says where it listens; None while every process is to start as ever."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        ask_server = type(self).server
        asked = module_and_arguments(args) if ask_server else None
        self._server: socket.socket | None = None
        if asked is None or ask_server is None:
            super()._execute_child(args, *rest)
            return
        (_executable, _preexec, _close_fds, pass_fds, cwd, env, _info, _flags, _shell, *handles) = rest
        (p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, _restore, _gid, _gids, _uid, _umask, session) = (
            handles[:12]
        )
        kept = list(pass_fds)
        request = {
            "command": args,
            "asked": asked,
            "cwd": os.fspath(cwd) if cwd else os.getcwd(),  # noqa: PTH109
            "env": dict(os.environ if env is None else env),
            "session": bool(session),
            "kept": kept,
        }
        body = json.dumps(request).encode()
        streams = [
            p2cread if p2cread != -1 else 0,
            c2pwrite if c2pwrite != -1 else 1,
            errwrite if errwrite != -1 else 2,
        ]
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(ask_server())
        socket.send_fds(self._server, [len(body).to_bytes(4, "big")], [*streams, *kept])
        self._server.sendall(body)
        if not (pid := self._server.recv(4)):
            raise OSError("the process server has ended")
        self.pid = int.from_bytes(pid, "big")
        self._child_created = True
        self._reading = threading.Lock()
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)

    def _internal_poll(self, *args: Any, **kwargs: Any) -> int | None:
        if self._server is None:
            return super()._internal_poll(*args, **kwargs)  # type: ignore[no-any-return]
        return self._ended(0.0)

    def _wait(self, timeout: float | None) -> int | None:
        if self._server is None:
            return super()._wait(timeout)  # type: ignore[no-any-return]
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode  # type: ignore[no-any-return]

    def _ended(self, seconds: float | None) -> int | None:
        """The exit status as soon as the server tells it; None when it does not within so many seconds."""
        until = None if seconds is None else time.monotonic() + seconds
        if not self._reading.acquire(blocking=seconds != 0.0):
            return None  # another thread waits, and will tell
        try:
            if self.returncode is None:
                self._server.settimeout(None if until is None else max(until - time.monotonic(), 0.0))  # type: ignore[union-attr]
                try:
                    told = self._server.recv(4)  # type: ignore[union-attr]
                except (BlockingIOError, TimeoutError):
                    return None
                self._server.close()  # type: ignore[union-attr]
                # a server that is gone ended what it had forked
                self.returncode = int.from_bytes(told, "big", signed=True) if told else -9
        finally:
            self._reading.release()
        return self.returncode  # type: ignore[no-any-return]


class ForkServer:
    """The process that forks; it ends with this one. It starts when the first test asks it for something.

    One serves all processes of a run: it imports for two CPU seconds.
    """

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "fork")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen(64)
        self._closed, self._closes = socket.socketpair()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        """Held while it is started, and while it is ended."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener:  # closed when the server has ended, so that who waits for an answer is told
            ready, _, _ = select.select([self._listener, self._closed], [], [])
            with self._lock:
                if self._closed in ready:
                    return
                self._process = self._started()
            self._process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        number = self._listener.fileno()
        process: subprocess.Popen[bytes] = _RealPopen(
            [sys.executable, "-P", "-m", "tests.support.process_server", str(number), " " * TITLE_BYTES],
            stdin=subprocess.PIPE,
            pass_fds=[number],
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        return process

    def close(self) -> None:
        self._closes.close()
        with self._lock:
            if self._process is not None:
                self._process.terminate()
        self._thread.join()
        if self._process is not None:
            self._process.communicate()
        self._closed.close()
