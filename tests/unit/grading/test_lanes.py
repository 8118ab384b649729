"""Jobs in a cheaper lane, from their submission to their outcome; the provider is played, and so is the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from ops.bench.lanes.provider import answered, failed
from tests.support.lane_scene import LaneScene, lane_scene
from tests.support.stores import new_store
from workers.completion.classify import Throttled
from workers.contract.lane import Lane
from workers.contract.lane_choice import PriceWish
from workers.contract.outcome import Failure, FailureKind
from workers.store.lane_tables import lane_refusals
from workers.store.pauses import PauseScope, Target, pause
from workers.store.steering import cancel_batch
from workers.store.tables import attempts, jobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOUR = 3600.0


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[LaneScene]:
    store = new_store(tmp_path / "store.db")
    async with lane_scene(store, tmp_path) as scene:
        yield scene
    store.close()


async def test_a_batch_is_handed_over_and_its_answers_are_stored_at_half_the_price(scene: LaneScene):
    scene.enqueue(3)
    await scene.go(600, every=100.0)
    assert (scene.states(), scene.ledger()) == ({"succeeded": 3}, {"answered": 3})
    assert scene.cost_usd() == pytest.approx(3 * 0.5 * (1000 * 1.0 + 100 * 10.0) / 1e6)
    [submission] = scene.submissions()
    assert (submission.ended_as, submission.requests, submission.cleaned_at is not None) == ("completed", 3, True)
    assert scene.provider.files == {}  # nothing of a student's work is left there
    assert list(scene.folder.glob("lane-*")) == []


async def test_nothing_waits_for_an_answer_in_vain_and_few_looks_are_taken(scene: LaneScene):
    scene.provider.seconds_of = lambda _lane, _marker: 10 * HOUR
    scene.enqueue(1)
    await scene.go(11 * HOUR, every=150.0)
    assert scene.states() == {"succeeded": 1}
    assert scene.provider.calls.count("retrieve") < 160


async def test_a_late_batch_is_cancelled_in_time_and_what_it_did_not_answer_goes_live(scene: LaneScene):
    scene.provider.seconds_of = lambda _lane, _marker: 4 * HOUR
    scene.enqueue(10, deadline_seconds=2 * HOUR)
    await scene.go(2 * HOUR, every=60.0)
    assert scene.states() == {"succeeded": 4, "ready": 6}
    assert scene.ledger() == {"answered": 4, "not_sent": 6}
    assert scene.waits_live() == 6
    assert len(scene.provider.billed) == 4
    [submission] = scene.submissions()
    assert submission.ended_as == "cancelled"


async def test_a_cancellation_of_eight_minutes_is_waited_for(scene: LaneScene):
    scene.provider.seconds_of = lambda _lane, _marker: 4 * HOUR
    scene.provider.cancel_seconds = lambda: 480.0
    scene.enqueue(10, deadline_seconds=2 * HOUR)
    await scene.go(2 * HOUR, every=20.0)
    assert scene.waits_live() == scene.ledger()["not_sent"] > 0
    assert "unknown" not in scene.ledger()  # nothing is sent twice


async def test_a_provider_that_does_not_cancel_is_not_waited_for_and_the_ledger_holds_both(scene: LaneScene):
    scene.provider.seconds_of = lambda _lane, _marker: 2.5 * HOUR
    scene.provider.cancel_seconds = lambda: 10 * HOUR
    scene.enqueue(2, deadline_seconds=2 * HOUR)
    await scene.go(2 * HOUR, every=60.0)
    assert (scene.waits_live(), scene.ledger()) == (2, {"unknown": 2})
    await scene.go(HOUR, every=120.0)
    assert scene.ledger() == {"answered": 2}  # its answers came after all, and nothing live was faster
    assert scene.states() == {"succeeded": 2}


async def test_an_expired_batch_costs_what_it_answered_and_the_rest_takes_a_faster_lane(scene: LaneScene):
    scene.provider.seconds_of = lambda lane, _marker: 600.0 if lane.is_background else 30 * HOUR
    scene.enqueue(10)
    await scene.go(24.1 * HOUR, every=900.0)
    assert scene.ledger()["not_sent"] == 2
    await scene.go(HOUR, every=120.0)
    assert scene.states() == {"succeeded": 10}
    assert [each.lane for each in scene.submissions()] == ["batch", "window_8h", "window_8h"]
    assert scene.provider.responses == {}


async def test_a_server_without_lanes_says_so_once_and_everything_goes_live(scene: LaneScene):
    scene.provider.is_offered = False
    scene.enqueue(3)
    await scene.go(60)
    assert (scene.waits_live(), scene.ledger()) == (3, {"not_sent": 3 + 1})  # one asks for the windows
    calls = len(scene.provider.calls)
    scene.enqueue(3, name="c")
    await scene.go(60)
    assert (scene.waits_live(), len(scene.provider.calls)) == (6, calls)
    with scene.store.snapshot() as connection:
        assert set(connection.execute(select(lane_refusals.c.lane)).scalars()) == {"batch", "window_2h", "window_8h"}


async def test_an_invalid_answer_is_kept_and_repaired_live(scene: LaneScene):
    scene.provider.line_of = lambda custom_id, number: answered(
        custom_id, "{}" if number == 0 else '{"summary": "s", "score": 1, "suggestions": []}'
    )
    scene.enqueue(2, allow_repair=True)
    await scene.go(600, every=100.0)
    assert scene.states() == {"succeeded": 1, "ready": 1}
    with scene.store.snapshot() as connection:
        [kept] = connection.execute(select(jobs.c.kept_answer).where(jobs.c.state == "ready")).scalars()
    assert kept is not None
    assert scene.waits_live() == 1


async def test_an_invalid_answer_without_repair_ends_as_it_does_live(scene: LaneScene):
    scene.provider.line_of = lambda custom_id, _number: answered(custom_id, "no json")
    scene.enqueue(1)
    await scene.go(600, every=100.0)
    assert (scene.states(), scene.ledger()) == ({"failed": 1}, {"answered": 1})


async def test_a_line_that_failed_for_the_moment_goes_live(scene: LaneScene):
    scene.provider.line_of = lambda custom_id, _number: failed(custom_id, "server_error")
    scene.enqueue(1)
    await scene.go(600, every=100.0)
    assert (scene.states(), scene.waits_live()) == ({"ready": 1}, 1)


async def test_a_line_that_is_missing_may_be_billed(scene: LaneScene):
    scene.provider.line_of = lambda _custom_id, _number: answered("nobody.knows.1")
    scene.enqueue(1)
    await scene.go(600, every=100.0)
    assert scene.ledger()["unknown"] == 1
    assert [each.lane for each in scene.submissions()] == ["batch", "window_8h"]


async def test_a_batch_that_is_gone_may_be_billed(scene: LaneScene):
    scene.enqueue(1)
    await scene.round()
    scene.provider.batches.clear()
    await scene.go(900)
    assert scene.ledger()["unknown"] == 1


async def test_a_full_queue_is_tried_again_with_less(scene: LaneScene):
    scene.provider.refusals = [Throttled("The model's queue for batches is full", None, None)]
    scene.enqueue(8)
    await scene.go(1800)
    assert scene.states() == {"succeeded": 8}
    assert max(each.requests for each in scene.submissions()[1:]) <= 4


async def test_a_batch_that_is_refused_as_a_whole_bars_the_lane_for_its_model(scene: LaneScene):
    scene.provider.refusals = [Failure(kind=FailureKind.REJECTED_REQUEST, message="no batches for m")]
    scene.enqueue(2)
    await scene.go(120)
    assert [each.lane for each in scene.submissions()][:2] == ["batch", "window_8h"]


async def test_cancelling_a_batch_cancels_it_at_the_provider_and_keeps_what_is_answered(scene: LaneScene):
    scene.provider.seconds_of = lambda _lane, _marker: HOUR
    scene.enqueue(4)
    await scene.go(1800)
    assert cancel_batch(scene.store, "b") == (0, 4)
    await scene.go(600, every=100.0)
    assert scene.states() == {"succeeded": 2, "failed": 2}
    assert scene.ledger() == {"answered": 2, "not_sent": 2}


async def test_what_is_paused_is_not_handed_over(scene: LaneScene):
    scene.enqueue(2)
    scene.store.run(lambda connection: pause(connection, Target(PauseScope.BATCH, "b")))
    await scene.go(60)
    assert scene.provider.calls == []


async def test_a_cap_holds_what_a_submission_can_cost(scene: LaneScene):
    scene.enqueue(4, max_usd=0.045)
    await scene.round()
    [submission] = scene.submissions()
    assert 0 < submission.requests < 4
    with scene.store.snapshot() as connection:
        held = [row.held_usd for row in connection.execute(select(attempts.c.held_usd)).all()]
    assert sum(held) <= 0.045
    await scene.go(3600)
    assert scene.states() == {"succeeded": 4}


async def test_urgent_jobs_are_handed_over_apart(scene: LaneScene):
    scene.enqueue(2, name="soon", deadline_seconds=2 * HOUR)
    scene.enqueue(2, name="late")
    await scene.round()
    assert {(each.requests, each.leave_at is None) for each in scene.submissions()} == {(2, False), (2, True)}


async def test_windows_answer_one_by_one(scene: LaneScene):
    with scene.store.transaction() as connection:
        connection.execute(
            lane_refusals.insert().values(account="p", lane="batch", model="", until=2e9, message="no batches")
        )
    scene.enqueue(3)
    await scene.go(1200, every=120.0)
    assert scene.states() == {"succeeded": 3}
    assert {each.lane for each in scene.submissions()} == {"window_8h"}
    assert scene.cost_usd() == pytest.approx(3 * 0.6 * 2000 / 1e6)
    assert scene.provider.responses == {}


async def test_a_late_window_is_left(scene: LaneScene):
    with scene.store.transaction() as connection:
        connection.execute(
            lane_refusals.insert().values(account="p", lane="batch", model="", until=2e9, message="no batches")
        )
    scene.provider.seconds_of = lambda _lane, _marker: 5 * HOUR
    scene.enqueue(1, deadline_seconds=3 * HOUR)
    await scene.go(3 * HOUR, every=60.0)
    assert (scene.waits_live(), scene.ledger()["not_sent"]) == (1, 1)


@pytest.mark.parametrize(
    "step",
    ["taken", "written", "uploaded", "upload noted", "created", "creation noted", "looked", "end noted",
     "chunk persisted", "chunk noted", "returned", "persisted", "deleted", "cleaned"],
)  # fmt: skip
async def test_a_worker_may_die_at_any_step(scene: LaneScene, step: str):
    scene.crashes_after = step
    scene.enqueue(250)
    await scene.go(1200, every=120.0)
    assert scene.crashes_after is None  # it died
    assert (scene.states(), scene.ledger(), scene.outcomes()) == ({"succeeded": 250}, {"answered": 250}, 250)
    assert len(scene.provider.billed) == len({attempt for attempt, _ in scene.provider.billed}) == 250
    assert scene.provider.files == {}
    assert all(each.cleaned_at is not None for each in scene.submissions())


@pytest.mark.parametrize("step", ["cancelled", "cancellation noted"])
async def test_a_worker_may_die_while_it_cancels(scene: LaneScene, step: str):
    scene.crashes_after = step
    scene.provider.seconds_of = lambda _lane, _marker: 4 * HOUR
    scene.enqueue(10, deadline_seconds=2 * HOUR)
    await scene.go(2 * HOUR, every=60.0)
    assert scene.crashes_after is None
    assert scene.ledger() == {"answered": 4, "not_sent": 6}


@pytest.mark.parametrize(("step", "unknown"), [("created", 1), ("creation noted", 0)])
async def test_a_response_that_was_made_and_not_noted_is_unknown_in_the_ledger(
    scene: LaneScene, step: str, unknown: int
):
    with scene.store.transaction() as connection:
        connection.execute(
            lane_refusals.insert().values(account="p", lane="batch", model="", until=2e9, message="no batches")
        )
    scene.crashes_after = step
    scene.enqueue(1)
    await scene.go(1200, every=120.0)
    assert scene.ledger()["unknown"] == unknown
    assert len(scene.provider.billed) <= sum(scene.ledger().values())


async def test_a_job_lives_through_balanced_and_live_wishes(scene: LaneScene):
    scene.enqueue(1, price=PriceWish.BALANCED)
    await scene.go(600, every=100.0)
    assert scene.provider.billed[0][1] is Lane.BATCH
    scene.enqueue(1, name="l", price=PriceWish.LIVE)
    assert scene.waits_live() == 1


async def test_a_worker_that_stops_leaves_no_persisted_work_at_the_provider(scene: LaneScene):
    scene.enqueue(2)
    await scene.round()
    scene.clock.move(600)
    scene.crashes_after = "persisted"
    await scene.round()
    assert scene.provider.files
    scene.enqueue(1, name="later")
    scene.loop.start()
    await scene.loop.stop()
    assert scene.provider.files == {}
    assert len(scene.submissions()) == 1  # nothing new was begun
