"""Contender: an arq worker. `enqueue` as the only argument fills its queue instead."""

from __future__ import annotations

import os
import sys
from typing import Any

from arq import create_pool  # type: ignore[import-not-found]  # lives in the peers' environment
from arq.connections import RedisSettings  # type: ignore[import-not-found]  # lives in the peers' environment
from arq.worker import Worker  # type: ignore[import-not-found]  # lives in the peers' environment

from ops.bench.throughput.work import Work, prompt, run


async def grade(context: dict[str, Any], number: int, text: str) -> None:
    """The arq function."""
    await context["work"].one(number, text)


async def startup(context: dict[str, Any]) -> None:
    """One client for the process."""
    context["work"] = Work()


async def enqueue() -> None:
    """Put the jobs into arq's queue."""
    pool = await create_pool(RedisSettings.from_dsn(os.environ["REDIS_URL"]))
    for number in range(int(os.environ["BENCH_JOBS"])):
        await pool.enqueue_job("grade", number, prompt(number))
    await pool.aclose()


async def serve() -> None:
    """Work until ended."""
    worker = Worker(
        functions=[grade],
        redis_settings=RedisSettings.from_dsn(os.environ["REDIS_URL"]),
        on_startup=startup,
        max_jobs=int(os.environ["BENCH_IN_FLIGHT"]),
    )
    await worker.async_run()


if __name__ == "__main__":
    run(enqueue if sys.argv[1:] == ["enqueue"] else serve)
