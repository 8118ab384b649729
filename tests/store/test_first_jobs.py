"""The first jobs of a batch: how many run before one has succeeded, and what the provider's headers change about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from tests.store.steps import failure, opening, persist, publish, success
from tests.store.test_gates import ask, batch_of, gate_of, started
from workers.contract.outcome import FailureKind
from workers.store.admission import Admission, admit, lock_gates
from workers.store.first_jobs import (
    FIRST_HEARD,
    HEARD_STEPS,
    MOST_HEARD,
    STEP_SECONDS,
    batches_waiting_for_first_jobs,
    first_jobs_allowed,
)
from workers.store.gates import FIRST_JOBS, ClosedBy, GateRequest
from workers.store.sql import lock_jobs
from workers.store.steering import retry_failed
from workers.store.tables import batch_gates

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.claims import ClaimedJob

LONG_AGO = 60.0


def heard(store: Store, batch_id: int, *, seconds_ago: float = 0.0) -> None:
    """The provider has taken a request of the batch."""
    persist(store, heard_batch=batch_id)
    move_heard(store, seconds=-seconds_ago)


def move_heard(store: Store, *, seconds: float) -> None:
    with store.transaction() as connection:
        connection.execute(update(batch_gates).values(heard_at=batch_gates.c.heard_at + seconds))


def asked(store: Store, job: ClaimedJob) -> Admission:
    sent = opening(job)

    def work(connection: Any) -> dict[str, Admission]:
        gates = lock_gates(connection, openings=[sent])
        return admit(connection, [sent], locked=lock_jobs(connection, [job.id]), gates=gates)

    return store.run(work)[sent.attempt_id]


def allowed(store: Store) -> dict[int, int]:
    with store.snapshot() as connection:
        return batches_waiting_for_first_jobs(connection)


@pytest.mark.parametrize(
    ("seconds", "jobs"),
    [
        (None, FIRST_JOBS),
        (-1.0, FIRST_HEARD),
        (0.0, FIRST_HEARD),
        (STEP_SECONDS, 2 * FIRST_HEARD),
        (HEARD_STEPS * STEP_SECONDS, MOST_HEARD),
        (86_400.0, MOST_HEARD),
    ],
)
def test_more_may_run_in_growing_steps_and_never_all(seconds: float | None, jobs: int):
    assert first_jobs_allowed(seconds) == jobs


@pytest.mark.parametrize(
    ("usd", "jobs"), [(None, MOST_HEARD), (0.0, MOST_HEARD), (0.1, 100), (1.0, 10), (9.0, FIRST_JOBS)]
)
def test_no_more_run_than_their_unread_answers_may_cost(usd: float | None, jobs: int):
    assert first_jobs_allowed(LONG_AGO, dearest_usd=usd) == jobs


def test_what_the_first_request_can_cost_bounds_how_many_follow_it(store: Store):
    batch_id = batch_of(store, 20, GateRequest())
    ask(store, started(store), usd=2.0)
    heard(store, batch_id, seconds_ago=LONG_AGO)

    assert len(publish(store)) == 5 - FIRST_JOBS


def test_a_batch_whose_request_was_taken_lets_more_start_and_its_first_success_all(store: Store):
    batch_id = batch_of(store, MOST_HEARD + 50, GateRequest())
    working = started(store)
    assert allowed(store) == {batch_id: FIRST_JOBS}

    heard(store, batch_id, seconds_ago=-LONG_AGO)  # however long this test takes
    assert len(publish(store)) == FIRST_HEARD - FIRST_JOBS
    assert publish(store) == []

    move_heard(store, seconds=-2 * LONG_AGO)
    assert allowed(store) == {batch_id: MOST_HEARD}
    assert len(publish(store)) == MOST_HEARD - FIRST_HEARD
    assert publish(store) == []

    persist(store, ending=success(working[0]))
    assert len(publish(store)) == 50
    assert allowed(store) == {}


def test_only_until_it_is_heard_are_a_batchs_requests_told_of(store: Store):
    batch_id = batch_of(store, 20, GateRequest())
    first, second, third = started(store)
    assert asked(store, first) is Admission.MAY_SEND_FIRST

    heard(store, batch_id)
    assert asked(store, second) is Admission.MAY_SEND
    assert Admission.MAY_SEND_FIRST.may_send

    proven = batch_of(store, 1, GateRequest(starts_carefully=False), name="proven")
    [other, *_] = [job for job in started(store) if job.batch_id == proven]
    assert asked(store, other) is Admission.MAY_SEND
    assert asked(store, third) is Admission.MAY_SEND


def test_that_it_was_heard_is_noted_once_and_not_of_one_that_is_closed(store: Store):
    def since() -> float | None:
        with store.snapshot() as connection:
            return connection.execute(select(batch_gates.c.heard_at)).scalar_one()

    batch_id = batch_of(store, 20, GateRequest())
    working = started(store)
    heard(store, batch_id, seconds_ago=LONG_AGO)
    noted = since()
    persist(store, heard_batch=batch_id)
    assert since() == noted

    for job in working:
        persist(store, ending=failure(job, FailureKind.TRUNCATED))
    assert gate_of(store).closed_by is ClosedBy.SAME_FAILURE
    assert publish(store) == [], "however many its headers had let start"
    retry_failed(store, "b")
    assert since() is None, "what runs again is heard anew"
    assert len(publish(store)) == FIRST_JOBS
