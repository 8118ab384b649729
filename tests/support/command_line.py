"""The project's own commands as a user runs them, against a stand-in process that counts."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from tests.support.places import REPOSITORY
from tests.support.wait import DEADLINE_SECONDS
from workers.store.progress import read_progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.store import Store
    from workers.store.progress import Progress


@dataclass
class StandinServer:
    """A stand-in provider in a process of its own."""

    base_url: str
    process: subprocess.Popen[bytes]

    @property
    def control_url(self) -> str:
        return self.base_url.removesuffix("/v1") + "/standin"

    def stats(self) -> dict[str, Any]:
        """Every counter; cheap enough to ask for until a condition holds."""
        return self._stats("stats")

    def calls_per_prompt(self) -> Counter[str]:
        """SHA-256 of a prompt -> calls that were answered, refused or left, all counted."""
        return Counter({key: record["calls"] for key, record in self._stats("stats?prompts=1")["prompts"].items()})

    def _stats(self, question: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.control_url}/{question}") as answer:  # noqa: S310 - loopback
            stats: dict[str, Any] = json.load(answer)
        return stats

    def configure(self, **changes: object) -> None:
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.control_url}/config",
            data=json.dumps(changes).encode(),
            headers={"content-type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
            assert answer.status == 200


@contextmanager
def started_standin(*options: str) -> Iterator[StandinServer]:
    """A stand-in process with these command-line options."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.standin", "--port", "0", "--exit-with-stdin", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    try:
        assert process.stdout is not None
        yield StandinServer(json.loads(process.stdout.readline())["base_url"], process)
    finally:
        process.terminate()
        process.communicate()


@dataclass
class Bench:
    """A folder with inputs, embedded services of its own, and the command line.

    Its store is there already, as a second command of a user finds it: tests of a new folder bring one of their own.
    """

    folder: Path
    standin: StandinServer
    store: Store
    environment: dict[str, str] = field(default_factory=dict)
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "producer.cli.main", *arguments, "--data-dir", str(self.data_dir)]

    def start(self, *arguments: str, stderr: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """Only a failing test leaves anything to end."""
        for process in self._started:
            process.kill()
            process.communicate()
        for pid in self.worker_pids():
            os.kill(pid, signal.SIGKILL)
        self.store.close()

    def run(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()[-4000:]}"
        return done

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRADEQUEUE_")}
        quick = {
            "GRADEQUEUE_STANDIN_URL": self.standin.base_url,
            "GRADEQUEUE_HEARTBEAT": "0.5",
            "GRADEQUEUE_DEAD_AFTER": "2",
            "GRADEQUEUE_FEEDER_PERIOD": "0.5",
            "PYTHONPATH": str(REPOSITORY),
        }
        return {**inherited, **quick, **self.environment}

    def progress(self, batch: str) -> Progress | None:
        """Where a batch stands, read straight from the store; None before there is one."""
        with self.store.snapshot() as connection:
            return read_progress(connection, batch)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted((self.data_dir / "logs").glob("*.log")))

    def worker_pids(self) -> list[int]:
        """Process ids of the celery workers of this folder, as `ps` shows them."""
        listing = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 1) for line in listing.splitlines()]
        marks = ("celery", "worker", str(self.data_dir))
        return [int(pid) for pid, command in rows if all(mark in command for mark in marks)]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
