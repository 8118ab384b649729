"""What is purged is gone, from the file too; counts and costs stay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.store.steps import (
    Answer,
    answered,
    claim,
    claimed,
    endings,
    enqueue,
    failure,
    job_row,
    move_clock,
    new_job,
    outcome_rows,
    persist,
    publish,
    send,
    states,
    success,
)
from workers.contract.flag import Flag, FlagKind
from workers.contract.outcome import Failure, FailureKind, Success
from workers.store import retention, sql
from workers.store.ledger import JobEnding
from workers.store.progress import read_progress
from workers.store.results import read_results
from workers.store.retention import count_aged, purge
from workers.store.steering import retry_failed

if TYPE_CHECKING:
    from workers.store import Store

MARKER = "XMARKERX"
YEAR = 365 * 86400.0


def graded(store: Store, count: int = 1, *, name: str = "b", age_seconds: float = YEAR) -> list[str]:
    """Jobs full of student work that ended so long ago."""
    made = [new_job(f"{name}{n}", prompt=f"{MARKER} {n} " + "x" * 6000) for n in range(count)]
    enqueue(store, made, name=name)
    ids = publish(store)
    for number, job in enumerate(claim(store, ids).values()):
        attempt = send(store, job) or ""
        outcome: Success | Failure = Success(Answer({f"{MARKER}": number}))
        if number % 2:
            outcome = Failure(
                kind=FailureKind.INVALID_OUTPUT,
                message="no",
                raw_output=MARKER,
                validation_errors=({"input": MARKER},),
                refusal=MARKER,
            )
        ending = JobEnding(
            job_id=job.id,
            batch_id=job.batch_id,
            round=1,
            claim=job.claim,
            outcome=outcome,
            model_answered="m",
            is_standin=False,
            flags=(Flag(kind=FlagKind.INJECTION_SUSPECTED, message=f"demands a grade; without it {MARKER}"),),
            provenance={"request_id": "r", "counterfactual": {"fields": {MARKER: 1}}},
        )
        persist(store, closing=answered(attempt), ending=ending)
    with store.transaction() as connection:
        marked = '\'{"name": "XMARKERX"}\''
        connection.execute(text(f"UPDATE jobs SET metadata = {marked}, pseudonyms = {marked}, kept_answer = {marked}"))
    for table, column in (("jobs", "finished_at"), ("jobs", "enqueued_at"), ("batches", "created_at")):
        move_clock(store, table, column, age_seconds)
    return ids


def test_nothing_of_the_students_is_left_and_the_counts_are(store: Store):
    graded(store, 4)
    with store.snapshot() as connection:
        before = read_progress(connection, "b")
    assert purge(store, older_than_seconds=YEAR / 2) == 4

    with store.snapshot() as connection:
        everything = "".join(
            str(row)
            for table in ("jobs", "outcomes", "attempts", "flags")
            for row in connection.execute(text(f"SELECT * FROM {table}"))
        )
        after = read_progress(connection, "b")
        rows = list(read_results(connection, "b"))
    assert MARKER not in everything
    assert after == before
    assert before is not None
    assert before.cost_usd == 2.0
    assert all(row.is_purged and row.as_line()["purged"] for row in rows)


def test_the_sqlite_file_itself_forgets(sqlite_store: Store):
    graded(sqlite_store, 20)
    purge(sqlite_store, older_than_seconds=YEAR / 2)
    file = Path(sqlite_store.engine.url.database or "")
    contents = b"".join(path.read_bytes() for path in file.parent.glob("store.db*"))

    assert MARKER.encode() not in contents


def test_younger_and_unfinished_jobs_keep_their_texts(store: Store):
    [running] = claimed(store)
    old = graded(store, 2, name="old")
    young = graded(store, 2, name="young", age_seconds=0)
    enqueue(store, [new_job("waiting", prompt=MARKER)], name="waiting")

    with store.snapshot() as connection:
        aged = count_aged(connection, older_than_seconds=YEAR / 2)
    assert (aged.finished, aged.unfinished) == (2, 1), "the waiting one is young"
    assert purge(store, older_than_seconds=YEAR / 2) == 2
    assert [job_row(store, job_id).prompt is None for job_id in (*old, *young, running.id)] == [True] * 2 + [False] * 3


def test_purging_again_finds_nothing(store: Store):
    graded(store, 3)
    purge(store, older_than_seconds=YEAR / 2)
    assert purge(store, older_than_seconds=YEAR / 2) == 0


def test_long_batches_are_purged_a_few_jobs_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch):
    for name, count in (("a", 3), ("b", 25), ("c", 1), ("d", 9), ("e", 10)):
        graded(store, count, name=name)
    young = graded(store, 4, name="young", age_seconds=0)
    monkeypatch.setattr(retention, "STRETCH", 10)
    monkeypatch.setattr(sql, "LIST_LENGTH", 4)
    chunks: list[int] = []

    with store.snapshot() as connection:
        assert count_aged(connection, older_than_seconds=YEAR / 2).finished == 48
    assert purge(store, older_than_seconds=YEAR / 2, on_chunk=chunks.append) == 48

    assert sum(chunks) == 48
    assert max(chunks) == 4
    assert all(job_row(store, job_id).prompt is not None for job_id in young)
    with store.snapshot() as connection:
        assert count_aged(connection, older_than_seconds=YEAR / 2).finished == 0


def test_a_purge_that_breaks_off_is_resumed(store: Store, monkeypatch: pytest.MonkeyPatch):
    ids = graded(store, 25)
    monkeypatch.setattr(sql, "LIST_LENGTH", 4)
    chunks: list[int] = []

    def stop_at_the_third(purged: int) -> None:
        chunks.append(purged)
        if len(chunks) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge(store, older_than_seconds=YEAR / 2, on_chunk=stop_at_the_third)
    gone = [job_row(store, job_id).prompt is None for job_id in ids]
    assert gone.count(True) == sum(chunks) == 12

    assert purge(store, older_than_seconds=YEAR / 2) == 13
    assert all(job_row(store, job_id).prompt is None for job_id in ids)


def test_a_purged_failure_is_not_retried(store: Store):
    graded(store, 2)
    purge(store, older_than_seconds=YEAR / 2)
    assert retry_failed(store, "b") == 0
    assert states(store) == {"succeeded": 1, "failed": 1}


def test_the_same_command_after_a_purge_pays_for_nothing_again(store: Store):
    made = [new_job("a", prompt=MARKER)]
    enqueue(store, made)
    [job] = claim(store, publish(store)).values()
    persist(store, ending=success(job))
    move_clock(store, "jobs", "finished_at", YEAR)
    move_clock(store, "batches", "created_at", YEAR)
    purge(store, older_than_seconds=YEAR / 2)

    assert enqueue(store, made).existing == 1
    assert publish(store) == []


def test_all_rounds_of_a_job_are_purged(store: Store):
    [job] = claimed(store)
    persist(store, ending=failure(job))
    retry_failed(store, "b")
    publish(store)
    [again] = claim(store, [job.id]).values()
    persist(store, ending=success(again, 5))
    move_clock(store, "jobs", "finished_at", YEAR)
    move_clock(store, "batches", "created_at", YEAR)
    purge(store, older_than_seconds=YEAR / 2)

    assert [(row.round, row.result) for row in outcome_rows(store)] == [(1, None), (2, None)]
    assert endings(store) == {}
