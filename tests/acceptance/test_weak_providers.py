"""Providers that small places run themselves: gone for seconds, or with few slots and no word about it."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from ops.bench.processes import free_port
from tests.acceptance.test_run import RUN, TWO, ledger, made_up_programs, result_lines
from tests.support.wait import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.command_line import Bench, StandinServer

pytestmark = pytest.mark.acceptance

SLOTS = 4
SERVICE_MS = 150
JOBS = 300
KNOWN_TO_ALL_SECONDS = 2.0
"""After one process noticed an outage, the others read of it before each call."""


def completion_tokens(bench: Bench) -> int:
    with sqlite3.connect(bench.data_dir / "gradequeue.db") as connection:
        [(tokens,)] = connection.execute("SELECT sum(completion_tokens) FROM attempts")
    return int(tokens)


def calls_in_vain(bench: Bench) -> list[float]:
    """When each call that the dead provider did not answer was sent: seconds after the first of them was known."""
    with sqlite3.connect(bench.data_dir / "gradequeue.db") as connection:
        rows = connection.execute("SELECT opened_at, closed_at FROM attempts WHERE ending = 'unavailable'").fetchall()
    first_known_at = min(closed_at for _opened_at, closed_at in rows)
    return [opened_at - first_known_at for opened_at, _closed_at in rows]


def held_notice(bench: Bench) -> str:
    return next((line for line in bench.run("status").stderr.splitlines() if "held" in line), "")


def test_a_provider_that_is_gone_for_seconds_fails_no_job_and_spends_no_attempt(
    bench: Bench, start_standin: Callable[..., StandinServer]
):
    made_up_programs(bench.folder, JOBS)
    options = ("--rpm", "6000", "--slice-seconds", "1", "--port", str(free_port()))
    bench.standin = first = start_standin("--latency-ms", "300-700", *options)

    running = bench.start(*RUN, *TWO, "--max-retries", "1")
    wait_until(lambda: first.stats()["answered"] >= JOBS / 3, "a third is done")
    first.process.kill()
    killed_at = time.monotonic()
    wait_until(lambda: ledger(bench)["unavailable"] >= 3, "the provider was probed in vain")
    status = wait_until(lambda: held_notice(bench), "status says it")
    wait_until(lambda: time.monotonic() - killed_at >= 6, "it was away for 6 s")
    bench.standin = start_standin("--latency-ms", "50-150", *options)
    seconds_away = time.monotonic() - killed_at
    _stdout, stderr = running.communicate(timeout=DEADLINE_SECONDS)

    assert running.returncode == 0, stderr
    assert {line["state"] for line in result_lines(bench.folder)} == {"succeeded"}
    assert "the provider does not answer, since" in status
    sent_after_seconds = calls_in_vain(bench)
    assert len(sent_after_seconds) <= JOBS * 2 / 3 + 2 * seconds_away, "each job once, and probes"
    probes = [seconds for seconds in sent_after_seconds if seconds > KNOWN_TO_ALL_SECONDS]
    assert len(probes) <= 2 * seconds_away, "one job at a time probed it, ever less often"


def test_a_server_of_few_slots_gets_as_many_calls_as_it_can_end_in_time(
    bench: Bench, start_standin: Callable[..., StandinServer]
):
    made_up_programs(bench.folder, JOBS)
    bench.standin = start_standin("--latency-ms", str(SERVICE_MS), "--slots", str(SLOTS))
    bench.environment["GRADEQUEUE_CALL_TIMEOUT"] = "5"  # all at once would take 11 s

    bench.run(*RUN, *TWO)

    assert [line["state"] for line in result_lines(bench.folder)] == ["succeeded"] * JOBS
    stats = bench.standin.stats()
    assert completion_tokens(bench) >= 0.95 * stats["generated_tokens"]
    by_second = [int(second) for account in stats["accounts"] for second in account["by_second"]]
    answered = {int(second): count for second, count in stats["answered_by_second"].items()}
    seconds = max(answered) - min(by_second) - 2  # whole seconds, and the first call is alone
    assert stats["slot_seconds"] * 1.2 >= SLOTS * seconds, "the slots were busy all the time"
