"""`gradequeue beat` as a process: it ticks, says so, and stops when told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.wait import DEADLINE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "producer.cli.main", "beat", "--data-dir", str(folder / "data"), *options]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *options), capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )


def test_it_ticks_says_so_and_ends_in_order(tmp_path: Path):
    file = tmp_path / "nightly.toml"
    file.write_text('[[nightly]]\nname = "term"\nat = "00:00"\nbatches = ["x"]\nmodel = "m"\ncatch_up_hours = 0\n')
    assert run(tmp_path, "--check").returncode == 3, "nothing ticks yet"
    process = subprocess.Popen(command(tmp_path, "--nightly", str(file)), stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (checked := run(tmp_path, "--check").returncode) and time.monotonic() < deadline:
            assert process.poll() is None
        assert checked == 0
        process.send_signal(signal.SIGTERM)
        _stdout, stderr = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0, stderr
    assert "term: daily at 00:00:00 UTC" in stderr
    assert run(tmp_path, "--check").returncode == 3, "it has ended"


def test_a_file_that_cannot_be_used_is_said_at_once(tmp_path: Path):
    file = tmp_path / "nightly.toml"
    file.write_text('[[nightly]]\nname = "term"\nat = "00:00"\nbatches = ["x"]\ntemplate = "absent.md"\n')

    done = run(tmp_path, "--nightly", str(file))

    assert done.returncode == 2
    assert "absent.md: cannot be read" in done.stderr
    assert run(tmp_path).returncode == 2
    assert os.environ.get("GRADEQUEUE_NIGHTLY") is None
