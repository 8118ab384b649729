"""Contender: `asyncio.gather` over the client, with a semaphore and nothing else. Loses everything when it dies."""

from __future__ import annotations

import asyncio
import os

from ops.bench.throughput.work import Work, prompt, run


async def main() -> None:
    """Do all the work, then wait to be ended."""
    jobs, in_flight = int(os.environ["BENCH_JOBS"]), int(os.environ["BENCH_IN_FLIGHT"])
    work, places = Work(), asyncio.Semaphore(in_flight)

    async def one(number: int) -> None:
        async with places:
            await work.one(number, prompt(number))

    await asyncio.gather(*(one(number) for number in range(jobs)))
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(main)
