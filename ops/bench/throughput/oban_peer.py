"""Contender: Oban for Python on PostgreSQL; it wants Python 3.12. `enqueue` fills its queue instead."""

from __future__ import annotations

import asyncio
import os
import sys

from oban import Oban, job  # type: ignore[import-not-found]  # lives in an environment of its own
from oban.schema import install  # type: ignore[import-not-found]  # as above
from psycopg_pool import AsyncConnectionPool  # type: ignore[import-not-found,unused-ignore]  # as above

from ops.bench.throughput.peer_schema import empty_schema
from ops.bench.throughput.work import Work, prompt, run

CHUNK = 500
SCHEMA = "bench_oban"
held: list[Work] = []


@job(queue="default")  # type: ignore[untyped-decorator]  # as above
async def grade(number: int, text: str) -> None:
    """Oban's job."""
    await held[0].one(number, text)


def new_pool() -> AsyncConnectionPool:
    """As Oban's own command makes it."""
    return AsyncConnectionPool(os.environ["BENCH_POSTGRES"], min_size=1, max_size=10, open=False)


async def enqueue() -> None:
    """Put the jobs into Oban's queue."""
    await empty_schema(os.environ["BENCH_POSTGRES"], SCHEMA)
    async with new_pool() as pool:
        await install(pool, prefix=SCHEMA)
        jobs = range(int(os.environ["BENCH_JOBS"]))
        oban = Oban(pool=pool, prefix=SCHEMA)
        for first in range(0, len(jobs), CHUNK):
            await oban.enqueue_many([grade.new(number, prompt(number)) for number in jobs[first : first + CHUNK]])


async def serve() -> None:
    """Work until ended."""
    async with new_pool() as pool:
        held.append(Work())
        async with Oban(pool=pool, prefix=SCHEMA, queues={"default": int(os.environ["BENCH_IN_FLIGHT"])}):
            await asyncio.Event().wait()


if __name__ == "__main__":
    run(enqueue if sys.argv[1:] == ["enqueue"] else serve)
