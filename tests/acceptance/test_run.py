"""`gradequeue run` from the command line to the result file, with real worker processes and embedded services."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.wait import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command_line import Bench, StandinServer

pytestmark = pytest.mark.acceptance

TEMPLATE = "Task: sequential search.\n\nGrade this program of a student:\n\n{code}\n"


def real_programs(shared_data: Path, folder: Path, count: int) -> list[str]:
    """Write the first real programs and the template; returns the prompts in order."""
    lines = (shared_data / "nus_python_q1.jsonl").read_text().splitlines()[:count]
    (folder / "submissions.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "prompt.md").write_text(TEMPLATE)
    return [TEMPLATE.replace("{code}", json.loads(line)["code"]) for line in lines]


def made_up_programs(folder: Path, count: int, marker: str = "") -> None:
    rows = [{"id": f"s{number:03d}", "code": f"print({number})  # {marker}"} for number in range(count)]
    (folder / "submissions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "prompt.md").write_text(TEMPLATE)


RUN = (
    "run", "submissions.jsonl", "--template", "prompt.md", "--schema", "error_report", "--offline",
    "--name", "batch", "--out", "grades.jsonl", "--processes", "1",
)  # fmt: skip
"""One worker process: each costs more than what most tests look at. Those whose matter is more of them add `TWO`."""
TWO = ("--processes", "2")


def result_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "grades.jsonl").read_text().splitlines()]


def ledger(bench: Bench) -> Counter[str]:
    """Requests by ending, from the ledger itself."""
    with sqlite3.connect(bench.data_dir / "gradequeue.db") as connection:
        rows = connection.execute("SELECT coalesce(ending, 'open'), count(*) FROM attempts GROUP BY 1")
        return Counter(dict(rows.fetchall()))


def test_two_hundred_real_programs_give_two_hundred_outcomes_in_input_order(shared_data: Path, bench: Bench):
    prompts = real_programs(shared_data, bench.folder, 200)
    assert len(set(prompts)) == 127

    bench.run(*RUN, *TWO, "--no-twins")

    lines = result_lines(bench.folder)
    ids = [json.loads(line)["id"] for line in (bench.folder / "submissions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ids
    assert {line["state"] for line in lines} == {"succeeded"}
    hashes = [line["prompt_hash"] for line in lines]
    assert [hashes.index(each) for each in hashes] == [prompts.index(each) for each in prompts]
    assert all(line["standin"] and line["provider"] == "standin" for line in lines)
    assert bench.standin.calls_per_prompt() == Counter(hashes)
    assert ledger(bench) == {"answered": 200}


def test_the_same_command_again_calls_nobody_and_writes_the_same_file(shared_data: Path, bench: Bench):
    real_programs(shared_data, bench.folder, 40)
    bench.run(*RUN)
    first = (bench.folder / "grades.jsonl").read_bytes()
    calls = sum(bench.standin.calls_per_prompt().values())

    again = bench.run(*RUN)

    assert (bench.folder / "grades.jsonl").read_bytes() == first
    graded = [line for line in result_lines(bench.folder) if not line.get("same_as")]
    assert sum(bench.standin.calls_per_prompt().values()) == calls == len(graded)
    assert "not real" in again.stdout


def test_after_ctrl_c_the_same_command_does_the_rest_and_nothing_twice(bench: Bench):
    made_up_programs(bench.folder, 200)
    bench.standin.configure(latency_ms="400-600")

    running = bench.start(*RUN, *TWO, "--concurrency", "10")
    wait_until(lambda: (progress := bench.progress("batch")) and progress.succeeded >= 20, "20 jobs are done")
    running.send_signal(signal.SIGINT)
    _stdout, stderr = running.communicate(timeout=DEADLINE_SECONDS)

    assert running.returncode == 130, stderr
    assert "Run the same command to resume." in stderr
    middle = bench.progress("batch")
    assert middle is not None
    assert 20 <= middle.succeeded < 200
    assert middle.running == 0
    bench.run(*RUN)
    assert len(result_lines(bench.folder)) == 200
    assert set(bench.standin.calls_per_prompt().values()) == {1}
    endings = ledger(bench)
    endings.pop("not_sent", None)  # given up between its row and its call
    assert endings == {"answered": 200}


def test_a_killed_worker_loses_no_job_and_its_calls_stand_as_unknown_in_the_ledger(bench: Bench):
    made_up_programs(bench.folder, 200)
    bench.environment["GRADEQUEUE_DEAD_AFTER"] = "3600"  # `run` sees its own worker die
    bench.standin.configure(latency_ms="200-400")

    running = bench.start(*RUN, *TWO, "--concurrency", "15")
    wait_until(lambda: (progress := bench.progress("batch")) and progress.succeeded >= 30, "workers work")
    bench.standin.configure(answers=False)
    wait_until(lambda: bench.standin.stats()["in_flight"] >= 20, "both are busy")
    workers = bench.worker_pids()
    assert len(workers) == 2, "two worker processes show in ps"
    os.kill(workers[0], signal.SIGKILL)
    bench.standin.configure(answers=True)
    _stdout, stderr = running.communicate(timeout=DEADLINE_SECONDS)

    assert running.returncode == 0, stderr + bench.logs()[-3000:]
    assert len(result_lines(bench.folder)) == 200
    endings = ledger(bench)
    calls = bench.standin.calls_per_prompt()
    repeated = sum(count - 1 for count in calls.values())
    assert endings["answered"] == 200
    assert 1 <= endings["unknown"] <= 15
    assert repeated <= endings["unknown"]


def test_a_rate_limit_costs_time_and_no_attempt(bench: Bench, start_standin: Callable[..., StandinServer]):
    made_up_programs(bench.folder, 30)
    bench.standin = start_standin(
        "--latency-ms", "5", "--rpm", "240", "--slice-seconds", "5", "--fault", "rate_limit@8"
    )

    bench.run(*RUN, "--max-retries", "0")

    lines = result_lines(bench.folder)
    assert [line["state"] for line in lines] == ["succeeded"] * 30
    assert {line["attempts"] for line in lines} == {1}
    endings = ledger(bench)
    assert endings["answered"] == 30
    assert endings["throttled"] >= 8, "the provider refused nobody: this test proves nothing"
    assert set(endings) == {"answered", "throttled"}


def test_no_prompt_text_reaches_the_broker_the_logs_or_an_exception(bench: Bench):
    marker = "XMARKERX"
    made_up_programs(bench.folder, 60, marker)
    bench.standin.configure(latency_ms="500-900", faults=["server_error=0.3", "invalid_output=0.2"])

    running = bench.start(*RUN, "--concurrency", "10")
    wait_until(lambda: (progress := bench.progress("batch")) and progress.finished >= 10, "some jobs are done")
    contents = broker_contents(bench)
    _stdout, stderr = running.communicate(timeout=DEADLINE_SECONDS)

    assert running.returncode in {0, 1}, stderr
    assert "gradequeue.grade" in contents, "the broker held messages when it was looked at"
    assert marker not in contents
    assert "job.finished" in bench.logs()
    assert marker not in bench.logs() + _stdout + stderr
    assert marker.encode() in b"".join(path.read_bytes() for path in bench.data_dir.glob("gradequeue.db*"))


def broker_contents(bench: Bench) -> str:
    """Everything the broker holds, as text."""
    import redis

    from producer.local.embedded import _socket_path

    client = redis.Redis(unix_socket_path=str(_socket_path(bench.data_dir)))
    parts: list[bytes] = []
    for key in client.keys("*"):
        kind = client.type(key)
        parts.append(key)
        if kind == b"list":
            parts += client.lrange(key, 0, -1)
        elif kind == b"hash":
            parts += [part for pair in client.hgetall(key).items() for part in pair]
        elif kind == b"string":
            parts.append(client.get(key) or b"")
        elif kind == b"set":
            parts += list(client.smembers(key))
        elif kind == b"zset":
            parts += client.zrange(key, 0, -1)
    client.close()
    return b"\n".join(parts).decode(errors="replace")
