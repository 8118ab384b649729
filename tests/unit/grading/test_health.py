"""What other jobs' calls say about one job's ending, over a real store; budget, provider and counts are played."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.store.steps import publish
from tests.unit.grading.test_grader import ledger, published, row, until
from workers.budget.records import NotGranted
from workers.budget.refusals import Singled
from workers.completion.attempt import Attempt, Reply
from workers.completion.classify import Blocked, Throttled
from workers.contract.outcome import AccountState, Failure, FailureKind, Success
from workers.contract.registry import builtin_registry
from workers.contract.schemas.feedback import Feedback
from workers.grading.grader import Finished, Snoozed
from workers.grading.health import HealthMonitor
from workers.store.claims import ClaimedJob

if TYPE_CHECKING:
    from tests.support.refusing import Scene
    from workers.store import Store

FORBIDDEN = Blocked(AccountState.AUTH_FAILED, "The provider refused the call", 403, is_suspected=True)
REJECTED = Failure(
    kind=FailureKind.REJECTED_REQUEST, message="The provider rejected the request", could_be_account=True
)


async def test_a_403_that_may_be_the_requests_own_ends_this_job_alone(scene: Scene, store: Store):
    job_id = published(store, max_retries=1, retry_delay_seconds=0.0)
    scene.playing.endings.extend([FORBIDDEN] * 2)

    assert await scene.grader.run(job_id) == Finished(FailureKind.REJECTED_REQUEST)
    assert scene.parked == []
    assert ledger(store) == {"failed": 2}


async def test_a_403_that_a_second_job_meets_parks_the_account(scene: Scene, store: Store):
    job_id = published(store, max_retries=1)
    scene.counts.suspicions = 2
    scene.playing.endings.append(FORBIDDEN)

    assert isinstance(await scene.grader.run(job_id), Snoozed)
    [park] = scene.parked
    assert park.account_state is AccountState.AUTH_FAILED
    assert park.message == f"{FORBIDDEN.message}; 2 jobs got it, and none succeeded: check OPENAI_API_KEY"
    assert ledger(store) == {"throttled": 1}


async def test_a_request_that_is_always_refused_while_others_are_answered_ends(scene: Scene, store: Store):
    job_id = published(store)
    scene.counts.singled = Singled(among_others=10)
    scene.playing.endings.append(Throttled("Rate limit exceeded", 1.0, 429))

    assert await scene.grader.run(job_id) == Finished(FailureKind.REJECTED_REQUEST)


@pytest.mark.parametrize("ending", [REJECTED, Throttled("Rate limit exceeded", None, 429)], ids=["400", "429"])
async def test_refusals_in_a_row_park_the_account_with_their_cause_and_fail_no_further_job(
    scene: Scene, store: Store, ending: Failure | Throttled
):
    job_id = published(store)
    scene.counts.refusals = 20
    scene.playing.endings.append(ending)

    assert isinstance(await scene.grader.run(job_id), Snoozed)

    [park] = scene.parked
    assert park.account_state is AccountState.REFUSING
    assert "20 jobs in a row" in park.message
    assert park.reopens == {"refused before"}
    assert ending.message in park.message
    assert ledger(store) == {"throttled": 1}
    assert publish(store) == [job_id]


@pytest.mark.parametrize("others_succeed", [True, False])
async def test_rejections_sent_with_calls_that_are_answered_later_raise_no_alarm(scene: Scene, *, others_succeed: bool):
    monitor = HealthMonitor(scene.counts, patience_seconds=5.0 if others_succeed else 0.2)
    scene.counts.refusals = 20
    rejected = Attempt(REJECTED, Reply(parameters_sent={}, received=True, status_code=400))
    judging = asyncio.create_task(monitor.after(rejected, job_id="a", model="m", is_alone=False))
    await until(lambda: scene.counts.counted == ["refused"])
    if others_succeed:
        answered = Attempt(Success(Feedback.model_construct()), Reply(parameters_sent={}, received=True))
        await monitor.after(answered, job_id="b", model="m")

    assert (await judging).is_alarm is not others_succeed


@pytest.mark.parametrize(("is_unnamed", "parks"), [(True, True), (False, False)])
async def test_a_limit_that_nobody_knows_and_that_names_no_wait_parks_after_eight_jobs(
    scene: Scene, store: Store, *, is_unnamed: bool, parks: bool
):
    scene.counts.refusals = 8
    scene.playing.endings.append(Throttled("Rate limit exceeded", None, 429, could_be_account=is_unnamed))

    assert isinstance(await scene.grader.run(published(store)), Snoozed)

    assert bool(scene.parked) is parks


@pytest.mark.parametrize(("seconds", "wait", "parks"), [(600.0, 1.0, True), (599.0, 1.0, False), (600.0, 61.0, False)])
async def test_a_few_jobs_that_alone_are_left_and_refused_for_ten_minutes_park_the_account_instead_of_going_round(
    scene: Scene, store: Store, *, seconds: float, wait: float, parks: bool
):
    scene.counts.refusals, scene.counts.seconds = 2, seconds
    scene.playing.endings.append(Throttled("Rate limit exceeded", wait, 429))

    assert isinstance(await scene.grader.run(published(store)), Snoozed)

    assert [park.account_state for park in scene.parked] == [AccountState.REFUSING] * parks
    if parks:
        assert scene.parked[0].message == "for 10 minutes every call was refused; the last: Rate limit exceeded"


async def test_a_single_rejection_is_the_jobs_own(scene: Scene, store: Store):
    job_id = published(store)
    scene.counts.refusals = 1
    scene.playing.endings.append(REJECTED)

    assert await scene.grader.run(job_id) == Finished(FailureKind.REJECTED_REQUEST)


async def test_a_limit_with_a_long_wait_is_no_alarm_and_those_refused_together_count_once(scene: Scene, store: Store):
    scene.playing.endings.extend([Throttled("Rate limit exceeded", wait, 429) for wait in (3600.0, 5.0, 5.0)])
    for _ in range(3):
        await scene.grader.run(published_another(store))

    assert scene.counts.counted == ["refused"]
    assert scene.counts.alone_counts == [False, True, True]


def published_another(store: Store) -> str:
    from tests.store.steps import enqueue, new_job
    from workers.store.sql import new_id

    job = new_job(new_id())
    entry = builtin_registry().resolve("feedback", None)
    spec = replace(job.spec, schema="feedback")
    enqueue(store, [replace(job, spec=spec, schema_fingerprint=entry.fingerprint)], name=new_id())
    return publish(store)[0]


async def test_a_success_ends_a_row_of_refusals(scene: Scene, store: Store):
    scene.counts.ends_a_row = True

    assert await scene.grader.run(published(store)) == Finished(None)

    await until(lambda: scene.resumed == ["account"])


async def test_a_refused_repair_does_not_wait_while_its_worker_stops(scene: Scene, store: Store):
    job_id = published(store, max_retries=0, allow_repair=True)
    invalid = Failure(kind=FailureKind.INVALID_OUTPUT, message="no", raw_output="{}")
    scene.playing.endings.extend([invalid, Throttled("slow down", 100.0, 429)])
    running = asyncio.create_task(scene.grader.run(job_id))
    await until(lambda: ledger(store).get("throttled") == 1)  # it waits for 100 s now
    scene.playing.answers.append(NotGranted.EVICTED)  # the budget sends it home

    scene.grader.drain()

    assert await asyncio.wait_for(running, 20) == Snoozed(0.0, message_follows=False)
    assert row(store, job_id) == ("ready", False)


async def test_a_job_that_killed_workers_is_sent_while_no_other_call_is_out(
    scene: Scene, store: Store, monkeypatch: pytest.MonkeyPatch
):
    ordinary, deadly = published(store), published_another(store)
    claim = scene.grader._writer.claim

    async def flagged(job_id: str) -> object:
        job = await claim(job_id)
        assert isinstance(job, ClaimedJob)
        return replace(job, runs_alone=job_id == deadly)

    monkeypatch.setattr(scene.grader._writer, "claim", flagged)
    gates = [asyncio.Event(), asyncio.Event()]
    scene.playing.gates.extend(gates)
    first = asyncio.create_task(scene.grader.run(ordinary))
    await until(lambda: scene.playing.told.count("complete") == 1)
    second = asyncio.create_task(scene.grader.run(deadly))
    await until(lambda: deadly in scene.grader.held)
    await asyncio.sleep(0.05)  # time in which it would have been sent
    assert scene.playing.told.count("complete") == 1

    for gate in gates:
        gate.set()

    assert [await first, await second] == [Finished(None), Finished(None)]
