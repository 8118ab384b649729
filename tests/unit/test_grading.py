"""One job from its claim to its outcome, over a real store; budget and provider are played."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from tests.unit.store.steps import enqueue, new_job, publish
from workers.budget.records import BudgetKey, Grant, Lesson, NotGranted
from workers.completion.attempt import Attempt, CompletionRequest, Reply
from workers.completion.classify import Blocked, Throttled, Transient
from workers.completion.response_note import RateLimits
from workers.contract.errors import ServiceUnavailable
from workers.contract.model_profile import ModelProfile
from workers.contract.outcome import AccountState, Failure, FailureKind, Success, Usage
from workers.contract.registry import builtin_registry
from workers.grading import Dropped, Finished, Grader, Snoozed
from workers.store.claims import free_claims
from workers.store.tables import attempts, jobs, now_seconds
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from workers.retry_policy import Park
    from workers.store import Store

SCHEMA = "feedback"
LIMITS = RateLimits(limit_requests=60, remaining_requests=59, reset_requests_seconds=1.0)


@dataclass
class Playing:
    """Budget and provider in one: what they answer, and what they were told, in order."""

    answers: list[Grant | NotGranted] = field(default_factory=list)
    endings: list[object] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    lessons: list[Lesson] = field(default_factory=list)
    tokens: int = 0
    blocked: asyncio.Event | None = None
    confirms: NotGranted | None = None
    is_draining: bool = False
    on_complete: Callable[[], object] = lambda: None
    gates: list[asyncio.Event] = field(default_factory=list)
    """One for each call to come."""

    async def reserve(
        self,
        model: str,
        tokens: int,
        *,
        within_seconds: float | None = None,  # noqa: ARG002 - the budget's own shape
        stays: bool = False,
    ) -> Grant | NotGranted:
        self.told.append("reserve")
        self.tokens = tokens
        if self.is_draining and not stays:
            return NotGranted.CROWDED_OUT
        if self.blocked is not None:
            self.blocked.set()
            await asyncio.Event().wait()
        return self.answers.pop(0) if self.answers else grant(model, tokens)

    def drain(self) -> None:
        self.is_draining = True

    async def confirm(self, grant: Grant, **_options: object) -> Grant | NotGranted:
        self.told.append("confirm")
        return self.confirms or grant

    def settle(self, lesson: Lesson) -> None:
        self.told.append("settle")
        self.lessons.append(lesson)

    def give_back(self, _grant: Grant) -> None:
        self.told.append("give_back")

    async def complete(self, request: CompletionRequest) -> Attempt:
        self.told.append("complete")
        self.on_complete()
        if self.gates:
            await self.gates.pop(0).wait()
        ending = self.endings.pop(0) if self.endings else Success(request.schema_model.model_construct())
        if isinstance(ending, Exception):
            raise ending
        reply = Reply(parameters_sent={}, usage=Usage(prompt_tokens=1), rate_limits=LIMITS, received=True)
        return Attempt(ending, reply)  # type: ignore[arg-type]


def grant(model: str, tokens: int) -> Grant:
    key = BudgetKey("p", model)
    return Grant(key=key, tokens=tokens, delay_seconds=0.0, starts_at=0.0, requests_base=None, tokens_base=None)


@pytest.fixture
def playing() -> Playing:
    return Playing()


@pytest.fixture
async def grader(store: Store, playing: Playing) -> AsyncIterator[Grader]:
    writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop())
    writer.start()

    async def park(_park: Park) -> None:
        return None

    yield Grader(
        writer=writer,
        budget=playing,  # type: ignore[arg-type]  # a played one
        registry=builtin_registry(),
        complete=playing.complete,
        profile_of=lambda _model: ModelProfile(),
        worker_id="w1",
        park=park,
        call_timeout_seconds=5.0,
        longest_countdown_seconds=120.0,
        draw=lambda: 0.5,
    )
    await asyncio.to_thread(writer.stop, patience_seconds=5.0)


def published(store: Store, **parameters: object) -> str:
    """One job whose message is on its way."""
    job = new_job("one", prompt="x" * 400, **parameters)
    entry = builtin_registry().resolve(SCHEMA, None)
    from dataclasses import replace

    spec = replace(job.spec, schema=SCHEMA)
    enqueue(store, [replace(job, spec=spec, schema_fingerprint=entry.fingerprint)])
    return publish(store)[0]


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
    assert playing.tokens == 100 + 1000, "input estimate and max_tokens"
    assert playing.lessons[0].requests.remaining == 59
    assert ledger(store) == {"answered": 1}


async def test_a_refusal_is_settled_and_snoozed_and_spends_no_attempt(grader: Grader, playing: Playing, store: Store):
    job_id = published(store)
    playing.endings.append(Throttled("Rate limit exceeded", 8.0, 429))

    assert await grader.run(job_id) == Snoozed(9.0, message_follows=True)

    assert playing.lessons[0].refused_wait_seconds == 8.0
    assert not playing.lessons[0].answered
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
    playing.answers.append(NotGranted.CROWDED_OUT)

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
    playing.confirms = NotGranted.CROWDED_OUT

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
    playing.on_complete = lambda: setattr(playing, "confirms", NotGranted.CROWDED_OUT)

    assert await grader.run(job_id) == Snoozed(0.0, message_follows=False)
    assert ledger(store) == {"failed": 1, "not_sent": 1}


async def test_an_account_that_cannot_be_parked_fails_no_job(
    grader: Grader, playing: Playing, store: Store, monkeypatch: pytest.MonkeyPatch
):
    async def away(_park: Park) -> None:
        raise ServiceUnavailable("store", "away")

    monkeypatch.setattr(grader, "_park", away)
    job_id = published(store)
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


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the store and the playing provider signal nobody
            await asyncio.sleep(0.01)
