"""Pause and resume while jobs run, in the project's own processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_run import RUN, TWO, made_up_programs
from tests.support.wait import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from tests.support.command_line import Bench

pytestmark = pytest.mark.acceptance
JOBS = 150


def test_a_pause_under_load_stops_every_worker_and_the_same_run_goes_on_without_a_repeated_call(bench: Bench):
    made_up_programs(bench.folder, JOBS)
    bench.standin.configure(latency_ms="900-1300")  # the pause must find work left, however late it is typed
    running = bench.start(*RUN, *TWO, "--concurrency", "5")
    wait_until(lambda: (progress := bench.progress("batch")) and progress.succeeded >= 10, "ten jobs are done")
    bench.run("pause", "batch")
    said = running.communicate(timeout=DEADLINE_SECONDS)[1]

    assert running.returncode == 4, "jobs were left waiting"
    assert "batch is paused since" in " ".join(said.split())
    paused = bench.progress("batch")
    assert paused is not None
    assert (paused.failed, paused.running) == (0, 0), "calls in flight finished"
    assert 10 <= paused.succeeded < JOBS
    assert sum(bench.standin.calls_per_prompt().values()) == paused.succeeded

    assert json.loads(bench.run("resume", "batch", "--json").stdout)["changed"]
    bench.run(*RUN)
    assert set(bench.standin.calls_per_prompt().values()) == {1}
    assert len(bench.standin.calls_per_prompt()) == JOBS
