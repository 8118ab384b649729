"""Paid answers that could not be stored come back with the next worker, once."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.store.steps import (
    Answer,
    answered,
    claim,
    claimed,
    endings,
    failure,
    job_row,
    outcome_rows,
    publish,
    send,
    states,
    success,
)
from workers.contract.errors import ServiceUnavailable
from workers.contract.flag import Flag, FlagKind
from workers.contract.outcome import Failure, FailureKind, Success
from workers.store import Store
from workers.store.job_update import JobUpdate
from workers.store.releases import Release, free_claims
from workers.store.spool import Spool, spool_folder, take_up

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store.claims import ClaimedJob


def spooled(store: Store, data_dir: Path, *updates: JobUpdate, worker: str = "w1") -> Path:
    """What a worker left behind that has ended."""
    spool = Spool(data_dir, store, worker_id=worker)
    spool.keep(updates)
    spool.close()
    [*_, path] = sorted(spool_folder(data_dir, store).glob(f"{worker}.jsonl"))
    return path


def paid(store: Store, job: ClaimedJob) -> JobUpdate:
    return JobUpdate(closing=answered(send(store, job) or ""), ending=success(job, 3))


def test_what_was_spooled_is_stored_and_the_file_is_gone(store: Store, tmp_path: Path):
    first, second = claimed(store, 2)
    path = spooled(store, tmp_path, paid(store, first), JobUpdate(ending=failure(second)))

    assert take_up(tmp_path, store) == 2
    assert states(store) == {"succeeded": 1, "failed": 1}
    assert endings(store) == {"answered": 1}
    assert '{"grade":3}' in {row.result for row in outcome_rows(store)}
    assert not path.exists()


def test_every_field_of_a_failure_survives(store: Store, tmp_path: Path):
    [job] = claimed(store)
    outcome = Failure(
        kind=FailureKind.INVALID_OUTPUT,
        message="no",
        raw_output="raw\n",
        validation_errors=({"loc": ["x"]},),
        refusal="r",
    )
    spooled(store, tmp_path, JobUpdate(ending=dataclasses.replace(failure(job), outcome=outcome)))
    take_up(tmp_path, store)

    [row] = outcome_rows(store)
    assert (row.raw_output, row.validation_errors, row.refusal) == ("raw\n", [{"loc": ["x"]}], "r")


def test_the_file_is_its_owners_alone_and_holds_no_prompt(store: Store, tmp_path: Path):
    [job] = claimed(store)
    path = spooled(store, tmp_path, paid(store, job))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert job.prompt not in path.read_text()


def test_taking_it_up_twice_changes_nothing(store: Store, tmp_path: Path):
    [job] = claimed(store)
    path = spooled(store, tmp_path, paid(store, job))
    content = path.read_bytes()
    take_up(tmp_path, store)
    before = outcome_rows(store)
    path.write_bytes(content)  # as if the worker that took it up had died before it removed the file
    take_up(tmp_path, store)

    assert outcome_rows(store) == before
    assert endings(store) == {"answered": 1}


def test_a_file_whose_writer_lives_is_left_alone(store: Store, tmp_path: Path):
    [job] = claimed(store)
    spool = Spool(tmp_path, store, worker_id="alive")
    spool.keep([paid(store, job)])

    assert take_up(tmp_path, store) == 0
    spool.close()
    assert take_up(tmp_path, store) == 1


def test_workers_that_start_at_once_take_it_up_once(store: Store, tmp_path: Path):
    for number, job in enumerate(claimed(store, 6)):
        spooled(store, tmp_path, paid(store, job), worker=f"w{number}")
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda _: take_up(tmp_path, store), range(4)))

    assert sum(taken) == 6
    assert states(store) == {"succeeded": 6}


def test_a_store_that_is_away_again_leaves_the_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    [job] = claimed(store)
    path = spooled(store, tmp_path, paid(store, job))

    def away() -> None:
        raise ServiceUnavailable("store", "away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "transaction", away)
        with pytest.raises(ServiceUnavailable):
            take_up(tmp_path, store)
    assert path.exists()
    assert take_up(tmp_path, store) == 1


def test_a_torn_last_line_does_not_hold_up_the_others(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    [job] = claimed(store)
    path = spooled(store, tmp_path, paid(store, job))
    with path.open("a") as file:
        file.write('{"closing": {"attempt_id": "XMARKERX')

    assert take_up(tmp_path, store) == 1
    assert "torn" in caplog.text
    [kept] = path.parent.iterdir()
    assert kept.read_text() == '{"closing": {"attempt_id": "XMARKERX\n', "it loses only itself, and not even that"
    assert "XMARKERX" not in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"flags": ["evidence_not_found"]},
        {"outcome": {"failure": {"kind": "a_kind_of_tomorrow", "message": "no"}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_line_of_a_newer_version_is_kept_for_one_of_its_workers(
    store: Store, tmp_path: Path, change: dict[str, object], caplog: pytest.LogCaptureFixture
):
    first, second = claimed(store, 2)
    path = spooled(store, tmp_path, paid(store, first), paid(store, second))
    lines = path.read_text().splitlines()
    newer = json.dumps(json.loads(lines[0]) | change)
    path.write_text(f"{newer}\n{lines[1]}\n")

    assert take_up(tmp_path, store) == 1
    assert job_row(store, second.id).state == "succeeded"
    [kept] = spool_folder(tmp_path, store).iterdir()
    assert kept.read_text() == newer + "\n"
    assert "written by a newer gradequeue" in caplog.text
    caplog.clear()
    assert take_up(tmp_path, store) == 0
    assert kept.exists()
    assert caplog.text == ""

    kept.write_text(lines[0] + "\n")  # as the newer worker would read it
    assert take_up(tmp_path, store) == 1
    assert job_row(store, first.id).state == "succeeded"
    assert [*spool_folder(tmp_path, store).iterdir()] == []


def test_lines_that_cannot_be_put_aside_stay_where_they_are(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    [job] = claimed(store)
    path = spooled(store, tmp_path, paid(store, job))
    with path.open("a") as file:
        file.write('{"closing": {"att')
    content = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert take_up(tmp_path, store) == 1
    assert path.read_bytes() == content
    monkeypatch.undo()
    take_up(tmp_path, store)
    assert [each.read_text() for each in path.parent.iterdir()] == ['{"closing": {"att\n']


class Unwritable(Answer):
    """An answer that breaks where it is written."""

    def model_dump(self, **_options: Any) -> Any:
        raise ValueError("XMARKERX")


def test_an_answer_that_no_line_can_hold_does_not_keep_the_others_in_memory(store: Store, tmp_path: Path):
    first, second = claimed(store, 2)
    spoilt = dataclasses.replace(success(first), outcome=Success(Unwritable({"grade": 1})))
    spooled(store, tmp_path, JobUpdate(ending=spoilt), paid(store, second))
    take_up(tmp_path, store)

    assert {job_row(store, job.id).state for job in (first, second)} == {"failed", "succeeded"}


def test_reserved_room_is_overwritten_in_place_and_given_back(store: Store, tmp_path: Path):
    jobs = claimed(store, 3)
    spool = Spool(tmp_path, store, worker_id="w1")
    spool.reserve(3)
    [path] = spool_folder(tmp_path, store).iterdir()
    size, blocks = path.stat().st_size, path.stat().st_blocks
    for job in jobs:
        spool.keep([paid(store, job)])
    assert (path.stat().st_size, path.stat().st_blocks) == (size, blocks)
    spool.clear()
    assert not path.read_bytes().strip(b"\0")
    spool.keep([paid(store, jobs[0])])
    spool.close()

    assert path.stat().st_size < size
    assert take_up(tmp_path, store) == 1
    assert not path.exists()


def test_another_store_does_not_get_the_answers(store: Store, tmp_path: Path):
    [job] = claimed(store)
    spooled(store, tmp_path, paid(store, job))
    other = Store.open(f"sqlite:///{tmp_path / 'other.db'}")
    other.migrate()

    assert take_up(tmp_path, other) == 0
    other.close()


def test_a_release_is_not_worth_a_file(store: Store, tmp_path: Path):
    [job] = claimed(store)
    spool = Spool(tmp_path, store, worker_id="w1")

    assert spool.keep([JobUpdate(release=Release(job_id=job.id, claim=job.claim))]) == 0
    assert not spool_folder(tmp_path, store).exists()


def test_a_file_that_was_taken_up_empty_before_its_lock_is_made_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    [job] = claimed(store)
    lock, meanwhile = fcntl.flock, [lambda: take_up(tmp_path, store)]

    def late_lock(file: IO[str], how: int) -> None:
        if meanwhile:
            meanwhile.pop()()
        lock(file, how)

    update = paid(store, job)
    monkeypatch.setattr(fcntl, "flock", late_lock)
    spooled(store, tmp_path, update)

    assert take_up(tmp_path, store) == 1
    assert states(store) == {"succeeded": 1}


def test_an_answer_comes_in_time_although_its_job_was_freed(store: Store, tmp_path: Path):
    [job] = claimed(store)
    spooled(store, tmp_path, paid(store, job))
    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}))
    take_up(tmp_path, store)

    assert job_row(store, job.id).state == "succeeded"
    assert endings(store) == {"answered": 1}


def test_an_answer_that_is_kept_for_later_is_found_by_the_next_claim(store: Store, tmp_path: Path):
    [job] = claimed(store)
    flag = Flag(kind=FlagKind.INJECTION_SUSPECTED, path="line 1", message="demands a grade")
    kept = dataclasses.replace(success(job, 3, flags=(flag,)), provenance={"request_id": "r"})
    spooled(store, tmp_path, JobUpdate(closing=answered(send(store, job) or ""), kept=kept))
    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}, have_died=True))
    assert take_up(tmp_path, store) == 1

    [again] = claim(store, publish(store), "w2").values()
    assert again.kept is not None
    assert isinstance(again.kept.outcome, Success)
    assert again.kept.outcome.as_json_text() == '{"grade":3}'
    assert (again.kept.flags, again.kept.provenance) == ((flag,), {"request_id": "r"})
    assert endings(store) == {"answered": 1}
