"""What a long queue costs: CPU per job with 1,000 and 100,000 queued; deliveries per job when the quota is small.

    python -m ops.bench.backlog [--queued 1000 100000] [--jobs 3000] [--seconds 120]

The queue never gets shorter than what it is measured with: as many further jobs are enqueued as are worked off. The
second part runs for the given time, not until the queue is empty: that would be hours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ops.bench.processes import REPOSITORY, broker, cpu_seconds, program, standin, wait_until
from ops.bench.throughput.measure import Load, contenders, environment_for
from workers.publisher import new_celery

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from ops.bench.processes import Standin

T = TypeVar("T")
IN_FLIGHT = 100
WARM_UP = 500
"""Jobs before the measured ones: the window is full and the limits are known by then."""
PATIENCE_SECONDS = 600.0
QUOTA_QUEUED, QUOTA_RPM = 10_000, 60


def main() -> None:
    """Measure both, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queued", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--jobs", type=int, default=3_000, help="jobs worked off while we measure")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to watch the small quota")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gradequeue-bench-") as name:
        folder = Path(name)
        cpu = {queued: cpu_per_job(queued, options.jobs, folder / str(queued)) for queued in options.queued}
        deliveries = deliveries_per_job(options.seconds, folder / "quota") if options.seconds else None
    few, many = min(cpu), max(cpu)
    print(
        json.dumps(
            {
                "cpu_ms_per_job": {str(queued): round(each, 3) for queued, each in cpu.items()},
                "growth_percent": round((cpu[many] / cpu[few] - 1) * 100, 1),
                "small_quota": deliveries,
            },
            indent=2,
        )
    )


def cpu_per_job(queued: int, jobs: int, folder: Path) -> float:
    """CPU of the worker, its feeder included, for each of `jobs` jobs, with `queued` others waiting all the while."""
    with standin("--latency-ms", "0") as provider:

        def measure(pid: int, _app: Celery) -> float:
            _wait_for_answers(provider, WARM_UP)
            before, cpu_before = provider.stats()["answered"], cpu_seconds(pid)
            _wait_for_answers(provider, WARM_UP + jobs)
            after, cpu_after = provider.stats()["answered"], cpu_seconds(pid)
            return (cpu_after - cpu_before) / int(after - before) * 1000

        return _with_worker(provider, Load(jobs=queued + WARM_UP + jobs, in_flight=IN_FLIGHT), folder, measure)


def deliveries_per_job(seconds: float, folder: Path) -> dict[str, float]:
    """How often a message was taken for each job that ended, where the provider lets few jobs through."""
    with standin("--latency-ms", "200", "--rpm", str(QUOTA_RPM)) as provider:

        def measure(_pid: int, app: Celery) -> dict[str, float]:
            _wait_for_answers(provider, 1)
            time.sleep(seconds)
            [stats] = app.control.inspect(timeout=10, limit=1).stats().values()
            counted = provider.stats()
            ended_deliveries = sum(stats["total"].values()) - stats["pool"]["in-flight"]
            return {
                "deliveries_per_job": round(ended_deliveries / max(1, counted["answered"]), 3),
                "answered": counted["answered"],
                "refused": counted["refused_total"],
            }

        return _with_worker(provider, Load(jobs=QUOTA_QUEUED, in_flight=IN_FLIGHT), folder, measure)


def _with_worker(provider: Standin, load: Load, folder: Path, measure: Callable[[int, Celery], T]) -> T:
    folder.mkdir(parents=True, exist_ok=True)
    contender = contenders()[-1]
    with broker() as broker_url:
        environment = environment_for(contender, load, provider, broker_url, folder)
        subprocess.run([contender.python, *contender.fill], env=environment, cwd=REPOSITORY, check=True)
        with program([contender.python, *contender.serve], environment, folder / "worker.log") as worker:
            app = new_celery(broker_url)
            try:
                return measure(worker.pid, app)
            finally:
                app.close()


def _wait_for_answers(provider: Standin, count: int) -> None:
    wait_until(lambda: provider.stats()["answered"] >= count, f"{count} answers", PATIENCE_SECONDS)


if __name__ == "__main__":
    main()
