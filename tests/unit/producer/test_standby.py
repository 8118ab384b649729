"""A worker process that is started before anybody knows what it will serve."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from producer.local import standby
from producer.local.inherited import WORKER_PREFIXES, inherited
from producer.local.standby import StandbyWorker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAITS = """
import json, os, sys
from workers.contract.standby import await_assignment
assigned = await_assignment()
if assigned is None:
    sys.exit(7)
arguments = assigned.take_up()
held = int(arguments[0])
os.write(2, json.dumps([arguments, dict(os.environ), os.fstat(held).st_ino if held else None]).encode())
os.read(0, 1)
os.write(2, b"\\nthe other end is closed")
"""
"""As a worker does, without its imports. It is told which of its descriptors to look at."""
SECONDS = 60


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandbyWorker]:
    monkeypatch.setattr(standby, "python_module", lambda *_: [sys.executable, "-P", "-c", WAITS])
    with StandbyWorker() as worker:
        yield worker


def handed_over(
    worker: StandbyWorker, file: Path, arguments: list[str], held: list[int]
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    with file.open("ab") as stderr:
        given = worker.assign(arguments, {"ONLY": "this"}, stderr=stderr.fileno(), held=held)
    assert given is not None
    return given


def test_it_gets_options_environment_and_its_own_standard_error(waiting: StandbyWorker, tmp_path: Path):
    process, lifeline = handed_over(waiting, tmp_path / "err", ["0", "--queues", "bulk"], [])
    lifeline.close()
    assert process.wait(SECONDS) == 0
    said, end = (tmp_path / "err").read_text().splitlines()
    assert json.loads(said) == [["0", "--queues", "bulk"], {"ONLY": "this"}, None]
    assert end == "the other end is closed"


def test_what_it_holds_stays_open_in_it(waiting: StandbyWorker, tmp_path: Path):
    with tempfile.TemporaryFile() as held:
        # its own: 0, 1, 2, the socket's copy, the new standard error, and then this one
        process, lifeline = handed_over(waiting, tmp_path / "err", ["5"], [held.fileno()])
        lifeline.close()
        assert process.wait(SECONDS) == 0
        assert json.loads((tmp_path / "err").read_text().splitlines()[0])[2] == os.fstat(held.fileno()).st_ino


def test_it_is_handed_over_once_and_then_closed_by_its_owner(waiting: StandbyWorker, tmp_path: Path):
    process, lifeline = handed_over(waiting, tmp_path / "err", ["0"], [])
    assert waiting.assign([], {}, stderr=2, held=[]) is None
    waiting.close()
    assert process.poll() is None
    lifeline.close()
    assert process.wait(SECONDS) == 0


def test_one_that_nobody_needs_is_ended(waiting: StandbyWorker):
    waiting.close()
    assert waiting.assign([], {}, stderr=2, held=[]) is None


def test_it_ends_by_itself_when_the_process_that_started_it_is_gone():
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([sys.executable, "-P", "-c", WAITS], stdin=theirs.fileno())
    ours.close()
    assert process.wait(SECONDS) == 7


def test_one_that_died_is_not_handed_over(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(standby, "python_module", lambda *_: [sys.executable, "-P", "-c", "raise SystemExit(1)"])
    with StandbyWorker() as worker:
        worker._process.wait(SECONDS)
        assert worker.assign([], {}, stderr=2, held=[]) is None


def test_before_it_is_told_it_has_no_setting_and_no_key():
    ours = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "sk-1",
        "GRADEQUEUE_CONCURRENCY": "3",
        "PGUSER": "ada",
        "OPENAI_ORG_ID": "o",
    }
    assert inherited(ours, WORKER_PREFIXES) == {
        "PATH": "/bin",
        "PGUSER": "ada",
        "OPENAI_ORG_ID": "o",
        "PYTHONSAFEPATH": "1",
    }
