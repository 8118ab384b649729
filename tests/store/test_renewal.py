"""A second hand-in begins another round of its job; everybody else is untouched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.store.steps import claim, enqueue, failure, new_job, persist, publish, success
from workers.contract.errors import ConflictingJob
from workers.contract.outcome import FailureKind
from workers.store.enqueue import add_jobs, open_batch
from workers.store.history import read_outcomes
from workers.store.releases import Release
from workers.store.results import read_results
from workers.store.steering import retry_failed
from workers.store.stored_jobs import read_jobs

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.enqueue import EnqueueReport, NewJob


def update(store: Store, *new_jobs: NewJob) -> EnqueueReport:
    batch = open_batch(store, name="b", provider="p", queue="bulk")
    return add_jobs(store, batch, new_jobs, renews=True)


def rows(store: Store) -> dict[str, tuple[str, int, str | None]]:
    with store.snapshot() as connection:
        return {row.id: (row.state, row.round, row.same_as) for row in read_results(connection, "b")}


def graded(store: Store, *new_jobs: NewJob) -> None:
    enqueue(store, new_jobs)
    for job in claim(store, publish(store)).values():
        persist(store, ending=success(job))


def test_other_work_begins_another_round_and_the_earlier_outcome_is_kept(store: Store):
    graded(store, new_job("ann"), new_job("bob", prompt="b"))
    with pytest.raises(ConflictingJob, match="--update"):
        enqueue(store, [new_job("ann", prompt="new work")])
    report = update(store, new_job("ann", prompt="new work"), new_job("bob", prompt="b"), new_job("cat", prompt="c"))
    assert (report.new, report.existing, report.renewed) == (1, 2, 1)
    assert rows(store) == {"ann": ("ready", 2, None), "bob": ("succeeded", 1, None), "cat": ("ready", 1, None)}
    found = claim(store, publish(store))
    assert sorted(job.prompt for job in found.values()) == ["c", "new work"]
    for job in found.values():
        persist(store, ending=success(job))
    with store.snapshot() as connection:
        kept = [(line["id"], line["round"]) for line in (each.as_line() for each in read_outcomes(connection, "b"))]
    assert sorted(kept) == [("ann", 1), ("ann", 2), ("bob", 1), ("cat", 1)]
    assert update(store, new_job("ann", prompt="new work")).renewed == 0


def test_a_job_that_is_being_graded_is_not_renewed(store: Store):
    enqueue(store, [new_job("ann")])
    claim(store, publish(store))
    with pytest.raises(ConflictingJob, match="being graded now"):
        update(store, new_job("ann", prompt="new work"))


def test_an_answer_about_the_earlier_work_is_not_taken_for_the_new(store: Store):

    enqueue(store, [new_job("ann")])
    (before,) = claim(store, publish(store)).values()
    persist(store, release=Release(job_id=before.id, claim=before.claim))
    update(store, new_job("ann", prompt="new work"))
    persist(store, ending=success(before))
    assert rows(store)["ann"] == ("ready", 2, None)


def test_the_twins_of_the_earlier_work_keep_their_grade(store: Store):
    twins = [new_job(name, twin_key="k") for name in ("ann", "bob", "cat")]
    graded(store, *twins)
    update(store, new_job("ann", prompt="new work", twin_key="other"))
    assert rows(store) == {"ann": ("ready", 2, None), "bob": ("succeeded", 1, None), "cat": ("succeeded", 1, "bob")}


def test_the_twins_of_ungraded_work_are_graded_by_themselves(store: Store):
    enqueue(store, [new_job(name, twin_key="k") for name in ("ann", "bob", "cat")])
    update(store, new_job("ann", prompt="new work", twin_key="other"))
    for job in claim(store, publish(store)).values():
        persist(store, ending=success(job))
    assert {state for state, _round, _same in rows(store).values()} == {"succeeded"}


def test_who_had_nothing_to_grade_is_graded_when_there_is_something(store: Store):
    job = new_job("ann")
    enqueue(store, [replace(job, spec=replace(job.spec, prompt="", left_out="not graded: pictures only"))])
    assert enqueue(store, [job]).existing == 1
    assert rows(store)["ann"] == ("ready", 2, None)


def test_another_round_may_ask_with_other_parameters_and_the_same_command_still_finds_its_job(store: Store):
    enqueue(store, [new_job("ann")])
    (job,) = claim(store, publish(store)).values()
    persist(store, ending=failure(job, FailureKind.TRUNCATED))
    assert retry_failed(store, "b", model="larger", parameters={"max_tokens": 8192}) == 1
    with store.snapshot() as connection:
        (found,) = read_jobs(connection, "b")
    assert (found.model, found.parameters.max_tokens) == ("larger", 8192)
    assert enqueue(store, [new_job("ann")]).existing == 1


def test_another_round_may_take_evidence_that_the_last_one_refused(store: Store):
    enqueue(store, [new_job("ann", evidence="strict")])
    (job,) = claim(store, publish(store)).values()
    persist(store, ending=failure(job, FailureKind.INVALID_OUTPUT))
    assert retry_failed(store, "b", parameters={"evidence": None}) == 1
    (again,) = claim(store, publish(store)).values()
    assert (job.parameters.evidence, again.parameters.evidence) == ("strict", None)
