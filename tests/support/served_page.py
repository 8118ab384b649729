"""`gradequeue serve` with its page, as a browser test uses it."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

from ops.bench.processes import free_port
from tests.support.wait import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    import subprocess

    from tests.support.command_line import Bench


class Served:
    """`gradequeue serve`, which can be restarted on the same port."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        with (self._bench.folder / "serve.log").open("a") as log:
            process = self._bench.start("serve", "--port", str(self._port), "--no-browser", stderr=log)
        wait_until(self._answers, "the page answers")
        return process

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=0.2).close()
        except OSError:
            return False
        return True

    def restart(self) -> None:
        self.stop()
        self._process = self._start()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=DEADLINE_SECONDS)
