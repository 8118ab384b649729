"""Flags are stored with their outcome, counted per job, filtered, exported, and survive the spool."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.store.steps import claim, claimed, failure, persist, publish, success
from workers.contract.flag import Flag, FlagKind
from workers.contract.outcome import FailureKind
from workers.store import result_pages as module
from workers.store.history import read_outcomes
from workers.store.job_update import JobUpdate
from workers.store.progress import read_progress
from workers.store.results import read_results
from workers.store.spool_lines import read_line, written_line
from workers.store.steering import retry_failed

if TYPE_CHECKING:
    from workers.store import Store

MISSING = Flag(kind=FlagKind.EVIDENCE_NOT_FOUND, path="items[0].evidence", message="the quotation is not there")
ALSO_MISSING = replace(MISSING, path="items[3].evidence")
OFF_TASK = Flag(kind=FlagKind.OFF_TASK)


@pytest.mark.parametrize("kind", FlagKind)
def test_every_flag_says_what_to_do(kind: FlagKind):
    assert kind.advice.endswith(".")


def test_a_job_with_two_flags_of_a_kind_counts_once_and_its_line_shows_both(store: Store):
    flagged, plain = claimed(store, 2)
    persist(store, ending=replace(success(flagged), flags=(MISSING, ALSO_MISSING, OFF_TASK)))
    persist(store, ending=success(plain))
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
        rows = {row.job_id: row for row in read_results(connection, "b")}
    assert progress is not None
    assert progress.flags == {FlagKind.EVIDENCE_NOT_FOUND: 1, FlagKind.OFF_TASK: 1}
    assert rows[flagged.id].flags == (MISSING, ALSO_MISSING, OFF_TASK)
    assert rows[plain.id].as_line()["flags"] == []


@pytest.mark.parametrize("page", [1, 500])
def test_a_filter_finds_flagged_jobs_behind_any_number_of_others(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int
):
    jobs = claimed(store, 6)
    for number, job in enumerate(jobs[:5]):
        persist(store, ending=replace(success(job), flags=(MISSING,) if number == 3 else (OFF_TASK,)))
    monkeypatch.setattr(module, "PAGE", page)
    with store.snapshot() as connection:
        found = list(read_results(connection, "b", ended_only=True, flagged=[FlagKind.EVIDENCE_NOT_FOUND]))
    assert [row.job_id for row in found] == [jobs[3].id]


def test_another_round_has_its_own_flags_and_the_export_keeps_both(store: Store):
    [job] = claimed(store)
    persist(store, ending=replace(failure(job, FailureKind.INVALID_OUTPUT), flags=(MISSING,)))
    retry_failed(store, "b")
    again = claim(store, publish(store))[job.id]
    persist(store, ending=replace(success(again), flags=(OFF_TASK,)))
    with store.snapshot() as connection:
        progress = read_progress(connection, "b")
        [row] = read_results(connection, "b")
        rounds = [record.as_line()["flags"] for record in read_outcomes(connection, "b")]
    assert progress is not None
    assert progress.flags == {FlagKind.OFF_TASK: 1}
    assert row.flags == (OFF_TASK,)
    assert rounds == [[MISSING.as_json()], [OFF_TASK.as_json()]]


def test_an_outcome_that_is_not_accepted_leaves_no_flag(store: Store):
    [job] = claimed(store)
    persist(store, ending=success(job))
    persist(store, ending=replace(success(job), flags=(MISSING,)))
    with store.snapshot() as connection:
        [row] = read_results(connection, "b")
    assert row.flags == ()


def test_flags_come_back_from_the_spool_and_an_unknown_one_is_kept_for_a_newer_version(store: Store):
    [job] = claimed(store)
    update = JobUpdate(ending=replace(success(job), flags=(MISSING,)))
    line = written_line(update)
    read = read_line(line)
    assert read is not None
    assert read.ending is not None
    assert read.ending.flags == (MISSING,)
    assert read_line(line.replace(b"evidence_not_found", b"of_tomorrow")) is None
    assert read_line(written_line(JobUpdate(ending=success(job)))) is not None
