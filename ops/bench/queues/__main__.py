"""Whether a click is served at once beside a bulk run at saturation, and whether batches share by weight.

    python -m ops.bench.queues                                    a minute, on SQLite
    python -m ops.bench.queues --database postgresql://...        on an empty schema of PostgreSQL
    python -m ops.bench.queues --weights 1 1 --clicks 0           shares alone

Two bulk batches with the given weights keep the provider's limit busy; then one interactive job a second is enqueued.
What counts is read from the store's ledger, by its clock: from a click's enqueue to the end of its call, less the
provider's latency, so the way to the provider and the commit of the answer are in it. `click_parts` says where that
time goes, and `enqueue_call` how long the program that enqueues waits, commit and message. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from ops.bench.processes import broker, program, standin, wait_until
from producer.client import Item, JobClient
from workers.contract.job import JobParameters
from workers.settings import load_settings
from workers.store.tables import attempts, batches, jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.bench.processes import Standin

MODEL = "gpt-4o"
PROMPT = "Give feedback on program {}.\n" + "print('hello world')\n" * 48
MAX_TOKENS = 500


def main() -> None:
    """Measure once."""
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="gradequeue-queues-") as folder,
        standin(
            "--latency-ms", str(options.latency_ms), "--rpm", str(options.rpm),
            "--slice-seconds", str(options.slice_seconds),
        ) as provider,
        broker() as broker_url,
    ):  # fmt: skip
        environment = environment_of(folder, options.database, broker_url, provider)
        os.environ.update(environment)
        client = JobClient.connect(load_settings())
        try:
            with program(worker_command(options.concurrency), environment, Path(folder) / "worker.log"):
                print(json.dumps(_measured(client, provider, options), indent=2))
        finally:
            client.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="URL of an empty PostgreSQL schema [default: an SQLite file]")
    parser.add_argument("--rpm", type=int, default=3000)
    parser.add_argument("--slice-seconds", type=float, default=6.0)
    parser.add_argument("--latency-ms", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=10_000, help="bulk jobs, of both batches together")
    parser.add_argument("--weights", type=float, nargs=2, default=[3.0, 1.0])
    parser.add_argument("--clicks", type=int, default=30, help="one a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="at least so long")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds of bulk alone, before anything counts")
    parser.add_argument("--concurrency", type=int, default=200)
    return parser.parse_args()


def environment_of(folder: str, database: str | None, broker_url: str, provider: Standin) -> dict[str, str]:
    """Of the workers and of this process, which enqueues."""
    return {
        **os.environ,
        "DATABASE_URL": database or f"sqlite:///{folder}/store.db",
        "REDIS_URL": broker_url,
        "GRADEQUEUE_STANDIN_URL": provider.base_url,
        "GRADEQUEUE_OFFLINE": "1",
        "GRADEQUEUE_DATA_DIR": folder,
    }


def worker_command(concurrency: int, *, queues: str = "interactive,bulk") -> list[str]:
    """One process per queue."""
    return [
        sys.executable, "-m", "producer.cli.main", "worker", "--queues", queues,
        "--concurrency", str(concurrency), "--offline",
    ]  # fmt: skip


def _measured(client: JobClient, provider: Standin, options: argparse.Namespace) -> dict[str, Any]:
    for name, weight in zip(("bulk-a", "bulk-b"), options.weights, strict=True):
        enqueue_jobs(client, name, options.jobs // 2, queue="bulk", weight=weight)
    wait_until(lambda: provider.stats()["answered"] > 0, "the first answer")
    time.sleep(options.warm_up)

    began_at, began_answered = time.time(), provider.stats()
    enqueuing: list[float] = []
    for number in range(options.clicks):
        due_at = began_at + number
        time.sleep(max(0.0, due_at - time.time()))
        asked_at = time.perf_counter()
        enqueue_jobs(client, f"click-{number}", 1, queue="interactive", weight=None)
        enqueuing.append(time.perf_counter() - asked_at)
    time.sleep(max(0.0, began_at + max(options.seconds, options.clicks) - time.time()))
    ended_at, stats = time.time(), provider.stats()

    opened = _opened(client, began_at, ended_at)
    bulk = [opened.get(name, 0) for name in ("bulk-a", "bulk-b")]
    admitted = stats["admitted"] - began_answered["admitted"]
    if options.clicks:
        wait_until(lambda: len(_clicks(client)) == options.clicks, "every click is answered")
    clicks, latency = _clicks(client), options.latency_ms / 1000
    share = options.weights[0] / sum(options.weights)
    return {
        "seconds": round(ended_at - began_at, 1),
        "utilisation": round(admitted / (options.rpm / 60 * (ended_at - began_at)), 3),
        "refused": stats["refused_total"],
        "bulk": dict(zip(("bulk-a", "bulk-b"), bulk, strict=True)),
        "share_over_weight": round(bulk[0] / max(1, sum(bulk)) / share, 3),
        "click_seconds": _percentiles([each.closed_at - each.enqueued_at - latency for each in clicks]),
        "click_parts": {
            "enqueue_call": _percentiles(enqueuing),
            "to_claim": _percentiles([each.claimed_at - each.enqueued_at for each in clicks]),
            "to_ledger": _percentiles([each.opened_at - each.claimed_at for each in clicks]),
            "to_answer_stored": _percentiles([each.closed_at - each.opened_at - latency for each in clicks]),
        },
        "load_average": os.getloadavg()[0],
    }


def enqueue_jobs(client: JobClient, name: str, count: int, *, queue: str, weight: float | None) -> None:
    """Another program for each job, of about 1 KB."""
    items = [Item(id=f"{name}-{number}", prompt=PROMPT.format(f"{name} {number}")) for number in range(count)]
    client.enqueue(
        items, name=name, schema="feedback", model=MODEL, queue=queue, weight=weight,
        params=JobParameters(max_tokens=MAX_TOKENS),
    )  # fmt: skip


def _opened(client: JobClient, since: float, until: float) -> dict[str, int]:
    with client.store.snapshot() as connection:
        rows = connection.execute(
            select(batches.c.name, func.count())
            .select_from(attempts.join(batches, batches.c.id == attempts.c.batch_id))
            .where(attempts.c.opened_at.between(since, until), attempts.c.ending.is_distinct_from("not_sent"))
            .group_by(batches.c.name)
        ).all()
    return {row[0]: row[1] for row in rows}


def _clicks(client: JobClient) -> Sequence[Any]:
    """The store's times of every click whose call has ended."""
    with client.store.snapshot() as connection:
        return connection.execute(
            select(jobs.c.enqueued_at, jobs.c.claimed_at, attempts.c.opened_at, attempts.c.closed_at)
            .join(jobs, jobs.c.id == attempts.c.job_id)
            .join(batches, batches.c.id == jobs.c.batch_id)
            .where(batches.c.queue == "interactive", attempts.c.ending == "answered")
        ).all()


def _percentiles(waits: Sequence[float]) -> dict[str, float] | None:
    if len(waits) < 2:  # noqa: PLR2004 - quantiles want two
        return None
    cut = statistics.quantiles(waits, n=100, method="inclusive")
    return {"p50": round(cut[49], 3), "p95": round(cut[94], 3), "p99": round(cut[98], 3), "most": round(max(waits), 3)}


if __name__ == "__main__":
    main()
