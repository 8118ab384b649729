"""What a provider refuses about one request, one model or a whole lane, and what it holds when a worker stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.support.lane_scene import LaneScene, lane_scene
from tests.support.stores import new_store
from workers.completion.classify import Transient
from workers.completion.lanes.errors import LaneCallFailed, LaneUnavailable
from workers.contract.lane import Lane
from workers.contract.outcome import Failure, FailureKind
from workers.store.lane_tables import lane_refusals
from workers.store.lanes.times import note_refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.completion.lanes.errors import LaneError

HOUR = 3600.0
TOO_LONG = Failure(kind=FailureKind.CONTEXT_TOO_LONG, message="too long")
UNLISTED = Failure(kind=FailureKind.REJECTED_REQUEST, message="no", could_be_account=True)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[LaneScene]:
    store = new_store(tmp_path / "store.db")
    async with lane_scene(store, tmp_path) as scene:
        scene.provider.seconds_of = lambda lane, _marker: HOUR if lane.is_background else 30 * HOUR
        yield scene
    store.close()


def barred(scene: LaneScene) -> set[tuple[str, str]]:
    with scene.store.snapshot() as connection:
        rows = connection.execute(select(lane_refusals).where(lane_refusals.c.lane != str(Lane.BATCH)))
        return {(row.lane, row.model) for row in rows}


def refusing(scene: LaneScene, problem: LaneError, *, times: int) -> None:
    """The next responses are refused."""
    left = [problem] * times
    begin = scene.provider.begin

    async def begun(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return await begin(*arguments)

    scene.provider.begin = begun  # type: ignore[method-assign] # a played one


async def in_windows(scene: LaneScene, count: int) -> None:
    """Jobs that only background responses are there for."""
    with scene.store.transaction() as connection:
        note_refusal(connection, "p", Lane.BATCH, "", "no batches here")
    scene.enqueue(count, deadline_seconds=12 * HOUR)
    await scene.go(HOUR * 3, every=300.0)


async def test_a_request_that_is_refused_goes_live_and_leaves_the_lane_to_the_others(scene: LaneScene):
    refusing(scene, LaneCallFailed(TOO_LONG, status_code=400), times=1)
    await in_windows(scene, 4)
    assert scene.waits_live() == 1
    assert scene.states()["succeeded"] == 3
    assert barred(scene) == set()


async def test_a_refusal_that_may_concern_every_request_closes_the_lane_for_its_model(scene: LaneScene):
    refusing(scene, LaneCallFailed(UNLISTED, status_code=400), times=1)
    await in_windows(scene, 3)
    assert {model for _, model in barred(scene)} == {"m"}


@pytest.mark.parametrize(("status", "model"), [(404, ""), (400, "m")])
async def test_a_lane_that_is_not_served_is_closed_for_the_server_or_for_the_model(
    scene: LaneScene, status: int, model: str
):
    refusing(scene, LaneUnavailable("not served", status_code=status), times=1)
    await in_windows(scene, 2)
    assert barred(scene) == {(str(Lane.WINDOW_2H), model), (str(Lane.WINDOW_8H), model)}


async def test_a_conflict_passes_and_closes_nothing(scene: LaneScene):
    refusing(scene, LaneCallFailed(Transient("conflict", None, 409), status_code=409), times=1)
    await in_windows(scene, 2)
    assert barred(scene) == set()


async def test_a_server_that_is_overloaded_made_nothing(scene: LaneScene):
    refusing(scene, LaneCallFailed(Transient("overloaded", None, 503), status_code=503), times=1)
    await in_windows(scene, 2)
    assert (scene.states(), scene.ledger()) == ({"succeeded": 2}, {"answered": 2})


async def test_a_worker_that_stops_leaves_no_work_of_students_at_the_provider(scene: LaneScene):
    delete_file = scene.provider.delete_file

    async def fails(_file_id: str) -> bool:
        raise LaneCallFailed(Transient("overloaded", None, 503), status_code=503)

    scene.provider.seconds_of = lambda _lane, _marker: 60.0
    scene.provider.delete_file = fails  # type: ignore[method-assign] # a played one
    scene.enqueue(2)
    await scene.go(200, every=20.0)
    assert scene.states() == {"succeeded": 2}
    assert scene.provider.files
    scene.provider.delete_file = delete_file  # type: ignore[method-assign] # as above
    await scene.loop.tidy()
    assert scene.provider.files == {}
