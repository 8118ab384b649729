"""One run of one contender, watched from outside: answers at the provider, CPU and memory in /proc.

What counts lies between 10% and 90% of the jobs, so that neither the start nor the last stragglers do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ops.bench.processes import REPOSITORY, Standin, broker, cpu_seconds, program, resident_bytes

PATIENCE_SECONDS = 240.0
POLL_SECONDS = 0.05
BEGIN, END = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class Contender:
    """Who runs, with which interpreter: `fill` puts the jobs into its queue, `serve` works them off."""

    name: str
    python: str
    serve: tuple[str, ...]
    fill: tuple[str, ...] = ()
    most_in_flight: int | None = None
    """One process of it cannot hold more."""
    most_jobs: int | None = None
    """It is so slow that more would only take longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of a contender."""

    jobs: int
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run gave."""

    jobs_per_second: float
    cpu_ms_per_job: float
    resident_mb: float


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    answered: int
    cpu: float


def run_once(contender: Contender, load: Load, standin: Standin, folder: Path) -> Figures:
    """Fill the contender's queue, let it work, watch."""
    load = Load(
        jobs=min(load.jobs, contender.most_jobs or load.jobs),
        in_flight=min(load.in_flight, contender.most_in_flight or load.in_flight),
    )
    folder.mkdir(parents=True, exist_ok=True)
    standin.reset()
    with broker() as broker_url:
        environment = environment_for(contender, load, standin, broker_url, folder)
        if contender.fill:
            subprocess.run([contender.python, *contender.fill], env=environment, cwd=REPOSITORY, check=True)
        with program([contender.python, *contender.serve], environment, folder / "worker.log") as worker:
            return _watch(worker, load, standin, folder)


def environment_for(
    contender: Contender, load: Load, standin: Standin, broker_url: str, folder: Path
) -> dict[str, str]:
    """What every program of a run reads."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRADEQUEUE_")}
    return inherited | {
        "BENCH_JOBS": str(load.jobs),
        "BENCH_IN_FLIGHT": str(load.in_flight),
        "BENCH_POOL": contender.name.rpartition(" ")[2],
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": standin.base_url,
        "REDIS_URL": broker_url,
        "BENCH_POSTGRES": os.environ.get("BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test"),
        "DATABASE_URL": f"sqlite:///{folder / 'store.db'}",
        "GRADEQUEUE_OFFLINE": "1",
        "GRADEQUEUE_CONCURRENCY": str(load.in_flight),
        "GRADEQUEUE_DATA_DIR": str(folder),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
    }


def _watch(worker: subprocess.Popen[bytes], load: Load, standin: Standin, folder: Path) -> Figures:
    looks: list[_Look] = []
    resident = 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not looks or looks[-1].answered < END * load.jobs:
        if worker.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"it stopped working; its log is {folder / 'worker.log'}")
        time.sleep(POLL_SECONDS)
        looks.append(_Look(time.monotonic(), standin.stats()["answered"], cpu_seconds(worker.pid)))
        resident = max(resident, resident_bytes(worker.pid))
    first = next(look for look in looks if look.answered >= BEGIN * load.jobs)
    last = looks[-1]
    jobs = last.answered - first.answered
    return Figures(
        jobs_per_second=jobs / (last.at - first.at),
        cpu_ms_per_job=(last.cpu - first.cpu) / jobs * 1000,
        resident_mb=resident / 1e6,
    )


PEERS = {
    "saq": "gradequeue-peers",
    "taskiq": "gradequeue-peers",
    "dramatiq": "gradequeue-peers",
    "procrastinate": "gradequeue-peers",
    "arq": "gradequeue-peers-arq",
    "oban": "gradequeue-peers-oban",
}
"""Peer -> the folder of its environment."""


def version_of(contender: Contender) -> str:
    """Of a peer's package, for people; empty for everybody else."""
    if contender.name not in PEERS:
        return ""
    code = f"import importlib.metadata as m; print(m.version({contender.name!r}))"
    return subprocess.run([contender.python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def contenders(peers: Path | None = None) -> list[Contender]:
    """Everybody, the project last; of the peers those whose environment is in this folder."""
    here = sys.executable
    celery = ("-m", "celery", "-A", "ops.bench.throughput.celery_peer", "worker", "--loglevel", "WARNING")
    fill_celery = ("-m", "ops.bench.throughput.celery_peer")
    found = [Contender("gather", here, ("-m", "ops.bench.throughput.bare_gather"))]
    for name, environment in PEERS.items():
        python = Path(peers or "") / environment / "bin" / "python"
        if peers is not None and python.exists():
            module = f"ops.bench.throughput.{name}_peer"
            found.append(Contender(name, str(python), ("-m", module), ("-m", module, "enqueue")))
    return [
        *found,
        Contender("celery threads", here, (*celery, "-E", "-P", "threads", "-c", "500"), fill_celery),
        Contender(
            "celery prefork",
            here,
            (*celery, "-E", "-P", "prefork", "-c", "20"),
            fill_celery,
            most_in_flight=20,
            most_jobs=200,
        ),
        Contender("gradequeue", here, GRADEQUEUE_WORKER, ("-m", "ops.bench.throughput.project")),
    ]


GRADEQUEUE_WORKER = (
    "-P", "-m", "workers.process.celery_worker", "--queues", "bulk",
    "--without-gossip", "--without-mingle", "--loglevel", "INFO",
)  # fmt: skip
