"""A grader over a real store, whose provider refuses as the test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.refusing import Counts, Refusing, Scene
from workers.grading.health import HealthMonitor
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.store import Store


@pytest.fixture
async def scene(store: Store) -> AsyncIterator[Scene]:
    writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop())
    writer.start()
    playing, counts, resumed = Refusing(), Counts(), []

    async def resume() -> None:
        resumed.append("account")

    grader = playing.grader(writer, HealthMonitor(counts, on_end_of_refusals=resume))
    yield Scene(grader, playing, counts, playing.parked, resumed)
    await asyncio.to_thread(writer.stop, patience_seconds=5.0)
