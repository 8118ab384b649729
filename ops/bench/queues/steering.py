"""A pause and an empty account in the middle of a run: what is still sent, what is lost, what is bought twice.

    python -m ops.bench.queues.steering
    python -m ops.bench.queues.steering --processes 4                   worker processes; one, unless told otherwise
    python -m ops.bench.queues.steering --database postgresql://...     on an empty schema of PostgreSQL

A bulk batch at saturation is paused and resumed by the batch, its model, its account and its queue; then the provider
refuses every call for lack of credit until the account is filled, which nobody tells the workers. The provider counts.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.bench.processes import broker, program, standin, wait_until
from ops.bench.queues.__main__ import MODEL, enqueue_jobs, environment_of, worker_command
from producer.client import JobClient
from producer.local.steering import pause_target, resume_target
from workers.settings import load_settings
from workers.store.pauses import PauseScope

if TYPE_CHECKING:
    from ops.bench.processes import Standin

BATCH = "steered"
QUIET_SECONDS = 3.0
"""Without a call for so long, everything that was on its way has arrived."""
PROBE_SECONDS = "5"
LOAD_CALLS = 50
"""Between a resume and the next pause."""


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="URL of an empty PostgreSQL schema [default: an SQLite file]")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rpm", type=int, default=3000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--latency-ms", default="500-1500")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="gradequeue-steering-") as folder,
        standin("--latency-ms", options.latency_ms, "--rpm", str(options.rpm), "--slice-seconds", "1") as provider,
        broker() as broker_url,
        ExitStack() as workers,
    ):
        environment = environment_of(folder, options.database, broker_url, provider)
        environment["GRADEQUEUE_PARK_PROBE"] = PROBE_SECONDS
        os.environ.update(environment)
        client = JobClient.connect(load_settings())
        try:
            for number in range(options.processes):
                command = worker_command(200 // options.processes, queues="bulk")
                workers.enter_context(program(command, environment, Path(folder) / f"worker{number}.log"))
            print(json.dumps(_measured(client, provider, options.jobs), indent=2))
        finally:
            client.close()


def _measured(client: JobClient, provider: Standin, jobs: int) -> dict[str, Any]:
    enqueue_jobs(client, BATCH, jobs, queue="bulk", weight=None)
    batch = client.batch(BATCH)
    wait_until(lambda: provider.stats()["answered"] > jobs * 0.2, "a fifth is answered")

    targets = {
        PauseScope.BATCH: BATCH,
        PauseScope.MODEL: MODEL,
        PauseScope.ACCOUNT: batch.progress().provider,
        PauseScope.QUEUE: "bulk",
    }
    pauses = {str(scope): _pause(client, provider, scope, name) for scope, name in targets.items()}

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
        "pauses": pauses,
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


def _pause(client: JobClient, provider: Standin, scope: PauseScope, name: str) -> dict[str, float]:
    """Pause in the middle of the load, wait until nothing comes any more, resume."""
    at_pause = provider.stats()["received"]
    pause_target(client.store, name, scope=scope)
    last_call_seconds = _until_quiet(provider, since=time.monotonic())
    before = provider.stats()["received"]
    resume_target(client.store, name, scope=scope)
    resumed_at = time.monotonic()
    wait_until(lambda: provider.stats()["received"] > before, "a call after resume")
    resumed_seconds = time.monotonic() - resumed_at
    wait_until(lambda: provider.stats()["received"] > before + LOAD_CALLS, "the load is back")
    return {
        "calls_after": before - at_pause,
        "last_call_after_seconds": round(last_call_seconds, 2),
        "first_call_after_resume_seconds": round(resumed_seconds, 2),
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
