"""What other jobs' calls say about one job's ending, over a real store; budget, provider and counts are played."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.store.steps import publish
from tests.unit.grading.test_grader import Playing, all_published, ledger, published, row, until
from workers.budget.outage import Fault
from workers.budget.records import NotGranted
from workers.completion.attempt import Attempt, CompletionRequest, Reply
from workers.completion.classify import Blocked, Throttled, Transient
from workers.contract.outcome import AccountState, Failure, FailureKind, Success
from workers.contract.registry import builtin_registry
from workers.contract.schemas.feedback import Feedback
from workers.grading.grader import Finished, Grader, Snoozed
from workers.grading.health import HealthMonitor
from workers.store.claims import ClaimedJob
from workers.store.tables import attempts
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.grading.decide import Park
    from workers.store import Store

UNREACHABLE = Transient("The connection to the provider failed", None, None, is_unreachable=True)
BAD_GATEWAY = Transient("The provider failed", None, 502, is_unreached=True)
FORBIDDEN = Blocked(AccountState.AUTH_FAILED, "The provider refused the call", 403, is_suspected=True)
REJECTED = Failure(
    kind=FailureKind.REJECTED_REQUEST, message="The provider rejected the request", could_be_account=True
)


@dataclass
class Counts:
    """What all workers have counted, as the test says."""

    refusals: int = 0
    suspicions: int = 1
    singled: int = 0
    counted: list[str] = field(default_factory=list)
    alone_counts: list[bool] = field(default_factory=list)
    ends_a_row: bool = False

    async def refused(self, _job_id: str) -> int:
        self.counted.append("refused")
        return self.refusals

    async def refused_jobs(self) -> frozenset[str]:
        return frozenset({"refused before"})

    async def suspected(self, _job_id: str) -> int:
        return self.suspicions

    async def singled_out(self, _model: str, _job_id: str, *, alone_counts: bool) -> int:
        self.alone_counts.append(alone_counts)
        return self.singled

    async def answered(self) -> bool:
        self.counted.append("answered")
        return self.ends_a_row


@dataclass
class Refusing(Playing):
    """A provider whose refusals carry a status."""

    status: int | None = 400
    received: bool = True

    async def complete(self, request: CompletionRequest) -> Attempt:
        attempt = await super().complete(request)
        if not isinstance(attempt.ending, Failure | Throttled | Blocked | Transient):
            return attempt
        return Attempt(attempt.ending, Reply(parameters_sent={}, received=self.received, status_code=self.status))


@dataclass
class Scene:
    grader: Grader
    playing: Refusing
    counts: Counts
    parked: list[Park]
    resumed: list[str]


@pytest.fixture
async def scene(store: Store) -> AsyncIterator[Scene]:
    writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop())
    writer.start()
    playing, counts, resumed = Refusing(), Counts(), []

    async def resume() -> None:
        resumed.append("account")

    grader = playing.grader(writer, HealthMonitor(counts, on_end_of_refusals=resume))
    yield Scene(grader, playing, counts, playing.parked, resumed)
    await asyncio.to_thread(writer.stop, patience_seconds=5.0)


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
    faults = [Fault.OVER, Fault.OWN]

    async def fault_of(*_attempt: object, **_options: object) -> Fault:
        return faults.pop(0)

    monkeypatch.setattr(HealthMonitor, "fault_of", fault_of)
    scene.playing.endings.append(BAD_GATEWAY)

    assert await scene.grader.run(published(store, max_retries=0)) == Finished(None)

    assert ledger(store) == {"unavailable": 1, "answered": 1}
    assert not any(sample.away for sample in scene.playing.samples)


async def test_a_gateway_without_its_provider_is_excused_as_soon_as_a_later_call_is_answered(scene: Scene):
    monitor, now = HealthMonitor(scene.counts), asyncio.get_running_loop().time()
    failed = Attempt(BAD_GATEWAY, Reply(parameters_sent={}, received=True, status_code=502))
    judging = asyncio.create_task(monitor.fault_of(failed, job_id="a", model="m", sent_at=now, is_alone=False))
    await asyncio.sleep(0)
    answered = Attempt(Success(Feedback.model_construct()), Reply(parameters_sent={}, received=True))
    await monitor.fault_of(answered, job_id="b", model="m", sent_at=now + 60.0, is_alone=False)

    assert await judging is Fault.OVER


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
    scene.counts.singled = 10
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
    judging = asyncio.create_task(monitor.after(rejected, job_id="a", model="m", is_outage=False, is_alone=False))
    await until(lambda: scene.counts.counted == ["refused"])
    if others_succeed:
        answered = Attempt(Success(Feedback.model_construct()), Reply(parameters_sent={}, received=True))
        await monitor.after(answered, job_id="b", model="m", is_outage=False)

    assert (await judging).is_alarm is not others_succeed


@pytest.mark.parametrize(("is_unnamed", "parks"), [(True, True), (False, False)])
async def test_a_limit_that_nobody_knows_and_that_names_no_wait_parks_after_eight_jobs(
    scene: Scene, store: Store, *, is_unnamed: bool, parks: bool
):
    scene.counts.refusals = 8
    scene.playing.endings.append(Throttled("Rate limit exceeded", None, 429, could_be_account=is_unnamed))

    assert isinstance(await scene.grader.run(published(store)), Snoozed)

    assert bool(scene.parked) is parks


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
