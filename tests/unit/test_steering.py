"""What a person set reaches a running worker: its limits always, its pauses and parks while there are any."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from tests.store.steps import enqueue
from workers.budget.records import OwnLimits
from workers.process.steering import hear
from workers.store.model_limits import set_limits
from workers.store.pauses import Paused, PauseScope, Target, lift_pause, pause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.store import Store


@dataclass
class Worker:
    """Budget and grader in one: what they were told."""

    limits: list[Mapping[str, OwnLimits]] = field(default_factory=list)
    paused: list[Paused] = field(default_factory=list)

    def set_own_limits(self, limits: Mapping[str, OwnLimits]) -> None:
        self.limits.append(limits)

    def evict_paused(self, paused: Paused) -> None:
        self.paused.append(paused)


async def heard(store: Store) -> Worker:
    worker = Worker()
    with store.snapshot() as connection:
        hear(asyncio.get_running_loop(), cast("Any", worker), {"p": cast("Any", worker)}, connection)
    await asyncio.sleep(0)
    return worker


async def test_a_worker_hears_limits_and_pauses_of_its_account_and_their_end(store: Store):
    batch = enqueue(store, 1).batch.id
    assert await heard(store) == Worker(limits=[{}])

    target = Target(PauseScope.BATCH, "b")
    with store.transaction() as connection:
        set_limits(connection, "m", requests_per_minute=600, calls_in_flight=8)
        set_limits(connection, "m", account="q", requests_per_minute=1)
        pause(connection, target)
    worker = await heard(store)
    assert worker.limits == [{"m": OwnLimits(requests=600, in_flight=8)}]
    assert worker.paused == [Paused(frozenset({batch}), frozenset())]

    with store.transaction() as connection:
        set_limits(connection, "m", requests_per_minute=0, calls_in_flight=0)
        lift_pause(connection, target)
    assert await heard(store) == Worker(limits=[{}])
