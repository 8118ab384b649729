"""Calls that fail while the provider is away, over a real store: they wait, and spend no attempt."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.unit.grading.test_grader import all_published, ledger, published, row
from workers.budget.outage import Blame
from workers.budget.records import NotGranted
from workers.completion.attempt import Attempt, Reply
from workers.completion.classify import Transient
from workers.contract.outcome import FailureKind, Success
from workers.contract.schemas.feedback import Feedback
from workers.grading.grader import Finished, Snoozed
from workers.grading.health import HealthMonitor
from workers.store.tables import attempts

if TYPE_CHECKING:
    from tests.support.refusing import Scene
    from workers.store import Store

UNREACHABLE = Transient("The connection to the provider failed", None, None, is_unreachable=True)
BAD_GATEWAY = Transient("The provider failed", None, 502, is_unreached=True)


async def test_a_provider_that_cannot_be_reached_spends_no_attempt_however_long(scene: Scene, store: Store):
    job_id = published(store, max_retries=0)
    scene.playing.endings.extend([UNREACHABLE] * 15)

    assert await scene.grader.run(job_id) == Finished(None)

    assert ledger(store) == {"unavailable": 15, "answered": 1}
    assert [sample.away for sample in scene.playing.samples] == [True] * 15 + [False]


async def test_a_job_waits_for_a_provider_that_is_away_until_its_deadline(scene: Scene, store: Store):
    job_id = published(store, max_retries=0, deadline_seconds=60.0)
    scene.playing.endings.append(UNREACHABLE)
    scene.playing.on_complete = lambda: scene.playing.answers.append(NotGranted.DEADLINE)

    assert await scene.grader.run(job_id) == Finished(FailureKind.DEADLINE_EXCEEDED)


async def test_a_fallback_model_is_tried_before_the_first_one_is_waited_for(scene: Scene, store: Store):
    job_id = published(store, max_retries=0, fallback_model="other")
    scene.playing.endings.append(UNREACHABLE)

    assert await scene.grader.run(job_id) == Finished(None)
    with store.snapshot() as connection:
        assert Counter(connection.execute(select(attempts.c.purpose)).scalars()) == {"grade": 1, "fallback": 1}


async def test_one_job_that_always_gets_500_ends(scene: Scene, store: Store):
    job_id = published(store, max_retries=2, retry_delay_seconds=0.0)
    scene.playing.endings.extend([Transient("The provider failed", None, 500)] * 3)

    assert await scene.grader.run(job_id) == Finished(FailureKind.PROVIDER_UNAVAILABLE)
    assert ledger(store) == {"failed": 3}


async def test_calls_that_die_with_their_provider_spend_no_attempt_though_the_first_ones_know_nothing_of_it(
    scene: Scene, store: Store
):
    jobs = all_published(store, "a", "b", "c", max_retries=0)
    scene.playing.endings.extend([Transient("The connection broke", None, None)] * 3)
    in_flight = asyncio.Event()
    scene.playing.gates.extend([in_flight] * 3)

    def arrive() -> None:
        if scene.playing.told.count("complete") == len(jobs):
            in_flight.set()

    scene.playing.on_complete = arrive
    endings = await asyncio.gather(*map(scene.grader.run, jobs))

    assert endings == [Finished(None)] * 3
    assert ledger(store) == {"unavailable": 3, "answered": 3}


@pytest.mark.parametrize(
    "gone",
    [
        BAD_GATEWAY,
        Transient("The connection broke", None, None),
    ],
    ids=["a gateway that reaches nobody", "a connection that breaks"],
)
async def test_the_last_job_spends_no_attempt_on_a_provider_that_is_gone_for_seconds(
    scene: Scene, store: Store, gone: Transient
):
    job_id = published(store, max_retries=0)
    scene.playing.status = gone.status_code
    scene.playing.received = gone.status_code is not None
    scene.playing.endings.extend([gone] * 3)

    assert await scene.grader.run(job_id) == Finished(None)

    assert ledger(store) == {"unavailable": 3, "answered": 1}
    assert [sample.away for sample in scene.playing.samples] == [True] * 3 + [False]


async def test_a_gateway_that_named_a_long_wait_is_asked_again_then_and_the_attempt_counts(scene: Scene, store: Store):
    job_id = published(store, max_retries=3)
    scene.playing.endings.append(Transient("The provider failed", 600.0, 503, is_unreached=True))

    assert isinstance(await scene.grader.run(job_id), Snoozed)
    assert ledger(store) == {"failed": 1}


async def test_a_provider_that_was_gone_for_a_moment_is_asked_again_and_not_held(
    scene: Scene, store: Store, monkeypatch: pytest.MonkeyPatch
):
    blames = [Blame.OVER, Blame.OWN]

    async def blame_for(*_attempt: object, **_options: object) -> Blame:
        return blames.pop(0)

    monkeypatch.setattr(HealthMonitor, "blame_for", blame_for)
    scene.playing.endings.append(BAD_GATEWAY)

    assert await scene.grader.run(published(store, max_retries=0)) == Finished(None)

    assert ledger(store) == {"unavailable": 1, "answered": 1}
    assert not any(sample.away for sample in scene.playing.samples)


async def test_a_gateway_without_its_provider_is_excused_as_soon_as_a_later_call_is_answered(scene: Scene):
    monitor, now = HealthMonitor(scene.counts), asyncio.get_running_loop().time()
    failed = Attempt(BAD_GATEWAY, Reply(parameters_sent={}, received=True, status_code=502))
    judging = asyncio.create_task(monitor.blame_for(failed, job_id="a", model="m", sent_at=now, is_alone=False))
    await asyncio.sleep(0)
    answered = Attempt(Success(Feedback.model_construct()), Reply(parameters_sent={}, received=True))
    await monitor.blame_for(answered, job_id="b", model="m", sent_at=now + 60.0, is_alone=False)

    assert await judging is Blame.OVER


async def test_a_call_that_timed_out_counts_and_may_have_been_billed(scene: Scene, store: Store):
    job_id = published(store, max_retries=0)
    scene.playing.endings.append(Transient("The request timed out", None, None, timed_out=True))

    assert await scene.grader.run(job_id) == Finished(FailureKind.PROVIDER_UNAVAILABLE)
    assert ledger(store) == {"timed_out": 1}
    assert scene.playing.samples[0].timed_out


async def test_a_wait_of_a_day_holds_no_slot(scene: Scene, store: Store):
    job_id = published(store, max_retries=3)
    scene.playing.endings.append(Transient("The provider failed", 86_400.0, 503))

    ending = await scene.grader.run(job_id)

    assert isinstance(ending, Snoozed)
    assert not ending.message_follows
    assert 900 <= ending.after_seconds <= 910
    assert row(store, job_id) == ("ready", False)
