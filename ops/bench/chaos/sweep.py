"""`--sweep`: five faults one after the other, and how long throughput takes to come back from each.

A limited number of calls of one length is in flight, so that throughput is the provider's pace and not the machine's.
Throughput is outcomes in the store a second. After an outage of the store the answers kept meanwhile arrive at once;
so the time back is counted from the fault's end to the first window of `Sweep.window` that holds the pace.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import func, select

from ops.bench.chaos.run import Plan, opened_scene, produce
from ops.bench.processes import wait_until
from workers.contract.errors import ServiceUnavailable
from workers.store.tables import outcomes

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.bench.chaos.run import Scene

ENOUGH = 0.95
"""Of the baseline: throughput is back."""
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """How long each part takes, in seconds; about three minutes in all."""

    baseline: float = 15.0
    window: float = 6.0
    longest: float = 25.0
    """After a fault's end."""
    away: float = 3.0
    """How long a fault lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Throughput before and after one fault, in outcomes a second."""

    fault: str
    baseline: float
    after: float
    """In the window that was back, or else in the last one."""
    seconds_back: float | None
    """From the fault's end to the begin of that window; None when throughput did not come back."""

    @property
    def ratio(self) -> float:
        """Of the baseline."""
        return self.after / self.baseline

    def __str__(self) -> str:
        back = "not back" if self.seconds_back is None else f"back in {self.seconds_back:.1f} s"
        return f"{self.fault}: {self.baseline:.1f} -> {self.after:.1f} a second, ratio {self.ratio:.2f}, {back}"


def run_sweep(sweep: Sweep, *, say: Callable[[str], None]) -> list[Recovery]:
    """Measure the baseline once, then break one thing after the other. Needs PostgreSQL's programs."""
    plan = Plan(workers=2, concurrency=12, latency_ms="1000", with_postgresql=True)
    with opened_scene(plan) as scene:
        scene.provider.configure(faults=[])
        stop = threading.Event()
        producer = threading.Thread(target=produce, args=(scene, stop), daemon=True)
        scene.workers.start()
        producer.start()
        try:
            wait_until(lambda: _count(scene), "outcomes arrive")
            baseline = _throughput(scene, sweep.baseline)
            say(f"baseline {baseline:.1f} a second")
            found = []
            for fault, strike in _FAULTS.items():
                strike(scene, sweep.away)
                found.append(_recovery(scene, sweep, fault, baseline))
                say(str(found[-1]))
            return found
        finally:
            stop.set()
            producer.join()


def recovery_of(samples: list[tuple[float, int]], *, fault: str, baseline: float, window: float) -> Recovery:
    """Read `samples`, (seconds since the fault's end, outcomes so far), in order of time. Pure."""
    after = 0.0
    for begin, count in samples:
        later = next(((at, total) for at, total in samples if at >= begin + window), None)
        if later is None:
            break
        after = (later[1] - count) / (later[0] - begin)
        if after >= ENOUGH * baseline:
            return Recovery(fault=fault, baseline=baseline, after=after, seconds_back=begin)
    return Recovery(fault=fault, baseline=baseline, after=after, seconds_back=None)


def _recovery(scene: Scene, sweep: Sweep, fault: str, baseline: float) -> Recovery:
    ended_at, samples = time.monotonic(), list[tuple[float, int]]()
    while True:
        scene.workers.restart_dead()
        if (count := _count(scene)) is not None:
            samples.append((time.monotonic() - ended_at, count))
        found = recovery_of(samples, fault=fault, baseline=baseline, window=sweep.window)
        if found.seconds_back is not None or time.monotonic() - ended_at > sweep.longest:
            return found
        time.sleep(LOOK_SECONDS)


def _throughput(scene: Scene, seconds: float) -> float:
    began_at, before = time.monotonic(), _count(scene) or 0
    time.sleep(seconds)
    return ((_count(scene) or 0) - before) / (time.monotonic() - began_at)


def _count(scene: Scene) -> int | None:
    """Outcomes so far; None while the store does not answer."""
    try:
        with scene.store.snapshot() as connection:
            return connection.execute(select(func.count()).select_from(outcomes)).scalar_one()
    except ServiceUnavailable:
        return None


def _restart_database(scene: Scene, seconds: float) -> None:
    if scene.store_server is not None:
        scene.store_server.crash()
        time.sleep(seconds)
        scene.store_server.start()


def _kill_backends(scene: Scene, seconds: float) -> None:
    """End every connection to the store, again and again."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        with psycopg.connect(_url(scene), autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
        time.sleep(LOOK_SECONDS)


def _exhaust_connections(scene: Scene, seconds: float) -> None:
    """Hold every connection that the server has left, the present ones being ended."""
    with contextlib.ExitStack() as held:
        ends_at = time.monotonic() + seconds
        _kill_backends(scene, 0.1)
        while time.monotonic() < ends_at:
            try:
                held.enter_context(contextlib.closing(psycopg.connect(_url(scene))))
            except psycopg.OperationalError:
                time.sleep(LOOK_SECONDS / 5)


def _crash_worker(scene: Scene, _seconds: float) -> None:
    scene.workers.kill(scene.workers.pids[0])


def _crash_worker_again_and_again(scene: Scene, seconds: float) -> None:
    for _ in range(3):
        scene.workers.restart_dead()
        time.sleep(seconds / 3)
        scene.workers.kill(scene.workers.pids[0])


def _url(scene: Scene) -> str:
    if scene.store_server is None:
        raise RuntimeError("the sweep needs PostgreSQL")
    return scene.store_server.url


_FAULTS: dict[str, Callable[[Scene, float], None]] = {
    "database restarted": _restart_database,
    "backends killed": _kill_backends,
    "connections exhausted": _exhaust_connections,
    "worker crashed": _crash_worker,
    "worker killed repeatedly": _crash_worker_again_and_again,
}
