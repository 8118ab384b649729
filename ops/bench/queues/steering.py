"""A pause and an empty account in the middle of a run: what is still sent, what is lost, what is bought twice.

    python -m ops.bench.queues.steering
    python -m ops.bench.queues.steering --database postgresql://...     on an empty schema of PostgreSQL

A bulk batch at saturation is paused by its name and resumed; then the provider refuses every call for lack of credit
until the account is filled, which nobody tells the workers. The provider counts. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.bench.processes import broker, program, standin, wait_until
from ops.bench.queues.__main__ import enqueue_jobs, environment_of, worker_command
from producer.client import JobClient
from workers.settings import load_settings

if TYPE_CHECKING:
    from ops.bench.processes import Standin

BATCH = "steered"
QUIET_SECONDS = 3.0
"""Without a call for so long, everything that was on its way has arrived."""
PROBE_SECONDS = "5"


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="URL of an empty PostgreSQL schema [default: an SQLite file]")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rpm", type=int, default=3000)
    parser.add_argument("--latency-ms", default="500-1500")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="gradequeue-steering-") as folder,
        standin("--latency-ms", options.latency_ms, "--rpm", str(options.rpm), "--slice-seconds", "1") as provider,
        broker() as broker_url,
    ):
        environment = environment_of(folder, options.database, broker_url, provider)
        environment["GRADEQUEUE_PARK_PROBE"] = PROBE_SECONDS
        os.environ.update(environment)
        client = JobClient.connect(load_settings())
        try:
            with program(worker_command(200, queues="bulk"), environment, Path(folder) / "worker.log"):
                print(json.dumps(_measured(client, provider, options.jobs), indent=2))
        finally:
            client.close()


def _measured(client: JobClient, provider: Standin, jobs: int) -> dict[str, Any]:
    enqueue_jobs(client, BATCH, jobs, queue="bulk", weight=None)
    batch = client.batch(BATCH)
    wait_until(lambda: provider.stats()["answered"] > jobs * 0.2, "a fifth is answered")

    batch.pause()
    paused_at, at_pause = time.monotonic(), provider.stats()["received"]
    last_call_seconds = _until_quiet(provider, since=paused_at)
    sent_after_pause = provider.stats()["received"] - at_pause
    batch.resume()
    resumed_at, before = time.monotonic(), provider.stats()["received"]
    wait_until(lambda: provider.stats()["received"] > before, "a call after resume")
    resumed_seconds = time.monotonic() - resumed_at

    wait_until(lambda: provider.stats()["answered"] > jobs * 0.5, "half is answered")
    in_flight = provider.stats()["in_flight"]
    provider.configure(faults=["insufficient_quota=1.0"])
    _until_quiet(provider, since=time.monotonic())
    refused = provider.stats()["faulted_total"]
    provider.configure(faults=[])
    filled_at = time.monotonic()
    wait_until(lambda: batch.progress().is_finished, "the rest is graded", 300.0)

    progress = batch.progress()
    return {
        "pause": {
            "calls_after": sent_after_pause,
            "last_call_after_seconds": round(last_call_seconds, 2),
            "first_call_after_resume_seconds": round(resumed_seconds, 2),
        },
        "empty_account": {
            "in_flight_before": in_flight,
            "calls_refused": refused,
            "finished_after_filling_seconds": round(time.monotonic() - filled_at, 1),
        },
        "jobs": progress.total,
        "succeeded": progress.succeeded,
        "failed": progress.failed,
        "answers_bought_twice": provider.stats()["answered"] - progress.succeeded,
        "load_average": os.getloadavg()[0],
    }


def _until_quiet(provider: Standin, *, since: float) -> float:
    """Wait until no call comes any more; returns the seconds from `since` to the last one, as far as it was seen."""
    seen, last_at = provider.stats()["received"], since
    while time.monotonic() - max(last_at, since) < QUIET_SECONDS:
        time.sleep(0.05)
        received = provider.stats()["received"]
        if received > seen:
            seen, last_at = received, time.monotonic()
    return last_at - since


if __name__ == "__main__":
    main()
