"""A run whose work is paused goes back unspent, or waits in place where it would come back at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.unit.grading.test_grader import (  # noqa: F401 - grader and playing are fixtures
    Playing,
    grader,
    ledger,
    playing,
    published,
    row,
)
from workers.completion.classify import Transient
from workers.grading import grader as module
from workers.grading.records import Finished, Snoozed
from workers.store.pauses import PauseScope, Target, lift_pause, pause

if TYPE_CHECKING:
    import pytest

    from workers.grading.grader import Grader
    from workers.store import Store

BATCH, SPARE = Target(PauseScope.BATCH, "b"), Target(PauseScope.MODEL, "spare")


async def test_a_claimed_job_of_a_paused_batch_goes_back_without_an_attempt(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    job_id = published(store)
    playing.on_reserve = lambda: store.run(lambda connection: pause(connection, BATCH))
    assert await grader.run(job_id) == Snoozed(0.0, message_follows=False)

    assert "complete" not in playing.told
    assert playing.told.count("reserve") == playing.told.count("give_back")
    assert (row(store, job_id), ledger(store)) == (("ready", False), {})


async def test_a_job_whose_fallback_is_paused_waits_in_place(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "PAUSED_AGAIN_SECONDS", 0.01)
    job_id = published(store, fallback_model="spare", max_retries=0)
    playing.endings = [Transient("The provider failed", None, 500)]
    store.run(lambda connection: pause(connection, SPARE))
    running = asyncio.create_task(grader.run(job_id))
    async with asyncio.timeout(10):
        while playing.told.count("reserve") < 4:  # noqa: ASYNC110 - the played budget has no event
            await asyncio.sleep(0.001)
    assert playing.told.count("complete") == 1

    await asyncio.to_thread(store.run, lambda connection: lift_pause(connection, SPARE))
    assert await running == Finished(None)
    assert playing.told.count("complete") == 2
