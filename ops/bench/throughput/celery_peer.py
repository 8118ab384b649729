"""Contender: stock Celery, twice: `-P threads` with one asyncio loop on a thread, and `-P prefork` with a loop a task.

`python -m ops.bench.throughput.celery_peer` fills its queue; the worker is Celery's own command.
"""

from __future__ import annotations

import asyncio
import os
import threading
from functools import cache

from celery import Celery

from ops.bench.throughput.work import Work, new_loop, prompt

app = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)


class SharedLoop:
    """One loop on a thread of its own, and one client on it, for the whole process."""

    def __init__(self) -> None:
        self.loop = new_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.work = asyncio.run_coroutine_threadsafe(self._make(), self.loop).result()

    async def _make(self) -> Work:
        return Work()


shared_loop = cache(SharedLoop)


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def grade_on_shared_loop(number: int, text: str) -> None:
    """For the threads pool."""
    shared = shared_loop()
    asyncio.run_coroutine_threadsafe(shared.work.one(number, text), shared.loop).result()


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def grade_on_own_loop(number: int, text: str) -> None:
    """For the prefork pool: `asyncio.run` in every task, as most people write it."""

    async def once() -> None:
        work = Work()
        await work.one(number, text)
        await work.close()

    asyncio.run(once())


def enqueue() -> None:
    """Put the jobs into Celery's queue."""
    task = {"threads": grade_on_shared_loop, "prefork": grade_on_own_loop}[os.environ["BENCH_POOL"]]
    for number in range(int(os.environ["BENCH_JOBS"])):
        task.delay(number, prompt(number))


if __name__ == "__main__":
    enqueue()
