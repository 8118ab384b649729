"""Why a worker died is read from the file it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from producer.local import processes
from producer.local.embedded import Services
from producer.local.processes import MOST_CRASHES_AT_WORK, MOST_FAST_CRASHES, WorkerFleet, _Worker
from producer.local.run import MOST_PROCESSES, RunRequest, processes_for
from workers.contract.errors import ServiceUnavailable
from workers.settings import load_settings

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from workers.settings import Settings


class Ended:
    """A process that ended with 1 at once."""

    returncode = 1
    stdin = None

    def poll(self) -> int:
        return 1


CRITICAL = "[2026-11-27 07:00:00,000: CRITICAL/MainThread] Unrecoverable error: the disk is gone"
INFO = "[2026-11-27 07:00:01,000: INFO/MainThread] bye"


@pytest.mark.parametrize(
    ("log", "stderr", "reason"),
    [
        (f"{INFO}\n{CRITICAL}\nTraceback:\n  File x\n{INFO}\n", "noise", "Unrecoverable error: the disk is gone"),
        (f"{INFO}\n", "Traceback\nModuleNotFoundError: No module named 'packaging'\n\n", "No module named 'packaging'"),
        (None, "the setting is wrong\n", "the setting is wrong"),
        (f"{INFO}\n", "", "bye"),
        (f"{INFO}\n", "SecurityWarning: You're running the worker with superuser privileges\n", "bye"),
        (None, "", "exit status 1"),
    ],
)
def test_the_reason_is_the_last_critical_line_or_else_what_it_said_on_standard_error(
    tmp_path: Path, log: str | None, stderr: str, reason: str
):
    log_file = tmp_path / "worker-bulk-1.log"
    if log is not None:
        log_file.write_text(log)
    log_file.with_suffix(".err").write_text(stderr)
    worker = _Worker(cast("subprocess.Popen[bytes]", Ended()), log_file)

    assert worker.last_words().endswith(reason)
    worker.close()
    assert log_file.with_suffix(".err").exists() is bool(stderr), "an empty one is cleared away"


def test_jobs_that_end_their_process_are_told_from_a_faulty_start_without_a_log_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As in a container, where the lines of a worker go to standard error."""
    dead = _Worker(cast("subprocess.Popen[bytes]", Died(9)), None, "w1")
    monkeypatch.setattr(WorkerFleet, "_start_one", lambda _fleet: dead)
    monkeypatch.setattr(processes, "free_jobs_of", lambda _worker, **_where: 1)
    fleet = WorkerFleet(
        "bulk",
        1,
        settings=load_settings(data_dir=tmp_path),
        services=Services("redis://h", "sqlite:///s", None),
        log_dir=tmp_path,
        logs_to_stderr=True,
    )
    fleet.start()

    for _ in range(MOST_CRASHES_AT_WORK - 1):
        assert fleet.restart_dead() == [9]
    with pytest.raises(ServiceUnavailable, match="die as they work"):
        fleet.restart_dead()


class Died(Ended):
    def __init__(self, returncode: int) -> None:
        self.returncode = returncode

    def poll(self) -> int:
        return self.returncode


READY = "[2026-11-27 07:00:01,000: INFO/MainThread] bulk-1@vm ready."


@pytest.mark.parametrize(
    ("code", "log", "survived", "says"),
    [
        (1, "", MOST_FAST_CRASHES - 1, "die as they start"),
        (9, READY, MOST_CRASHES_AT_WORK - 1, "die as they work"),
        (-9, "", 3 * MOST_FAST_CRASHES, None),
    ],
    ids=["it gives up at once", "a job ends the process", "a signal kills it"],
)
def test_a_few_jobs_that_end_their_process_do_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, code: int, log: str, survived: int, says: str | None
):
    log_file = tmp_path / "worker-bulk-1.log"
    log_file.write_text(log)
    dead = _Worker(cast("subprocess.Popen[bytes]", Died(code)), log_file)
    monkeypatch.setattr(WorkerFleet, "_start_one", lambda _fleet: dead)
    fleet = WorkerFleet("bulk", 1, settings=cast("Settings", None), services=cast("Services", None), log_dir=tmp_path)
    fleet.start()

    for _ in range(survived):
        assert fleet.restart_dead() == [code]
    if says is not None:
        with pytest.raises(ServiceUnavailable, match=says):
            fleet.restart_dead()


@pytest.mark.parametrize(
    ("jobs", "concurrency", "asked_for", "expected"),
    [
        (20, 400, None, 1),
        (400, 400, None, 1),
        (401, 400, None, 2),
        (20, 10, None, 2),
        (0, 400, None, 1),
        (20, 400, 3, 3),
    ],
)
def test_another_process_is_started_where_the_jobs_keep_it_busy_or_it_was_asked_for(
    tmp_path: Path, jobs: int, concurrency: int, asked_for: int | None, expected: int
):
    request = RunRequest(name="b", specs=list, queue="bulk", processes=asked_for)
    settings = load_settings(concurrency=concurrency, data_dir=tmp_path)

    assert min(processes_for(jobs, request, settings), asked_for or MOST_PROCESSES) == expected


def test_processes_that_run_are_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    started: list[_Worker] = []
    alive = _Worker(cast("subprocess.Popen[bytes]", Ended()), None)
    monkeypatch.setattr(WorkerFleet, "_start_one", lambda _fleet: started.append(alive) or alive)
    fleet = WorkerFleet("bulk", 2, settings=cast("Settings", None), services=cast("Services", None), log_dir=tmp_path)

    for number in (1, 1, 5, None):
        fleet.start(number)

    assert len(started) == 2
