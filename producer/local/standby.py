"""A worker process that loads while we still read the input: a worker's start is half of a small run.

It is told which queue, broker and store it serves when we know it, and ends unused when there is nothing to do.
Imports little: what it saves is the time in which everything else is imported.
"""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from producer.local.inherited import NEUTRAL_FOLDER, WORKER_PREFIXES, inherited, python_module
from workers.contract.standby import LENGTH_BYTES, STANDBY, Assignment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType


class StandbyWorker:
    """One such process; closing it ends it, unless it was handed over by `assign`."""

    def __init__(self) -> None:
        self._lifeline, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                python_module("workers.process.celery_worker", STANDBY),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd=NEUTRAL_FOLDER,
                env=inherited(os.environ, WORKER_PREFIXES),
            )
        self._is_free = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def assign(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, stderr: int, held: Sequence[int]
    ) -> tuple[subprocess.Popen[bytes], socket.socket] | None:
        """Make it a worker with these options: its process, and the socket that it ends with. The caller owns both.

        `held`: descriptors that stay open in it. None when it was handed over before, or is gone.
        """
        if not self._is_free or self._process.poll() is not None:
            return None
        body = Assignment(list(arguments), dict(environment)).sent()
        try:
            socket.send_fds(self._lifeline, [len(body).to_bytes(LENGTH_BYTES, "big")], [stderr, *held])
            self._lifeline.sendall(body)
        except OSError:
            return None
        self._is_free = False
        return self._process, self._lifeline

    def close(self) -> None:
        """End it, if nobody needed it."""
        if not self._is_free:
            return
        self._is_free = False
        self._lifeline.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
