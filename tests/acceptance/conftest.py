"""Running the project's own commands as a user would, against a stand-in that counts."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from workers.store import Store
from workers.store.reading import Progress, read_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_SECONDS = 120.0
"""Nothing here takes half as long; a wait that reaches it is a failure with a name."""
REPOSITORY = Path(__file__).parents[2]


def wait_until(condition: Callable[[], object], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Poll until the condition holds; fail with its name when it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail(f"waited {seconds:.0f} s in vain until {what}")


@dataclass
class StandinServer:
    """A stand-in provider in a process of its own."""

    base_url: str
    process: subprocess.Popen[bytes]

    @property
    def control_url(self) -> str:
        return self.base_url.removesuffix("/v1") + "/standin"

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.control_url}/stats?prompts=1") as answer:  # noqa: S310 - loopback
            stats: dict[str, Any] = json.load(answer)
        return stats

    def calls_per_prompt(self) -> Counter[str]:
        """SHA-256 of a prompt -> calls that were answered, refused or left, all counted."""
        return Counter({key: record["calls"] for key, record in self.stats()["prompts"].items()})

    def configure(self, **changes: object) -> None:
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.control_url}/config",
            data=json.dumps(changes).encode(),
            headers={"content-type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
            assert answer.status == 200


@pytest.fixture
def start_standin() -> Iterator[Callable[..., StandinServer]]:
    """Start stand-ins with command-line options; they end with the test."""
    started: list[StandinServer] = []

    def start(*options: str) -> StandinServer:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.standin", "--port", "0", "--exit-with-stdin", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        assert process.stdout is not None
        server = StandinServer(json.loads(process.stdout.readline())["base_url"], process)
        started.append(server)
        return server

    yield start
    for server in started:
        server.process.terminate()
        server.process.communicate()


@dataclass
class Bench:
    """A folder with inputs, embedded services of its own, and the command line."""

    folder: Path
    standin: StandinServer
    environment: dict[str, str] = field(default_factory=dict)
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "producer.cli", *arguments, "--data-dir", str(self.data_dir)]

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
            "GRADEQUEUE_FEEDER_PERIOD": "0.2",
            "PYTHONPATH": str(REPOSITORY),
        }
        return {**inherited, **quick, **self.environment}

    def progress(self, batch: str) -> Progress | None:
        """Where a batch stands, read straight from the store; None before there is one."""
        file = self.data_dir / "gradequeue.db"
        if not file.exists():
            return None
        store = Store.open(f"sqlite:///{file}")
        try:
            store.migrate()
            with store.snapshot() as connection:
                return read_progress(connection, batch)
        finally:
            store.close()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted((self.data_dir / "logs").glob("*.log")))

    def worker_pids(self) -> list[int]:
        """Process ids of the celery workers of this folder, as `ps` shows them."""
        listing = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 1) for line in listing.splitlines()]
        marks = ("celery", "worker", str(self.data_dir))
        return [int(pid) for pid, command in rows if all(mark in command for mark in marks)]


@pytest.fixture
def bench(tmp_path: Path, start_standin: Callable[..., StandinServer]) -> Iterator[Bench]:
    """A bench with a stand-in that answers after 20 to 60 ms and has no limit."""
    bench = Bench(tmp_path, start_standin("--latency-ms", "20-60"))
    yield bench
    bench.close()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
