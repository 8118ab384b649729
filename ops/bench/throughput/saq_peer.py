"""Contender: a SAQ worker. `enqueue` as the only argument fills its queue instead."""

from __future__ import annotations

import os
import sys
from typing import Any

from saq import Queue, Worker  # type: ignore[import-not-found]  # lives in the peers' environment

from ops.bench.throughput.work import Work, prompt, run


async def grade(context: dict[str, Any], *, number: int, text: str) -> None:
    """The SAQ function."""
    await context["work"].one(number, text)


async def startup(context: dict[str, Any]) -> None:
    """One client for the process."""
    context["work"] = Work()


async def enqueue() -> None:
    """Put the jobs into SAQ's queue."""
    queue = Queue.from_url(os.environ["REDIS_URL"])
    for number in range(int(os.environ["BENCH_JOBS"])):
        await queue.enqueue("grade", number=number, text=prompt(number), timeout=0)
    await queue.disconnect()


async def serve() -> None:
    """Work until ended."""
    queue = Queue.from_url(os.environ["REDIS_URL"])
    in_flight = int(os.environ["BENCH_IN_FLIGHT"])
    worker: Any = Worker(queue, functions=[("grade", grade)], concurrency=in_flight, startup=startup)
    await worker.start()


if __name__ == "__main__":
    run(enqueue if sys.argv[1:] == ["enqueue"] else serve)
