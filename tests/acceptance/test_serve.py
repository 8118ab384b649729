"""`gradequeue serve`: one command from nothing to a page that answers and workers that grade, and back to nothing."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from ops.bench.processes import free_port
from tests.acceptance.test_run import made_up_programs
from tests.support.wait import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from tests.support.command_line import Bench

pytestmark = pytest.mark.acceptance


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_serve_brings_page_and_workers_of_both_queues_and_takes_them_down_again(bench: Bench):
    made_up_programs(bench.folder, 3)
    port = free_port()
    said = bench.folder / "serve.txt"
    with said.open("w") as stderr:
        serving = bench.start("serve", "--offline", "--port", str(port), "--no-browser", stderr=stderr)
    wait_until(lambda: answers(port), "the page answers")
    wait_until(lambda: len(bench.worker_pids()) == 2, "a worker serves each queue")
    refused = bench.run("serve", "--offline", "--port", str(port), "--no-browser", expect=2)
    assert f"port {port} is in use" in refused.stderr

    for queue in ("interactive", "bulk"):
        enqueued = bench.run(
            "enqueue", "submissions.jsonl", "--template", "prompt.md", "--schema", "error_report", "--offline",
            "--name", queue, "--queue", queue,
        )  # fmt: skip
        assert "no worker serves" not in enqueued.stderr
        wait_until(lambda queue=queue: (found := bench.progress(queue)) and found.succeeded == 3, f"{queue} is graded")

    serving.send_signal(signal.SIGINT)
    serving.communicate(timeout=DEADLINE_SECONDS)
    assert serving.returncode in {0, 130}, said.read_text()
    assert "Traceback" not in said.read_text()
    assert bench.worker_pids() == []
    assert not answers(port)
    assert (
        "no worker serves"
        in bench.run(
            "enqueue",
            "submissions.jsonl",
            "--template",
            "prompt.md",
            "--schema",
            "feedback",
            "--offline",
            "--name",
            "late",
        ).stderr
    )
