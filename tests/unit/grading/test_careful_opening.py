"""A call whose headers the others wait for: how it is sent, what the budget learns of it, what it costs its job."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.playing import Playing, grant
from tests.unit.grading.test_grader import ledger, published
from workers.completion.classify import Transient
from workers.contract.outcome import Failure, FailureKind
from workers.grading.grader import Finished, Grader
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
