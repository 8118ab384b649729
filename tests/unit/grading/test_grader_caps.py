"""What a run does at a spend cap: it waits for room, or goes back, and spends nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from tests.store.steps import publish
from tests.unit.grading.test_grader import (  # noqa: F401 - grader and playing are fixtures
    Playing,
    all_published,
    grader,
    ledger,
    playing,
    row,
)
from workers.completion.repair import Repair, repair_messages
from workers.contract.model_profile import ModelProfile
from workers.contract.outcome import Failure, FailureKind, Usage
from workers.grading import cap_waiters as module
from workers.grading.cap_waiters import Room
from workers.grading.records import Finished, Snoozed
from workers.store.gates import ClosedBy, read_gate, set_cap
from workers.store.tables import attempts, batch_gates, batches

if TYPE_CHECKING:
    from workers.grading.grader import Grader
    from workers.store import Store

PRICED = ModelProfile(price_input_usd_per_mtok=1.0, price_output_usd_per_mtok=10.0)
INVALID = Failure(
    kind=FailureKind.INVALID_OUTPUT, message="no", raw_output="{}", validation_errors=({"loc": ("a",), "msg": "gone"},)
)


@pytest.fixture(autouse=True)
def _priced(playing: Playing, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    playing.profile = PRICED
    monkeypatch.setattr(module, "ASK_AGAIN_SECONDS", 0.01)


def cap(store: Store, usd: float) -> None:
    with store.transaction() as connection:
        set_cap(connection, connection.execute(select(batches.c.id)).scalar_one(), usd)


async def told(playing: Playing, what: str, times: int) -> None:  # noqa: F811
    async with asyncio.timeout(10):
        while playing.told.count(what) < times:  # noqa: ASYNC110 - the played budget has no event
            await asyncio.sleep(0.001)


async def test_jobs_wait_for_the_calls_in_flight_where_a_cap_has_room_for_one(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    ids = all_published(store, "a", "b", "c", max_tokens=1000)
    cap(store, 0.018)  # a call holds 0.01 for its answer, and something for its prompt
    playing.gates = [asyncio.Event() for _ in ids]
    waiting = list(playing.gates)
    running = [asyncio.create_task(grader.run(job_id)) for job_id in ids]
    for number, gate in enumerate(waiting, start=1):
        await told(playing, "complete", number)
        assert ledger(store)[None] == 1, "never two in flight"
        gate.set()

    assert await asyncio.gather(*running) == [Finished(None)] * 3
    assert ledger(store) == {"answered": 3}


async def test_a_job_goes_back_without_an_attempt_when_its_cap_is_reached(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    [job_id] = all_published(store, "a", max_tokens=1000)
    cap(store, 0.001)
    assert await grader.run(job_id) == Snoozed(0.0, message_follows=False)

    assert "complete" not in playing.told
    assert playing.told.count("reserve") == playing.told.count("give_back")
    assert (row(store, job_id), ledger(store)) == (("ready", False), {})
    with store.snapshot() as connection:
        assert read_gate(connection, "b").closed_by is ClosedBy.SPEND_CAP


@pytest.mark.parametrize(("times", "is_believed"), [(1.0, True), (3.0, True), (2_000_000.0, False)])
async def test_counts_that_no_such_request_can_have_use_up_no_spend_cap(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
    *,
    times: float,
    is_believed: bool,
):
    [job_id] = all_published(store, "a", max_tokens=1000)
    playing.usage = Usage(prompt_tokens=100, completion_tokens=int(1000 * times))
    assert await grader.run(job_id) == Finished(None)

    with store.snapshot() as connection:
        kept = connection.execute(select(attempts.c.cost_usd, attempts.c.completion_tokens)).one()
    assert kept.completion_tokens == int(1000 * times), "the ledger keeps what was said"
    if is_believed:
        assert kept.cost_usd == pytest.approx(0.0001 + 0.01 * times)
    else:
        assert 0.01 < kept.cost_usd < 0.02, "the most that this request can cost"


async def test_a_worker_that_stops_gives_back_who_waits_for_room(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    ids = all_published(store, "a", "b", max_tokens=1000)
    cap(store, 0.018)
    playing.gates = [gate := asyncio.Event()]
    running = [asyncio.create_task(grader.run(job_id)) for job_id in ids]
    await told(playing, "complete", 1)
    await told(playing, "give_back", 1)
    grader.drain()
    gate.set()
    endings = await asyncio.gather(*running)
    assert sorted(map(str, endings)) == sorted(map(str, [Finished(None), Snoozed(0.0, message_follows=False)]))
    with store.transaction() as connection:
        connection.execute(update(batch_gates).values(max_usd=None))


async def test_room_is_given_in_order_and_to_one_at_a_time():
    room, order = Room(), []

    async def wait(name: str) -> None:
        await room.wait(1)
        order.append(name)

    tasks = [asyncio.create_task(wait(name)) for name in "abc"]
    await asyncio.sleep(0)
    assert room.is_crowded(1)
    tasks[0].cancel()
    await asyncio.sleep(0)
    room.wake(1)
    await asyncio.sleep(0)
    assert order == ["b"]
    room.wake_all()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["b", "c"]
    assert not room.is_crowded(1)


async def test_a_repair_that_meets_a_closed_cap_waits_for_it_and_its_answer_is_not_bought_again(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    [job_id] = all_published(store, "a", max_tokens=1000, max_retries=0, allow_repair=True)
    cap(store, 0.018)  # room for one call
    playing.endings, playing.usage = [INVALID], Usage(prompt_tokens=100, completion_tokens=1000)
    assert await grader.run(job_id) == Snoozed(0.0, message_follows=False)
    assert (row(store, job_id), ledger(store)) == (("ready", False), {"answered": 1})
    with store.snapshot() as connection:
        assert read_gate(connection, "b").closed_by is ClosedBy.SPEND_CAP

    cap(store, 1.0)
    publish(store)
    assert await grader.run(job_id) == Finished(None)
    first, second = playing.requests
    assert first.repair is None
    assert repair_messages(second.repair) == repair_messages(Repair("{}", INVALID.validation_errors))
    with store.snapshot() as connection:
        asked = connection.execute(select(attempts.c.purpose, attempts.c.ending).order_by(attempts.c.opened_at)).all()
    assert [tuple(each) for each in asked] == [("grade", "answered"), ("repair", "answered")]
