"""Contender: a procrastinate worker on PostgreSQL, which deletes what succeeded. `enqueue` fills its queue instead."""

from __future__ import annotations

import os
import sys

from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]  # lives in the peers' environment

from ops.bench.throughput.peer_schema import empty_schema
from ops.bench.throughput.work import Work, prompt, run

CHUNK = 500
SCHEMA = "bench_procrastinate"
held: list[Work] = []


def new_app() -> App:
    """One application with its task; the schema is its own."""
    options = f"-csearch_path={SCHEMA}"
    app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_POSTGRES"], kwargs={"options": options}))

    @app.task(name="grade")  # type: ignore[untyped-decorator]  # as above
    async def grade(number: int, text: str) -> None:
        await held[0].one(number, text)

    return app


async def enqueue() -> None:
    """Put the jobs into procrastinate's queue."""
    await empty_schema(os.environ["BENCH_POSTGRES"], SCHEMA)
    app = new_app()
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        jobs = range(int(os.environ["BENCH_JOBS"]))
        for first in range(0, len(jobs), CHUNK):
            some = [{"number": number, "text": prompt(number)} for number in jobs[first : first + CHUNK]]
            await app.tasks["grade"].batch_defer_async(*some)


async def serve() -> None:
    """Work until ended."""
    app = new_app()
    async with app.open_async():
        held.append(Work())
        await app.run_worker_async(concurrency=int(os.environ["BENCH_IN_FLIGHT"]), delete_jobs="successful")


if __name__ == "__main__":
    run(enqueue if sys.argv[1:] == ["enqueue"] else serve)
