"""Whoever ends a round without an answer, its outcome says what was to be asked."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from tests.store.steps import answered, claim, enqueue, failure, new_job, persist, publish, send, success
from workers.contract.outcome import FailureKind, Usage
from workers.store.enqueue import save_context
from workers.store.instructions import INSTRUCTIONS_KEY
from workers.store.releases import MOST_UNKNOWN_ATTEMPTS, free_claims
from workers.store.results import read_results
from workers.store.steering import cancel_batch, retry_failed
from workers.store.tables import attempts, jobs, outcomes

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.enqueue import NewJob

ASKED = {
    "request_id": None,
    "system_fingerprint": None,
    "service_tier": None,
    "effort": "high",
    "parameters_sent": None,
    "instructions_hash": "in",
    "rubric_hash": "ru",
    "pseudonyms": 1,
}


def job(item_id: str, *, left_out: str = "") -> NewJob:
    made = new_job(item_id, effort="high", twin_key=None if left_out else "k")
    spec = replace(made.spec, pseudonyms={"student1": "Ada"}, prompt="" if left_out else "work", left_out=left_out)
    return replace(made, spec=spec, instructions_hash="in", context_hash="ru")


@pytest.fixture
def two(store: Store) -> list[str]:
    """Ids of the published jobs of two items with the same work: one."""
    save_context(store, context_hash="in", content={INSTRUCTIONS_KEY: "grade"})
    save_context(store, context_hash="ru", content={})
    enqueue(store, [job("ada"), job("ben")])
    return publish(store)


def provenances(store: Store) -> list[Any]:
    with store.snapshot() as connection:
        return list(connection.execute(select(outcomes.c.provenance)).scalars())


@pytest.mark.usefixtures("two")
def test_a_job_cancelled_before_it_started_and_its_twin_say_it(store: Store):
    cancel_batch(store, "b")
    assert provenances(store) == [ASKED, ASKED]


def test_a_job_cancelled_while_it_ran_says_it(store: Store, two: list[str]):
    claim(store, two)
    cancel_batch(store, "b")
    store.run(lambda connection: free_claims(connection, two, worker_ids={"w1"}))
    assert provenances(store) == [ASKED, ASKED]


def test_a_job_that_is_likelier_to_kill_its_workers_than_to_be_unlucky_says_it(store: Store, two: list[str]):
    [running] = claim(store, two).values()
    for _ in range(MOST_UNKNOWN_ATTEMPTS):
        assert send(store, running) is not None
    store.run(lambda connection: free_claims(connection, two, worker_ids={"w1"}))
    with store.snapshot() as connection:
        assert set(connection.execute(select(outcomes.c.failure_kind)).scalars()) == {FailureKind.INTERNAL}
    assert provenances(store) == [ASKED, ASKED]


def test_a_job_that_this_release_cannot_read_says_what_can_be_read_of_it(store: Store, two: list[str]):
    with store.transaction() as connection:
        connection.execute(update(jobs).where(jobs.c.id == two[0]).values(parameters=["later"]))
    claim(store, two)
    assert provenances(store) == [{**ASKED, "effort": None}] * 2


def test_a_job_with_nothing_to_grade_says_it(store: Store):
    save_context(store, context_hash="ru", content={})
    left_out = replace(job("ada", left_out="not graded: pictures only"), instructions_hash=None)
    enqueue(store, [left_out])
    assert provenances(store) == [{**ASKED, "instructions_hash": None}]


def test_the_next_round_of_a_cancelled_job_has_its_own(store: Store, two: list[str]):
    cancel_batch(store, "b")
    retry_failed(store, "b")
    persist(store, ending=replace(failure(claim(store, publish(store))[two[0]]), provenance={"request_id": "r"}))
    assert provenances(store).count({"request_id": "r"}) == 2
    assert provenances(store).count(ASKED) == 2


def test_a_result_line_tells_every_count_of_tokens(store: Store, two: list[str]):
    [running] = claim(store, two).values()
    attempt = send(store, running)
    assert attempt is not None
    usage = Usage(**{each.name: number for number, each in enumerate(fields(Usage), start=1)})
    persist(store, closing=replace(answered(attempt), usage=usage), ending=success(running))
    with store.snapshot() as connection:
        assert connection.execute(select(attempts.c.cache_write_tokens)).scalar_one() == usage.cache_write_tokens
        told = next(iter(read_results(connection, "b"))).as_line()["usage"]
    assert told == {each.name: getattr(usage, each.name) for each in fields(Usage)}
