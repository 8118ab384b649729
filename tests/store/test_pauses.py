"""Pauses: nothing paused is published, claimed or sent; paid work is finished; the wait is not the jobs' own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.store.steps import claim, claimed, enqueue, job_row, move_clock, new_job, opening, persist, publish, success
from workers.contract.errors import AmbiguousTarget, UnknownTarget
from workers.contract.outcome import AccountState
from workers.store.admission import Admission, admit, lock_gates
from workers.store.ledger import Purpose, open_attempts
from workers.store.parks import begin_probes, park_account
from workers.store.pauses import (
    Pause,
    PauseScope,
    Target,
    find_target,
    lift_pause,
    pause,
    pauses_of,
    read_paused,
    read_pauses,
)
from workers.store.releases import Release
from workers.store.sql import lock_jobs

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.ledger import AttemptOpening

TARGETS = [
    Target(PauseScope.BATCH, "b"),
    Target(PauseScope.MODEL, "m"),
    Target(PauseScope.ACCOUNT, "p"),
    Target(PauseScope.QUEUE, "bulk"),
]
each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target.scope))


def paused(store: Store, target: Target) -> bool:
    return store.run(lambda connection: pause(connection, target))


def lifted(store: Store, target: Target) -> bool:
    return store.run(lambda connection: lift_pause(connection, target))


def of_batch(store: Store) -> tuple[Pause, ...]:
    with store.snapshot() as connection:
        return pauses_of(connection, "b").pauses


def asked(store: Store, attempt: AttemptOpening) -> Admission:
    def work(connection: Any) -> Admission:
        gates = lock_gates(connection, openings=[attempt])
        locked = lock_jobs(connection, [attempt.job_id])
        return admit(connection, [attempt], locked=locked, gates=gates)[attempt.attempt_id]

    return store.run(work)


@each_target
def test_nothing_paused_starts_until_it_is_resumed_and_both_may_be_said_twice(store: Store, target: Target):
    enqueue(store, [new_job("a"), new_job("b")])
    [sent, _other] = publish(store)
    assert paused(store, target)
    assert not paused(store, target), "it was paused already"

    assert claim(store, [sent]) == {}
    assert job_row(store, sent).published_at is None, "the feeder publishes it again when it may start"
    assert publish(store) == []
    assert [each.target for each in of_batch(store)] == [target]

    assert lifted(store, target)
    assert not lifted(store, target), "it was not paused any more"
    assert publish(store) == [sent]
    assert list(claim(store, [sent])) == [sent]
    assert of_batch(store) == ()


@each_target
def test_a_claimed_job_sends_nothing_more_but_the_repair_of_its_paid_answer(store: Store, target: Target):
    [job] = claimed(store)
    before = opening(job)
    assert asked(store, before) is Admission.MAY_SEND
    paused(store, target)
    grade, repair = opening(job), opening(job)

    assert asked(store, before) is Admission.MAY_SEND, "the commit of its row was answered too late"
    assert asked(store, grade) is Admission.PAUSED
    assert asked(store, replace(repair, purpose=Purpose.REPAIR)) is Admission.MAY_SEND


@each_target
def test_others_go_on(store: Store, target: Target):
    enqueue(store, [new_job("a")])
    paused(store, Target(target.scope, {"queue": "interactive"}.get(target.scope, "another")))
    assert list(claim(store, publish(store)))
    with store.snapshot() as connection:
        assert pauses_of(connection, "b").pauses == ()


@each_target
def test_paused_time_does_not_count_towards_the_deadline(store: Store, target: Target):
    enqueue(store, [new_job("a", deadline_seconds=60.0)])
    move_clock(store, "jobs", "deadline_at", 10)  # enqueued 10 s ago
    paused(store, target)
    move_clock(store, "pauses", "paused_at", 3600)
    move_clock(store, "jobs", "deadline_at", 3600)
    lifted(store, target)

    [job] = claim(store, publish(store)).values()
    assert job.seconds_to_deadline == pytest.approx(50, abs=5)


def test_a_batch_waits_for_a_paused_model_only_where_nothing_of_it_asks_another(store: Store):
    enqueue(store, [new_job("a")])
    paused(store, Target(PauseScope.MODEL, "m"))
    with store.snapshot() as connection:
        assert pauses_of(connection, "b").is_whole
        found = read_paused(connection)
    assert found is not None
    assert (found.batch_ids, found.models) == (frozenset(), frozenset({"m"}))
    assert found.holds(1, "m")
    assert not found.holds(1, "n")


def test_a_paused_account_is_not_probed_and_its_probe_is_no_exception(store: Store):
    enqueue(store, [new_job("a")])
    store.run(
        lambda connection: park_account(connection, account="p", state=AccountState.QUOTA_EXHAUSTED, message="empty")
    )
    store.run(lambda connection: begin_probes(connection, every_seconds=0.0))
    [probe] = publish(store)
    paused(store, Target(PauseScope.ACCOUNT, "p"))
    move_clock(store, "parks", "probed_at", 3600)
    assert store.run(lambda connection: begin_probes(connection, every_seconds=1.0)) == []
    assert claim(store, [probe]) == {}


def test_a_claimed_job_of_a_parked_account_sends_nothing_but_the_probe(store: Store):
    enqueue(store, [new_job("a"), new_job("b")])
    first, second = claim(store, publish(store)).values()
    state = AccountState.QUOTA_EXHAUSTED
    store.run(lambda connection: park_account(connection, account="p", state=state, message="empty"))
    assert asked(store, opening(first)) is Admission.PAUSED
    with store.snapshot() as connection:
        found = read_paused(connection)
    assert found is not None
    assert found.holds(first.batch_id, "m"), "those that wait for the budget go back as well"

    persist(store, release=Release(job_id=second.id, claim=second.claim))
    store.run(lambda connection: begin_probes(connection, every_seconds=0.0))
    [probe] = claim(store, publish(store)).values()
    assert asked(store, opening(probe)) is Admission.MAY_SEND


def test_the_answer_to_a_call_in_flight_is_stored_while_its_batch_is_paused(store: Store):
    [job] = claimed(store)
    attempt = opening(job)
    with store.transaction() as connection:
        open_attempts(connection, [attempt], locked=lock_jobs(connection, [job.id]))
    paused(store, TARGETS[0])
    persist(store, ending=success(job))
    assert job_row(store, job.id).state == "succeeded"


def test_what_is_paused_is_found_by_its_name_alone_unless_several_have_it(store: Store):
    enqueue(store, [new_job("a")], name="m")
    with store.snapshot() as connection:
        assert find_target(connection, "p") == Target(PauseScope.ACCOUNT, "p")
        assert find_target(connection, "bulk") == Target(PauseScope.QUEUE, "bulk")
        assert find_target(connection, "m", PauseScope.MODEL) == Target(PauseScope.MODEL, "m")
        assert find_target(connection, "later", PauseScope.MODEL) == Target(PauseScope.MODEL, "later")
        with pytest.raises(AmbiguousTarget, match="a batch and of a model"):
            find_target(connection, "m")
        with pytest.raises(UnknownTarget, match="no batch, model, account or queue 'x'"):
            find_target(connection, "x")
        with pytest.raises(UnknownTarget, match="no queue 'x'"):
            find_target(connection, "x", PauseScope.QUEUE)
    paused(store, Target(PauseScope.MODEL, "later"))
    with store.snapshot() as connection:
        assert find_target(connection, "later") == Target(PauseScope.MODEL, "later")
        [found] = read_pauses(connection)
    assert found.target.name == "later"
