"""Whoever was handed in and cannot be graded is a row of the batch, and a file that was not read flags its outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.store.steps import claim, enqueue, failure, new_job, persist, publish, success
from workers.contract.flag import FlagKind
from workers.contract.outcome import FailureKind
from workers.store.history import read_outcomes
from workers.store.progress import read_progress
from workers.store.results import read_results
from workers.store.steering import retry_failed

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.enqueue import NewJob


def left_out(item_id: str) -> NewJob:
    job = new_job(item_id)
    return replace(job, spec=replace(job.spec, prompt="", left_out="not graded: pictures only"))


def in_part(item_id: str) -> NewJob:
    job = new_job(item_id)
    return replace(job, spec=replace(job.spec, not_read=("it is a picture", "it is a picture")))


def test_a_job_with_nothing_to_grade_ends_with_its_reason_and_no_worker_sees_it(store: Store):
    enqueue(store, [left_out("ann"), new_job("bob")])
    assert len(publish(store)) == 1
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
        rows = {row.id: row for row in read_results(connection, "b")}
        exported = {
            line["id"]: line["state"] for line in (record.as_line() for record in read_outcomes(connection, "b"))
        }
    assert progress is not None
    assert (progress.total, progress.failed, progress.waiting) == (2, 1, 1)
    assert progress.failures == {FailureKind.NOT_GRADED: 1}
    assert rows["ann"].failure_message == "not graded: pictures only"
    assert (rows["ann"].cost_usd, rows["ann"].is_purged) == (0.0, False)
    assert exported["ann"] == "failed"


def test_enqueueing_it_again_changes_nothing_and_a_retry_has_nothing_to_send(store: Store):
    enqueue(store, [left_out("ann")])
    assert enqueue(store, [left_out("ann")]).existing == 1
    assert retry_failed(store, "b") == 0


def test_a_file_that_was_not_read_flags_the_outcome_of_every_round(store: Store):
    enqueue(store, [in_part("ann"), new_job("bob")])
    ids = publish(store)
    jobs = claim(store, ids)
    for job in jobs.values():
        persist(store, ending=failure(job))
    assert retry_failed(store, "b") == 2
    for job in claim(store, publish(store)).values():
        persist(store, ending=success(job))
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
        rows = {row.id: row for row in read_results(connection, "b", flagged=[FlagKind.PARTS_MISSING])}
    assert progress is not None
    assert progress.flags == {FlagKind.PARTS_MISSING: 1}
    assert [flag.message for flag in rows["ann"].flags] == ["2 not read: it is a picture"]
    assert list(rows) == ["ann"]
