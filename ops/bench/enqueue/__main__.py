"""`python -m ops.bench.enqueue`: rows a second of enqueue and of the writer, beside bare statements in the same run.

enqueue   4 KB prompts checked, committed and published by `JobClient`, against `executemany` and a pipeline of LPUSH
writer    claims, ledger rows and outcomes of many coroutines, as a worker process persists them
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from pydantic import BaseModel
from sqlalchemy import text

from ops.bench.chaos.services import Cluster, cluster
from ops.bench.processes import broker
from producer.client import JobClient
from workers.contract.job import JobSpec
from workers.contract.outcome import AttemptEnding, Success, Usage
from workers.contract.registry import builtin_registry
from workers.publisher import Publisher
from workers.settings import load_settings
from workers.store import Store
from workers.store.claims import ClaimedJob
from workers.store.feed import Feed, due_jobs, mark_published
from workers.store.ledger import AttemptClosing, AttemptOpening, JobEnding, Purpose
from workers.store.sql import new_id
from workers.store.writer import JobUpdate, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

PROMPT = "Grade this program. " + "x = 1  # a line of a program\n" * 140
"""4 KB."""
PROVIDER = "standin"
IN_FLIGHT = 500
ALTERNATIONS = 5


class Grade(BaseModel):
    """An answer of the usual size."""

    score: int = 7
    feedback: str = "A sentence about the program. " * 12


@dataclass(frozen=True, slots=True)
class Services:
    """Where a run works."""

    store: Store
    redis_url: str


def main() -> None:
    """Measure on SQLite, and on PostgreSQL where it is installed."""
    parser = argparse.ArgumentParser(prog="ops.bench.enqueue", description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000, help="per enqueue")
    options = parser.parse_args()
    with ExitStack() as stack:
        redis_url = stack.enter_context(broker())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gq-bench-")))
        urls = {"sqlite": f"sqlite:///{folder / 'store.db'}"}
        if Cluster.is_possible():
            urls["postgresql"] = stack.enter_context(cluster()).url
        for kind, url in urls.items():
            store = Store.open(url)
            store.migrate()
            _measure(kind, Services(store, redis_url), options.jobs)
            store.close()


def _measure(kind: str, services: Services, count: int) -> None:
    ours, bare = [], []
    for turn in range(ALTERNATIONS):
        ours.append(_rows_per_second(count, lambda turn=turn: _enqueue(services, count, turn)))  # type: ignore[misc]
        bare.append(_rows_per_second(count, lambda turn=turn: _bare(services, count, turn)))  # type: ignore[misc]
    rate, floor = statistics.median(ours), statistics.median(bare)
    print(f"{kind}: enqueue {rate:,.0f} rows/s; bare executemany and LPUSH {floor:,.0f}; ratio {rate / floor:.2f}")
    per_second, per_commit = asyncio.run(_persist(services.store, count * 2))
    print(f"{kind}: writer {per_second:,.0f} outcomes/s, {per_commit:.0f} operations per commit")


def _rows_per_second(count: int, work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def _enqueue(services: Services, count: int, turn: int) -> None:
    settings = load_settings(redis_url=services.redis_url, offline=True, window=10**9)
    publisher = Publisher.connect(settings)
    publisher.begin_epoch(services.store)
    client = JobClient(store=services.store, publisher=publisher, registry=builtin_registry(), provider=PROVIDER)
    specs = (
        JobSpec(id=f"i{n}", prompt=f"{turn} {n} {PROMPT}", schema="feedback", model="standin") for n in range(count)
    )
    client.enqueue(specs, name=f"turn-{turn}", starts_carefully=False)
    publisher.close()


def _bare(services: Services, count: int, turn: int) -> None:
    with services.store.transaction() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS bare (id VARCHAR(32) PRIMARY KEY, prompt TEXT)"))
        rows = [{"id": new_id(), "prompt": f"{turn} {n} {PROMPT}"} for n in range(count)]
        connection.execute(text("INSERT INTO bare (id, prompt) VALUES (:id, :prompt)"), rows)
    client = redis.Redis.from_url(services.redis_url)
    pipeline = client.pipeline(transaction=False)
    for row in rows:
        pipeline.lpush("bare", json.dumps({"args": [row["id"], 1], "task": "gradequeue.grade"}))
    pipeline.execute()
    client.close()


async def _persist(store: Store, at_most: int) -> tuple[float, float]:
    store.run(lambda connection: connection.execute(text("UPDATE jobs SET published_at = NULL")))
    with store.snapshot() as connection:
        chosen = due_jobs(connection, Feed("bulk", PROVIDER), at_most=at_most)
    store.run(lambda connection: mark_published(connection, chosen))
    writer = Writer(store, worker_id="bench", loop=asyncio.get_running_loop())
    writer.start()
    slots = asyncio.Semaphore(IN_FLIGHT)
    began = time.perf_counter()
    await asyncio.gather(*(_life(writer, job_id, slots) for job_id in chosen))
    took = time.perf_counter() - began
    await asyncio.to_thread(writer.stop, patience_seconds=10)
    return len(chosen) / took, writer.operations / writer.commits


async def _life(writer: Writer, job_id: str, slots: asyncio.Semaphore) -> None:
    async with slots:
        job = await writer.claim(job_id)
        if not isinstance(job, ClaimedJob):
            raise RuntimeError("nobody else works here")  # noqa: TRY004 - no type is wrong
        attempt = new_id()
        await writer.open_attempt(
            AttemptOpening(
                attempt_id=attempt,
                job_id=job.id,
                batch_id=job.batch_id,
                account=job.account,
                round=job.round,
                claim=job.claim,
                worker_id="bench",
                purpose=Purpose.GRADE,
                model=job.model,
            )
        )
        usage = Usage(prompt_tokens=1000, completion_tokens=100)
        closing = AttemptClosing(attempt_id=attempt, ending=AttemptEnding.ANSWERED, usage=usage, cost_usd=0.001)
        ending = JobEnding(
            job_id=job.id,
            batch_id=job.batch_id,
            round=job.round,
            claim=job.claim,
            outcome=Success(Grade()),
            model_answered="standin",
            is_standin=True,
        )
        await writer.persist(JobUpdate(closing=closing, ending=ending))


if __name__ == "__main__":
    main()
