"""Forked programs are processes like any other: what tests read off them is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.command_line import Bench

pytestmark = pytest.mark.acceptance


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "producer.cli.main", *arguments]


def test_exit_status_and_both_streams_are_the_programs_own():
    good = subprocess.run(command("--version"), capture_output=True, text=True, check=False)
    wrong = subprocess.run(command("no-such-command"), capture_output=True, text=True, check=False)

    assert (good.returncode, good.stdout.split()[0], good.stderr) == (0, "gradequeue,", "")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no-such-command" in wrong.stderr


def test_it_has_a_pid_a_session_a_folder_and_an_environment_of_its_own(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.standin", "--port", "0", "--exit-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=tmp_path,
        env={"WHICH": "its own", "PATH": os.defpath},
    )
    assert process.stdout is not None
    assert b"base_url" in process.stdout.readline()
    own = Path("/proc") / str(process.pid)
    assert own.joinpath("cmdline").read_bytes().split(b"\0")[1:3] == [b"-m", b"ops.standin"]
    assert own.joinpath("cwd").readlink() == tmp_path
    assert os.getsid(process.pid) == process.pid
    assert process.poll() is None

    process.kill()

    assert process.wait(60) == -signal.SIGKILL
    process.communicate()


def test_a_process_that_a_forked_command_starts_is_seen_by_what_it_has_open(bench: Bench):
    running = bench.start("worker", "--queues", "bulk", "--offline")
    try:
        while not bench.worker_pids():
            assert running.poll() is None, bench.logs()
    finally:
        running.send_signal(signal.SIGTERM)
    assert running.communicate(timeout=60) is not None
    assert bench.worker_pids() == []
