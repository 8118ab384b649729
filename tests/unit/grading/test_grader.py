"""One job from its claim to its outcome, over a real store; budget and provider are played."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from tests.store.steps import enqueue, new_job, publish
from tests.support.playing import Playing
from tests.support.wait import until
from workers.budget.records import NotGranted
from workers.completion.classify import Blocked, Throttled, Transient
from workers.contract.model_profile import ModelProfile
from workers.contract.outcome import AccountState, Failure, FailureKind
from workers.contract.registry import builtin_registry
from workers.grading.grader import Dropped, Finished, Grader, Snoozed
from workers.store.releases import free_claims
from workers.store.tables import attempts, jobs, now_seconds
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.store import Store

SCHEMA = "feedback"


@pytest.fixture
def playing() -> Playing:
    return Playing()


@pytest.fixture
async def grader(store: Store, playing: Playing) -> AsyncIterator[Grader]:
    writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop())
    writer.start()

    yield playing.grader(writer)
    await asyncio.to_thread(writer.stop, patience_seconds=5.0)


def published(store: Store, **parameters: object) -> str:
    """One job whose message is on its way."""
    [job_id] = all_published(store, "one", **parameters)
    return job_id


def all_published(store: Store, *ids: str, **parameters: object) -> list[str]:
    fingerprint = builtin_registry().resolve(SCHEMA, None).fingerprint
    jobs = [new_job(item_id, prompt="x" * 400, **parameters) for item_id in ids]
    specs = [replace(job.spec, schema=SCHEMA) for job in jobs]
    enqueue(
        store, [replace(job, spec=spec, schema_fingerprint=fingerprint) for job, spec in zip(jobs, specs, strict=True)]
    )
    return publish(store)


def row(store: Store, job_id: str) -> tuple[str, bool]:
    """State, and whether a message is out."""
    with store.snapshot() as connection:
        found = connection.execute(select(jobs.c.state, jobs.c.published_at).where(jobs.c.id == job_id)).one()
    return found.state, found.published_at is not None


def ledger(store: Store) -> Counter[str | None]:
    with store.snapshot() as connection:
        return Counter(connection.execute(select(attempts.c.ending)).scalars())


def due_in(store: Store, job_id: str, seconds: float) -> None:
    with store.transaction() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(not_before=now_seconds() + seconds))


async def test_a_call_is_reserved_before_it_is_made_and_settled_after(grader: Grader, playing: Playing, store: Store):
    job_id = published(store, max_tokens=1000)

    assert await grader.run(job_id) == Finished(None)

    assert playing.told == ["reserve", "confirm", "complete", "settle"]
    assert playing.tokens == 80 + 1000, "input estimate and max_tokens"


@pytest.mark.parametrize(("max_tokens", "tokens"), [(1000, 1000), (50, 80)])
async def test_where_the_provider_takes_the_larger_of_input_and_output_so_does_the_budget(
    grader: Grader, playing: Playing, store: Store, max_tokens: int, tokens: int
):
    playing.profile = ModelProfile(charges_larger=True)

    await grader.run(published(store, max_tokens=max_tokens))

    assert playing.tokens == tokens
    assert playing.requests[0].asks_standard_tier, "the tier that the ledger's prices and the caps are of"
    assert playing.samples[0].requests.remaining == 59
    assert ledger(store) == {"answered": 1}


async def test_a_refusal_is_settled_and_snoozed_and_spends_no_attempt(grader: Grader, playing: Playing, store: Store):
    job_id = published(store)
    playing.endings.append(Throttled("Rate limit exceeded", 8.0, 429))

    assert await grader.run(job_id) == Snoozed(9.0, message_follows=True)

    assert playing.samples[0].refused_wait_seconds == 8.0
    assert not playing.samples[0].answered
    assert ledger(store) == {"throttled": 1}
    assert row(store, job_id) == ("ready", True)


async def test_waiting_in_line_leaves_no_trace_in_the_ledger(grader: Grader, playing: Playing, store: Store):
    job_id = published(store)
    playing.blocked = asyncio.Event()
    running = asyncio.create_task(grader.run(job_id))
    await playing.blocked.wait()

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert ledger(store) == {}
    assert row(store, job_id)[0] == "ready"


async def test_a_deadline_that_passes_in_line_is_typed(grader: Grader, playing: Playing, store: Store):
    job_id = published(store, deadline_seconds=60.0)
    playing.answers.append(NotGranted.DEADLINE)

    assert await grader.run(job_id) == Finished(FailureKind.DEADLINE_EXCEEDED)
    assert ledger(store) == {}


async def test_who_is_crowded_out_waits_in_the_store_without_a_message(grader: Grader, playing: Playing, store: Store):
    job_id = published(store)
    playing.answers.append(NotGranted.EVICTED)

    assert await grader.run(job_id) == Snoozed(0.0, message_follows=False)
    assert row(store, job_id) == ("ready", False)
    assert publish(store) == [job_id]


async def test_a_worker_that_stops_begins_no_second_call(grader: Grader, playing: Playing, store: Store):
    job_id = published(store, max_retries=3, retry_delay_seconds=600.0)
    playing.endings.append(Transient("The connection to the provider failed", None, None))

    running = asyncio.create_task(grader.run(job_id))
    await until(lambda: ledger(store) == {"failed": 1})  # it waits out its backoff now
    grader.drain()

    assert await running == Snoozed(0.0, message_follows=False)
    assert playing.told.count("complete") == 1
    assert row(store, job_id) == ("ready", False)


async def test_a_worker_that_stops_ends_the_repair_of_an_answer_that_is_paid_for(
    grader: Grader, playing: Playing, store: Store
):
    job_id = published(store, max_retries=0, allow_repair=True)
    invalid = Failure(kind=FailureKind.INVALID_OUTPUT, message="no", raw_output="{}")
    playing.endings.append(invalid)
    playing.on_complete = grader.drain

    assert await grader.run(job_id) == Finished(None)
    assert playing.told.count("complete") == 2


async def test_a_grant_that_cannot_be_confirmed_closes_its_row_as_not_sent(
    grader: Grader, playing: Playing, store: Store
):
    job_id = published(store)
    playing.confirms = NotGranted.EVICTED

    assert await grader.run(job_id) == Snoozed(0.0, message_follows=False)
    assert "complete" not in playing.told
    assert ledger(store) == {"not_sent": 1}


async def test_a_message_that_comes_too_early_waits_until_its_job_is_due(grader: Grader, store: Store):
    job_id = published(store)
    due_in(store, job_id, 0.3)

    assert await grader.run(job_id) == Finished(None)


async def test_a_message_that_comes_much_too_early_counts_down_again(grader: Grader, playing: Playing, store: Store):
    job_id = published(store)
    due_in(store, job_id, 60.0)

    ending = await grader.run(job_id)

    assert isinstance(ending, Snoozed)
    assert ending.message_follows
    assert 55 < ending.after_seconds <= 60
    assert row(store, job_id) == ("ready", True)
    assert playing.told == []


async def test_a_message_for_a_finished_job_is_dropped(grader: Grader, store: Store):
    job_id = published(store)
    await grader.run(job_id)

    assert await grader.run(job_id) == Dropped()


async def test_a_refused_repair_is_tried_again_in_place_because_its_answer_is_paid_for(
    grader: Grader, playing: Playing, store: Store
):
    job_id = published(store, max_retries=0, allow_repair=True)
    invalid = Failure(kind=FailureKind.INVALID_OUTPUT, message="no", raw_output="{}")
    playing.endings.extend([invalid, Throttled("slow down", 0.01, 429)])

    assert await grader.run(job_id) == Finished(None)
    assert ledger(store) == {"answered": 2, "throttled": 1}
    with store.snapshot() as connection:
        assert Counter(connection.execute(select(attempts.c.purpose)).scalars()) == {"grade": 1, "repair": 2}


async def test_a_second_call_that_was_not_sent_is_not_unknown(grader: Grader, playing: Playing, store: Store):
    job_id = published(store, max_retries=3, retry_delay_seconds=0.0)
    playing.endings.append(Transient("The connection to the provider failed", None, None))
    playing.on_complete = lambda: setattr(playing, "confirms", NotGranted.EVICTED)

    assert await grader.run(job_id) == Snoozed(0.0, message_follows=False)
    assert ledger(store) == {"failed": 1, "not_sent": 1}


async def test_an_account_that_cannot_be_parked_fails_no_job(grader: Grader, playing: Playing, store: Store):
    job_id = published(store)
    playing.store_is_away = True
    playing.endings.append(Blocked(AccountState.AUTH_FAILED, "The provider refused the API key", 401))

    ending = await grader.run(job_id)

    assert isinstance(ending, Snoozed)
    assert ending.message_follows
    assert row(store, job_id) == ("ready", True)
    assert ledger(store) == {"throttled": 1}


async def test_a_process_that_was_taken_for_dead_keeps_its_second_claim_of_a_job(
    grader: Grader, playing: Playing, store: Store
):
    job_id = published(store)
    gates = [asyncio.Event(), asyncio.Event()]
    playing.gates.extend(gates)
    first = asyncio.create_task(grader.run(job_id))
    await until(lambda: playing.told.count("complete") == 1)
    store.run(lambda connection: free_claims(connection, [job_id], worker_ids={"w1"}))
    publish(store)
    second = asyncio.create_task(grader.run(job_id))
    await until(lambda: playing.told.count("complete") == 2)
    playing.endings.append(Failure(kind=FailureKind.REFUSED, message="no"))

    gates[0].set()

    assert await first == Dropped(), "a failure needs the current claim"
    assert grader.held == {job_id}
    gates[1].set()
    assert await second == Finished(None)
    assert grader.held == set()


async def test_a_repeat_is_in_the_ledger_under_its_own_purpose_and_retried_like_a_grade(
    grader: Grader, playing: Playing, store: Store
):
    job_id = published(store, max_retries=1, retry_delay_seconds=0.0, is_repeat=True)
    playing.endings.append(Transient("The connection to the provider failed", None, None))

    assert await grader.run(job_id) == Finished(None)
    with store.snapshot() as connection:
        assert Counter(connection.execute(select(attempts.c.purpose)).scalars()) == {"repeat": 2}
