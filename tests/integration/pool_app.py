"""A Celery application with our pool, consumer and stop, and tasks that say what happens to them, for a worker process.

What happens is appended to $POOL_EVENTS, a line each; coroutines wait until $POOL_GATE exists.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import current_task

from workers.process.celery_channel import use_worker_connections
from workers.process.celery_delivery import run_on_loop
from workers.process.celery_stopping import OrderlyStop
from workers.publisher import new_celery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EVENTS, GATE = Path(os.environ["POOL_EVENTS"]), Path(os.environ["POOL_GATE"])

app = new_celery(os.environ["REDIS_URL"])
app.set_current()
app.conf.update(
    worker_pool="workers.process.celery_pool:TaskPool",
    worker_consumer="workers.process.celery_consumer:LossProofConsumer",
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_soft_shutdown_timeout=float(os.environ.get("POOL_SOFT_SECONDS", "0")),
    task_acks_late=True,
    task_acks_on_failure=True,
    task_default_queue="pool",
)
use_worker_connections(app)
app.steps["worker"].add(OrderlyStop)


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    say("open")
    yield
    say("close")


app.lifespan = lifespan


def say(event: str) -> None:
    with EVENTS.open("a") as file:
        file.write(event + "\n")


def gate_is_open() -> bool:
    return GATE.exists()


async def wait_at_gate(name: str) -> None:
    say(f"began {name}")
    try:
        while not gate_is_open():  # noqa: ASYNC110 - another process opens it
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        say(f"cancelled {name}")
        raise
    say(f"ended {name}")


@app.task(bind=True, name="hold", throws=(Exception,))
def hold(self: Any, name: str) -> str:
    """Wait at the gate."""
    assert current_task.request.id == self.request.id, "the request is where Celery's own code looks for it"
    say(f"request {name} {self.request.id}")
    try:
        run_on_loop(wait_at_gate(name))
    except Exception as error:
        say(f"{type(error).__name__} {name}")
        raise
    return name


@app.task(name="ignore_cancellation")
def ignore_cancellation(name: str) -> None:
    """Wait at the gate, whatever anybody wants."""

    async def wait() -> None:
        while not gate_is_open():
            try:
                await wait_at_gate(name)
            except asyncio.CancelledError:
                continue

    run_on_loop(wait())


@app.task(name="cancel_itself")
def cancel_itself() -> None:
    """Raise what nobody asked for."""

    async def cancel() -> None:
        raise asyncio.CancelledError

    run_on_loop(cancel())
