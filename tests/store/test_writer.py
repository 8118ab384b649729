"""The writer: group commit, patience while the store is away, and no coroutine left waiting."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from tests.store.steps import (
    Answer,
    answered,
    claimed,
    endings,
    enqueue,
    opening,
    outcome_rows,
    publish,
    states,
    success,
)
from tests.support.wait import wait_until
from workers.contract.errors import ContractViolation, ServiceUnavailable
from workers.contract.outcome import Success
from workers.store import safekeeping
from workers.store import writer as module
from workers.store.admission import Admission
from workers.store.releases import Release, free_claims
from workers.store.steering import cancel_batch
from workers.store.writer import JobUpdate, NotStored, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from workers.store import Store


@asynccontextmanager
async def writing(store: Store, **options: Any) -> AsyncIterator[Writer]:
    writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop(), **options)
    writer.start()
    try:
        yield writer
    finally:
        await asyncio.to_thread(writer.stop, patience_seconds=5)


class Spooled(list[JobUpdate]):
    """A spool in memory; `full` says that its disk takes nothing."""

    full = False
    cleared = 0

    def keep(self, updates: Sequence[JobUpdate]) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        self.extend(updates)
        return len(updates)

    def clear(self) -> None:
        self.cleared += 1


class Away:
    """A store that is away for so many transactions, or until told otherwise."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch, *, transactions: float) -> None:
        self.tries = 0
        original = store.transaction
        self.is_away = True

        def transaction() -> Any:
            self.tries += 1
            if self.is_away and self.tries <= transactions:
                raise ServiceUnavailable("store", "away")
            return original()

        monkeypatch.setattr(store, "transaction", transaction)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(module, "END_SECONDS", 5.0)


async def test_many_coroutines_share_few_commits(store: Store):
    enqueue(store, 300)
    ids = publish(store)
    async with writing(store) as writer:
        jobs = await asyncio.gather(*(writer.claim(job_id) for job_id in ids))
        assert all(jobs)
        sent = [opening(job) for job in jobs if job]
        assert set(await asyncio.gather(*map(writer.open_attempt, sent))) == {Admission.MAY_SEND}
        accepted = await asyncio.gather(
            *(
                writer.persist(JobUpdate(closing=answered(each.attempt_id), ending=success(job)))
                for each, job in zip(sent, jobs, strict=True)
                if job
            )
        )
    assert all(accepted)
    assert states(store) == {"succeeded": 300}
    assert endings(store) == {"answered": 300}
    assert writer.operations / writer.commits > 30


async def test_two_messages_for_one_job_in_one_group_give_it_to_one(store: Store):
    enqueue(store, 1)
    [job_id] = publish(store)
    async with writing(store) as writer:
        claims = await asyncio.gather(*(writer.claim(job_id) for _ in range(5)))

    assert [job is not None for job in claims].count(True) == 1


async def test_a_request_of_a_lost_claim_may_not_be_sent(store: Store):
    [job] = claimed(store)
    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}))
    async with writing(store) as writer:
        assert await writer.open_attempt(opening(job)) is Admission.CLAIM_LOST
    assert endings(store) == {}


async def test_a_late_success_and_the_release_of_the_current_claim_may_meet_in_one_group(store: Store):
    [job] = claimed(store)
    cancel_batch(store, "b")
    late = dataclasses.replace(job, claim=0)
    async with writing(store) as writer:
        accepted, _ = await asyncio.gather(
            writer.persist(JobUpdate(ending=success(late))),
            writer.persist(JobUpdate(release=Release(job_id=job.id, claim=job.claim))),
        )
    assert accepted
    assert states(store) == {"succeeded": 1}
    assert len(outcome_rows(store)) == 1


async def test_a_paid_answer_waits_for_a_store_that_is_away(store: Store, monkeypatch: pytest.MonkeyPatch):
    [job] = claimed(store)
    away = Away(store, monkeypatch, transactions=4)
    async with writing(store) as writer:
        assert await writer.persist(JobUpdate(ending=success(job)))

    assert away.tries == 5
    assert states(store) == {"succeeded": 1}


async def test_a_fault_in_waiting_for_the_store_does_not_end_the_writer(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Its heartbeat would go on, and nobody would free its jobs."""
    [job] = claimed(store)
    Away(store, monkeypatch, transactions=2)
    faults = [OSError(22, "Invalid argument")]
    pause = module.Writer._pause

    def fail_once(self: Writer, seconds: float) -> None:
        if faults:
            raise faults.pop()
        pause(self, seconds)

    monkeypatch.setattr(module.Writer, "_pause", fail_once)
    async with writing(store) as writer:
        assert await writer.persist(JobUpdate(ending=success(job)))
    assert (faults, states(store)) == ([], {"succeeded": 1})


@pytest.mark.parametrize("raised", [ValueError, SystemExit])
async def test_one_spoilt_answer_ends_internal_and_its_neighbours_are_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
):
    monkeypatch.setattr(Unstorable, "raised", raised)
    jobs = claimed(store, 3)
    spoilt = success(jobs[1])
    spoilt = dataclasses.replace(spoilt, outcome=Success(Unstorable({"grade": 1})))
    async with writing(store) as writer:
        accepted = await asyncio.gather(
            *(writer.persist(JobUpdate(ending=ending)) for ending in (success(jobs[0]), spoilt, success(jobs[2])))
        )
    assert accepted == [True, True, True]
    assert sorted(str(row.failure_kind) for row in outcome_rows(store)) == ["None", "None", "internal"]


class Unstorable(Answer):
    """An answer that breaks where it is written."""

    raised: ClassVar[type[BaseException]] = ValueError

    def model_dump(self, **_options: Any) -> Any:
        raise self.raised("XMARKERX")


async def test_a_spoilt_operation_of_any_kind_does_not_stop_the_writer(store: Store, caplog: pytest.LogCaptureFixture):
    [job] = claimed(store)
    spoilt = dataclasses.replace(opening(job), model=Unstorable({"XMARKERX": 1}))  # type: ignore[arg-type]
    async with writing(store) as writer:
        with pytest.raises(ContractViolation):
            await writer.open_attempt(spoilt)
        assert await writer.persist(JobUpdate(ending=success(job)))
    assert "XMARKERX" not in caplog.text


async def test_a_job_that_nobody_here_can_run_ends_with_the_reason(store: Store):
    enqueue(store, 1)
    [job_id] = publish(store)
    async with writing(store) as writer:
        await writer.refuse(job_id, "upgrade")
        await writer.refuse(job_id, "twice")

    [row] = outcome_rows(store)
    assert (row.failure_kind, row.failure_message) == ("internal", "upgrade")


async def test_a_stopping_worker_spools_what_it_cannot_store(store: Store, monkeypatch: pytest.MonkeyPatch):
    first, second = claimed(store, 2)
    Away(store, monkeypatch, transactions=float("inf"))
    spooled = Spooled()
    async with writing(store, spool=spooled) as writer:
        waiting = [asyncio.ensure_future(writer.persist(JobUpdate(ending=success(job)))) for job in (first, second)]
        claim = asyncio.ensure_future(writer.claim(first.id))
        await asyncio.sleep(0)
        writer.expect_stop(patience_seconds=0.05)
        results = await asyncio.gather(*waiting, claim, return_exceptions=True)

    assert [type(result) for result in results] == [NotStored] * 3
    assert {update.ending.job_id for update in spooled if update.ending} == {first.id, second.id}


async def test_a_stopping_worker_still_waits_its_patience_for_the_store(store: Store, monkeypatch: pytest.MonkeyPatch):
    [job] = claimed(store)
    away = Away(store, monkeypatch, transactions=float("inf"))
    spooled = Spooled()
    async with writing(store, spool=spooled) as writer:
        waiting = asyncio.ensure_future(writer.persist(JobUpdate(ending=success(job))))
        writer.expect_stop(patience_seconds=30)
        await asyncio.to_thread(wait_until, lambda: away.tries >= 3, "it tries again")
        began, tries_before = time.monotonic(), away.tries
        await asyncio.to_thread(wait_until, lambda: away.tries >= tries_before + 10, "it goes on trying")
        assert time.monotonic() - began > 0.12, "it waits between tries while it stops, 0.02 s as set above"
        away.is_away = False
        assert await waiting

    assert states(store) == {"succeeded": 1}


async def test_an_outage_late_in_a_drain_is_waited_for_like_any_other(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(safekeeping, "LOOK_SECONDS", 60.0)  # what is spooled meanwhile is no matter here
    [job] = claimed(store)
    spooled = Spooled()
    async with writing(store, spool=spooled) as writer:
        writer.expect_stop(patience_seconds=30)
        writer._stop_expected_at -= 60  # a call may take two minutes
        Away(store, monkeypatch, transactions=2)
        assert await writer.persist(JobUpdate(ending=success(job)))

    assert spooled == []


async def test_a_spool_that_cannot_be_written_does_not_stop_the_writer(store: Store, monkeypatch: pytest.MonkeyPatch):
    [job] = claimed(store)
    Away(store, monkeypatch, transactions=float("inf"))

    spooled = Spooled()
    spooled.full = True
    monkeypatch.setattr(module, "UNSAVED_SECONDS", 0.05)
    async with writing(store, spool=spooled) as writer:
        writer.expect_stop(patience_seconds=0)
        with pytest.raises(NotStored):
            await writer.persist(JobUpdate(ending=success(job)))
