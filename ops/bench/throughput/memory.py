"""What one more job in flight costs a worker in memory, beside one more bare call, and what a worker with 500 holds."""

from __future__ import annotations

import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

from ops.bench.processes import REPOSITORY, broker, program, resident_bytes, standin, wait_until
from ops.bench.throughput.measure import Load, contenders, environment_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ops.bench.processes import Standin
    from ops.bench.throughput.measure import Contender

WARM_UP, FEW, MANY = 50, 100, 500
SLOW_MS = "60000"
"""Nothing is answered while we look."""
LEVEL_SECONDS = 2.0
LIMITS = ("--rpm", "1000000", "--tpm", "1000000000")
"""A server that names none is tried with 200 calls until some are answered."""


def memory_of_the_worker(folder: Path) -> dict[str, float]:
    """Let the provider hold some calls, then more; the difference is what the further ones cost."""
    folder.mkdir(parents=True, exist_ok=True)
    gather, *_, worker = contenders()
    bare, ours = _of_bare_calls(gather, folder), _of_the_worker(worker, folder)
    further_bare, further = _per_further_job(bare), _per_further_job(ours)
    return {
        "kb_per_further_job": round(further, 1),
        "kb_per_further_bare_call": round(further_bare, 1),
        "kb_per_further_job_beyond_the_call": round(further - further_bare, 1),
        f"mb_with_{MANY}": round(ours[MANY] / 1e6, 1),
    }


def _per_further_job(held: Mapping[int, int]) -> float:
    return (held[MANY] - held[FEW]) / (MANY - FEW) / 1024


def _of_the_worker(contender: Contender, folder: Path) -> dict[int, int]:
    held: dict[int, int] = {}
    with standin("--latency-ms", "10", *LIMITS) as provider, broker() as broker_url:
        environment = environment_for(contender, Load(jobs=FEW, in_flight=MANY), provider, broker_url, folder)
        with program([contender.python, *contender.serve], environment, folder / "worker.log") as worker:
            # first some that are answered: they say that the provider has no limit, and load what is loaded late
            _fill(contender, environment, WARM_UP)
            wait_until(lambda: provider.stats()["answered"] >= WARM_UP, "the first answers are here")
            provider.configure(latency_ms=SLOW_MS)
            for jobs in (FEW, MANY):
                _fill(contender, environment, WARM_UP + jobs)
                wait_until(partial(_holds, provider, jobs), f"{jobs} calls are in flight")
                time.sleep(LEVEL_SECONDS)
                held[jobs] = resident_bytes(worker.pid)
    return held


def _of_bare_calls(contender: Contender, folder: Path) -> dict[int, int]:
    """Two processes that differ in the number of their calls."""
    held: dict[int, int] = {}
    for jobs in (FEW, MANY):
        with standin("--latency-ms", SLOW_MS) as provider, broker() as broker_url:
            environment = environment_for(contender, Load(jobs=jobs, in_flight=jobs), provider, broker_url, folder)
            with program([contender.python, *contender.serve], environment, folder / "gather.log") as process:
                wait_until(partial(_holds, provider, jobs), f"{jobs} calls are in flight")
                time.sleep(LEVEL_SECONDS)
                held[jobs] = resident_bytes(process.pid)
    return held


def _fill(contender: Contender, environment: dict[str, str], jobs: int) -> None:
    """The same batch with more items: those that are there already are not enqueued again."""
    fill = environment | {"BENCH_JOBS": str(jobs)}
    subprocess.run([contender.python, *contender.fill], env=fill, cwd=REPOSITORY, check=True)


def _holds(provider: Standin, jobs: int) -> bool:
    return int(provider.stats()["in_flight"]) >= jobs
