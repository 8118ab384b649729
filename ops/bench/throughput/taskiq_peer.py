"""Contender: a taskiq worker on a Redis stream, acknowledged when executed. `enqueue` fills its queue instead."""

from __future__ import annotations

import os
import sys
from typing import Any

from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState  # type: ignore[import-not-found]
from taskiq.acks import AcknowledgeType  # type: ignore[import-not-found]
from taskiq.api import run_receiver_task  # type: ignore[import-not-found]
from taskiq_redis import RedisStreamBroker  # type: ignore[import-not-found]

from ops.bench.throughput.work import Work, prompt, run

broker = RedisStreamBroker(os.environ["REDIS_URL"])
given_context = TaskiqDepends()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)  # type: ignore[untyped-decorator]  # lives in the peers' environment
async def startup(state: TaskiqState) -> None:
    """One client for the process."""
    state.work = Work()


@broker.task("grade")  # type: ignore[untyped-decorator]  # as above
async def grade(number: int, text: str, context: Any = given_context) -> None:
    """The taskiq function."""
    await context.state.work.one(number, text)


grade.original_func.__annotations__["context"] = Context


async def enqueue() -> None:
    """Put the jobs into taskiq's queue."""
    await broker.startup()
    for number in range(int(os.environ["BENCH_JOBS"])):
        await grade.kiq(number, prompt(number))
    await broker.shutdown()


async def serve() -> None:
    """Work until ended."""
    broker.is_worker_process = True
    await run_receiver_task(
        broker,
        max_async_tasks=int(os.environ["BENCH_IN_FLIGHT"]),
        run_startup=True,
        ack_time=AcknowledgeType.WHEN_EXECUTED,
    )


if __name__ == "__main__":
    run(enqueue if sys.argv[1:] == ["enqueue"] else serve)
