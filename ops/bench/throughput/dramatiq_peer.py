"""Contender: a dramatiq worker on Redis with its AsyncIO middleware: a thread for each job in flight, one event loop.

`enqueue` as the only argument fills its queue instead.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from functools import cache

import dramatiq  # type: ignore[import-not-found]  # lives in the peers' environment
import uvloop
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]  # as above
from dramatiq.middleware.asyncio import AsyncIO  # type: ignore[import-not-found]  # as above

from ops.bench.throughput.work import Work, prompt

broker = RedisBroker(url=os.environ["REDIS_URL"])
broker.add_middleware(AsyncIO())
dramatiq.set_broker(broker)
work = cache(Work)
"""One client for the process; made on its event loop."""


@dramatiq.actor(max_retries=0, time_limit=float("inf"))  # type: ignore[untyped-decorator]  # as above
async def grade(number: int, text: str) -> None:
    """Dramatiq's actor."""
    await work().one(number, text)


def enqueue() -> None:
    """Put the jobs into dramatiq's queue."""
    for number in range(int(os.environ["BENCH_JOBS"])):
        grade.send(number, prompt(number))


def serve() -> None:
    """Work until ended."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    worker = dramatiq.Worker(broker, worker_threads=int(os.environ["BENCH_IN_FLIGHT"]))
    worker.start()
    threading.Event().wait()


if __name__ == "__main__":
    (enqueue if sys.argv[1:] == ["enqueue"] else serve)()
