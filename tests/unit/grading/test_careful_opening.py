"""A call whose headers the others wait for: how it is sent, what the budget learns of it, what it costs its job."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.support.playing import Playing, grant
from tests.support.wait import until
from tests.unit.grading.test_grader import ledger, published
from workers.completion.classify import Transient
from workers.contract.outcome import Failure, FailureKind
from workers.grading.grader import Finished, Grader
from workers.store.gates import GateRequest, open_gate
from workers.store.tables import batch_gates, jobs
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.store import Store

REJECTED = Failure(kind=FailureKind.REJECTED_REQUEST, message="The provider rejected the request (status 400)")
GARBLED = Transient("What came back is not an answer of this API", None, 200)
NOT_IMPLEMENTED = Transient("The provider failed (status 501)", None, 501)


@pytest.fixture
def playing() -> Playing:
    return Playing(answers=[grant("gpt-4o", 100, is_careful=True)])


@pytest.fixture
async def grader(store: Store, playing: Playing) -> AsyncIterator[Grader]:
    writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop())
    writer.start()

    yield playing.grader(writer)
    await asyncio.to_thread(writer.stop, patience_seconds=5.0)


def first_of_its_batch(store: Store, **parameters: object) -> str:
    job_id = published(store, **parameters)
    with store.transaction() as connection:
        batch_id = connection.execute(select(jobs.c.batch_id)).scalar_one()
        open_gate(connection, batch_id, GateRequest(), batch="b", is_new=True)
    return job_id


def heard_at(store: Store) -> float | None:
    with store.snapshot() as connection:
        return connection.execute(select(batch_gates.c.heard_at)).scalar_one()


async def test_its_headers_reach_the_budget_before_it_ends_and_only_once(
    grader: Grader, playing: Playing, store: Store
):
    assert await grader.run(published(store)) == Finished(None)

    assert playing.requests[0].is_streamed
    assert playing.told == ["reserve", "confirm", "complete", "hear", "settle"]
    assert playing.heard[0].requests.remaining == 59
    assert playing.samples[0].answered
    assert not playing.samples[0].has_headers, "they are as old as the answer took"
    assert playing.learned == [(False, True)]


async def test_the_first_call_of_a_batch_tells_that_it_was_taken_before_it_ends(
    grader: Grader, playing: Playing, store: Store
):
    ends = asyncio.Event()
    playing.answers, playing.gates, playing.hears_at_once = [], [ends], True
    running = asyncio.create_task(grader.run(first_of_its_batch(store)))
    await until(lambda: heard_at(store) is not None)

    assert not running.done()
    ends.set()
    assert await running == Finished(None)
    assert playing.requests[0].is_streamed


async def test_where_streams_are_in_vain_its_answer_tells(grader: Grader, playing: Playing, store: Store):
    playing.answers, playing.streams_in_vain = [], True

    assert await grader.run(first_of_its_batch(store)) == Finished(None)

    assert playing.requests[0].on_limits is None
    assert heard_at(store) is None


async def test_what_another_model_takes_says_nothing_of_the_batchs_own(grader: Grader, playing: Playing, store: Store):
    playing.answers = []
    playing.endings.append(Transient("The call took too long", None, None, timed_out=True))
    job_id = first_of_its_batch(store, fallback_model="gpt-4o-mini", max_retries=0)

    assert await grader.run(job_id) == Finished(None)

    assert [request.is_streamed for request in playing.requests] == [True, False]
    assert heard_at(store) is None


async def test_any_other_call_is_sent_as_always(grader: Grader, playing: Playing, store: Store):
    playing.answers = []

    await grader.run(published(store))

    assert not playing.requests[0].is_streamed
    assert playing.requests[0].on_limits is None
    assert (playing.heard, playing.learned) == ([], [])


async def test_where_streams_are_in_vain_the_headers_come_when_they_come(
    grader: Grader, playing: Playing, store: Store
):
    playing.streams_in_vain = True

    await grader.run(published(store))

    assert not playing.requests[0].is_streamed
    assert len(playing.heard) == 1
    assert playing.learned == []


@pytest.mark.parametrize("rejected", [REJECTED, GARBLED, NOT_IMPLEMENTED], ids=["rejected", "garbled", "unknown"])
async def test_a_rejected_stream_costs_the_job_nothing_and_is_asked_again_without(
    grader: Grader, playing: Playing, store: Store, rejected: object
):
    playing.endings.append(rejected)
    playing.answers.append(grant("gpt-4o", 100, is_careful=True))

    assert await grader.run(published(store, max_retries=0)) == Finished(None)

    assert [request.is_streamed for request in playing.requests] == [True, False]
    assert not playing.samples[0].answered, "nobody else may go for it"
    assert ledger(store) == {"unavailable": 1, "answered": 1}
    assert playing.learned == [(True, False), (True, True)]


async def test_a_request_that_is_rejected_either_way_is_no_word_about_streams(
    grader: Grader, playing: Playing, store: Store
):
    playing.endings += [REJECTED, REJECTED]

    assert await grader.run(published(store)) == Finished(FailureKind.REJECTED_REQUEST)

    assert ledger(store)["unavailable"] == 1
    assert not playing.streams_in_vain


async def test_a_model_that_is_not_there_is_not_asked_for_twice(grader: Grader, playing: Playing, store: Store):
    playing.endings.append(REJECTED)
    playing.status_code = 404

    assert await grader.run(published(store)) == Finished(FailureKind.REJECTED_REQUEST)

    assert [request.is_streamed for request in playing.requests] == [True]
    assert not playing.streams_in_vain


async def test_a_server_that_knows_no_streams_is_asked_for_no_other(grader: Grader, playing: Playing, store: Store):
    playing.answers_streams = False

    assert await grader.run(published(store)) == Finished(None)

    assert playing.learned == [(True, True)]


async def test_a_server_that_fails_is_asked_without_a_stream_next(grader: Grader, playing: Playing, store: Store):
    playing.endings.append(Transient("The provider failed (status 500)", None, 500))
    playing.answers.append(grant("gpt-4o", 100, is_careful=True))

    assert await grader.run(published(store, max_retries=1, retry_delay_seconds=0.0)) == Finished(None)

    assert [request.is_streamed for request in playing.requests] == [True, False]
    assert ledger(store) == {"failed": 1, "answered": 1}
