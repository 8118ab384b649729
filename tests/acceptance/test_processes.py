"""Worker processes as `run` keeps them: they end with it, and say why when they cannot start."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_run import RUN, TWO, made_up_programs
from tests.support.wait import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from tests.support.command_line import Bench

pytestmark = pytest.mark.acceptance


def test_workers_that_die_as_they_start_are_given_up_with_the_reason(bench: Bench):
    made_up_programs(bench.folder, 2)
    bench.environment["GRADEQUEUE_STANDIN_URL"] = "ftp://127.0.0.1/v1"  # read by workers alone
    stopped = bench.run(*RUN, expect=3)
    assert "worker processes die as they start" in stopped.stderr
    assert "OPENAI_BASE_URL must look like" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert bench.worker_pids() == []


def test_workers_end_when_run_is_killed_outright(bench: Bench):
    made_up_programs(bench.folder, 60)
    bench.standin.configure(latency_ms="300-400")
    running = bench.start(*RUN, *TWO, "--concurrency", "5")
    wait_until(lambda: (progress := bench.progress("batch")) and progress.succeeded, "a job is done")
    running.kill()
    running.communicate()
    wait_until(lambda: not bench.worker_pids(), "the workers have ended too")
    progress = bench.progress("batch")
    assert progress is not None
    assert progress.running == 0, "claims were given back"

    bench.run(*RUN)
    assert set(bench.standin.calls_per_prompt().values()) == {1}


def test_a_second_ctrl_c_gives_back_what_is_in_flight(bench: Bench):
    made_up_programs(bench.folder, 20)
    bench.standin.configure(latency_ms="60000")
    bench.environment["GRADEQUEUE_RPM"] = "60000"  # known, so that nobody waits for it
    said = bench.folder / "stderr.txt"
    with said.open("w") as stderr:
        running = bench.start(*RUN, *TWO, stderr=stderr)
    wait_until(lambda: bench.standin.stats()["in_flight"] == 20, "all are, before the first answer")
    running.send_signal(signal.SIGINT)
    wait_until(lambda: "draining: 20 in flight" in " ".join(said.read_text().split()), "the run drains")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=DEADLINE_SECONDS)
    assert running.returncode == 130, said.read_text()
    progress = bench.progress("batch")
    assert progress is not None
    assert (progress.running, progress.waiting) == (0, 20)
    assert progress.attempts == {"unknown": 20}


def test_the_broker_that_dies_in_a_run_is_started_again_and_nothing_is_lost(bench: Bench):
    made_up_programs(bench.folder, 80)
    bench.standin.configure(latency_ms="300-600")
    running = bench.start(*RUN, "--concurrency", "10")
    wait_until(lambda: (progress := bench.progress("batch")) and progress.succeeded >= 10, "ten jobs are done")
    os.kill(int((bench.data_dir / "broker.pid").read_text()), signal.SIGKILL)
    _stdout, stderr = running.communicate(timeout=DEADLINE_SECONDS)
    assert running.returncode == 0, stderr + bench.logs()[-3000:]
    assert set(bench.standin.calls_per_prompt().values()) == {1}
