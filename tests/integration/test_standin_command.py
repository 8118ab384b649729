"""The stand-in as a process of its own: its ready line, and every way in which it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ops.standin.command_line import main
from tests.support.wait import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def started(*flags: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "ops.standin", *flags]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ready_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def config_of(base_url: str) -> dict[str, Any]:
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/standin/config", timeout=10) as response:  # noqa: S310
        config: dict[str, Any] = json.load(response)
        return config


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_serves_and_ends_when_told(number: signal.Signals):
    with started("--rpm", "60", "--latency-ms", "20-40", "--fault", "hang=0.5", "--no-retry-after") as process:
        ready = ready_line(process)
        assert ready["ready"] is True
        config = config_of(ready["base_url"])
        process.send_signal(number)
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert (config["rpm"], config["latency_ms"], config["faults"]) == (60, [20.0, 40.0], ["hang=0.5"])
    assert config["retry_after"] is False
    assert (process.returncode, output, errors) == (0, "", "")


def test_it_ends_with_its_parents_pipe_when_asked():
    with started("--exit-with-stdin") as process:
        ready_line(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(DEADLINE_SECONDS) == 0


@pytest.mark.parametrize(
    "flags",
    [["--fault", "hangs=1"], ["--latency-ms", "9-1"], ["--rpm", "-1"], ["--foreign-share", "2"], ["--port", "x"]],
)
def test_wrong_use_is_explained_and_nothing_is_served(flags: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(flags)
    assert ended.value.code == 2
    assert flags[0].strip("-").replace("-", "_").rstrip("s") in capsys.readouterr().err.replace("-", "_")


def test_a_port_in_use_is_an_error_that_names_it():
    with started() as first:
        port = ready_line(first)["base_url"].removesuffix("/v1").rpartition(":")[2]
        with started("--port", port) as second:
            _, errors = second.communicate(timeout=DEADLINE_SECONDS)
    assert second.returncode == 3
    assert f"cannot listen on 127.0.0.1:{port}" in errors


def test_ending_the_gradequeue_command_ends_its_server():
    """There is no process between the two that could end alone."""
    command = [sys.executable, "-P", "-m", "producer.cli.main", "standin", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            base_url = ready_line(process)["base_url"]
            config_of(base_url)
            process.terminate()
            _output, errors = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    with pytest.raises(OSError, match="refused"):
        config_of(base_url)
