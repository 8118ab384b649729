"""What may be at the provider though nobody noted it, and what the provider does not find for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.support.lane_scene import LaneScene, lane_scene
from tests.support.stores import new_store
from workers.completion.classify import Blocked, Transient
from workers.completion.lanes.errors import LaneCallFailed, LaneUnavailable, NotFound
from workers.contract.lane import Lane
from workers.contract.outcome import AccountState
from workers.store.lane_tables import submissions
from workers.store.lanes.times import note_refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.completion.lanes.errors import LaneError

HOUR = 3600.0
GONE = NotFound("the server does not know it", status_code=404)
AWAY = LaneCallFailed(Transient("bad gateway", None, 502), status_code=502)
MOVED = LaneUnavailable("The server does not serve this lane (status 404)", status_code=404)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[LaneScene]:
    store = new_store(tmp_path / "store.db")
    async with lane_scene(store, tmp_path) as scene:
        yield scene
    store.close()


def failing(scene: LaneScene, call: str, problem: LaneError, *, until: float) -> None:
    """Until that time of the clock, the provider answers this call so."""
    real = getattr(scene.provider, call)

    def is_failing() -> bool:
        return scene.clock.now < until

    async def answered(*arguments: Any, **options: Any) -> Any:
        if is_failing():
            raise problem
        return await real(*arguments, **options)

    async def lines(*arguments: Any, **options: Any) -> Any:
        if is_failing():
            raise problem
        async for line in real(*arguments, **options):
            yield line

    setattr(scene.provider, call, lines if call == "download" else answered)


async def killed_after(scene: LaneScene, step: str, **enqueued: Any) -> None:
    scene.crashes_after = step
    scene.enqueue(2, **enqueued)
    await scene.round()
    assert scene.crashes_after is None


@pytest.mark.parametrize("step", ["created", "creation noted"])
async def test_a_batch_made_by_a_worker_that_died_is_cancelled_when_it_is_late(scene: LaneScene, step: str):
    scene.provider.seconds_of = lambda _lane, _marker: 4 * HOUR
    await killed_after(scene, step, deadline_seconds=2 * HOUR)
    scene.clock.move(2 * HOUR - 60)  # nobody looked until it was late
    await scene.go(600, every=5.0)
    assert [each.cancelled_at is not None for each in scene.provider.batches.values()] == [True]
    assert scene.ledger()["answered"] == len(scene.provider.billed)
    assert scene.states()["succeeded"] + scene.waits_live() == 2


async def test_a_response_begun_by_a_worker_that_died_may_be_billed(scene: LaneScene):
    with scene.store.transaction() as connection:
        note_refusal(connection, "p", Lane.BATCH, "", "no batches here")
    await killed_after(scene, "created", deadline_seconds=12 * HOUR)
    scene.clock.move(12 * HOUR - 60)
    await scene.go(30, every=5.0)
    assert (scene.ledger(), scene.waits_live()) == ({"unknown": 1}, 1)


async def test_a_file_uploaded_by_a_worker_that_died_is_deleted_when_it_is_late(scene: LaneScene):
    await killed_after(scene, "uploaded", deadline_seconds=2 * HOUR)
    assert scene.provider.files
    scene.clock.move(2 * HOUR - 60)
    await scene.go(30, every=5.0)
    assert (scene.provider.files, scene.waits_live(), scene.provider.billed) == ({}, 2, [])


async def test_a_refused_key_does_not_make_anybody_sure(scene: LaneScene):
    await killed_after(scene, "created")
    refused = Blocked(AccountState.AUTH_FAILED, "key revoked", 401)
    failing(scene, "find", LaneCallFailed(refused, status_code=401), until=scene.clock.now + HOUR)
    await scene.go(HOUR - 60, every=120.0)
    assert scene.ledger() == {None: 2}  # they wait for the key
    await scene.go(HOUR, every=120.0)
    assert (scene.ledger(), scene.states()) == ({"answered": 2}, {"succeeded": 2})


async def test_a_server_without_a_list_makes_nobody_sure(scene: LaneScene):
    await killed_after(scene, "created")
    failing(scene, "find", MOVED, until=scene.clock.now + HOUR)
    await scene.round()
    assert scene.ledger()["unknown"] == 2


@pytest.mark.parametrize("problem", [GONE, MOVED], ids=["id", "path"])
@pytest.mark.parametrize("call", ["retrieve", "download"])
async def test_what_is_not_found_for_a_moment_is_not_gone(scene: LaneScene, call: str, problem: LaneError):
    scene.enqueue(2)
    await scene.round()
    failing(scene, call, problem, until=scene.clock.now + 500)
    await scene.go(1800, every=20.0)
    assert (scene.states(), scene.ledger()) == ({"succeeded": 2}, {"answered": 2})


async def test_answers_that_stay_lost_may_be_billed(scene: LaneScene):
    scene.provider.seconds_of = lambda lane, _marker: 600.0 if lane.is_background else 30 * HOUR
    scene.enqueue(10)
    failing(scene, "download", GONE, until=scene.clock.now + 100 * HOUR)
    await scene.go(24.5 * HOUR, every=300.0)
    with scene.store.snapshot() as connection:
        [ended_as] = connection.execute(select(submissions.c.ended_as).where(submissions.c.lane == "batch")).scalars()
    assert (ended_as, scene.ledger()["unknown"]) == ("expired", 10)


@pytest.mark.parametrize("call", ["retrieve", "cancel"])
async def test_a_deadline_is_kept_though_the_provider_says_nothing_of_the_batch(scene: LaneScene, call: str):
    scene.provider.seconds_of = lambda _lane, _marker: 4 * HOUR
    scene.enqueue(2, deadline_seconds=2 * HOUR)
    await scene.round()
    failing(scene, call, AWAY, until=scene.clock.now + 100 * HOUR)
    await scene.go(2 * HOUR - 30, every=10.0)
    assert (scene.ledger(), scene.waits_live()) == ({"unknown": 2}, 2)


async def test_prompts_on_their_way_up_are_in_no_file_with_a_name(scene: LaneScene):
    before = set(scene.folder.iterdir())
    named: list[Path] = []
    after = scene.work.after

    def look(step: str) -> None:
        if step == "written":
            named.extend(set(scene.folder.iterdir()) - before)
        after(step)

    scene.work.after = look
    scene.enqueue(2)
    await scene.round()
    assert "written" in scene.seen
    assert [each.name for each in named if "store.db" not in each.name] == []
