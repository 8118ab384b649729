"""Pilot, early stop and cap as an instructor meets them, with real processes."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_run import RUN, made_up_programs, result_lines
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.support.command_line import Bench

pytestmark = pytest.mark.acceptance

JOBS = 40


def test_a_pilot_that_is_killed_and_let_go_from_two_terminals_grades_everything_once(bench: Bench):
    made_up_programs(bench.folder, JOBS)
    bench.standin.configure(latency_ms="300")
    killed = bench.start(*RUN, "--pilot", "6")
    wait_until(lambda: bench.standin.stats()["answered"] >= 1, "the pilot has begun")
    killed.kill()
    killed.communicate()
    wait_until(lambda: not bench.worker_pids(), "its workers have ended with it")

    stopped = bench.run(*RUN, "--pilot", "6", expect=4)
    assert "The pilot of 6 jobs is over" in stopped.stderr
    assert "--go" in stopped.stderr
    assert "The other 34 jobs" in stopped.stdout
    assert bench.standin.stats()["distinct_prompts"] == 6, "no job beside the pilot was sent"
    bench.run(*RUN, expect=4)  # without --go nothing more is sent
    assert bench.standin.stats()["distinct_prompts"] == 6

    before = Counter(bench.standin.calls_per_prompt())
    terminals = [bench.start(*RUN, "--go") for _ in range(2)]
    assert [terminal.communicate() and terminal.returncode for terminal in terminals] == [0, 0]
    calls = Counter(bench.standin.calls_per_prompt())
    assert len(calls) == JOBS
    assert {count for prompt, count in calls.items() if prompt not in before} == {1}
    assert all(calls[prompt] == before[prompt] for prompt in before), "the pilot is not graded again"
    assert [line["id"] for line in result_lines(bench.folder)] == [f"s{number:03d}" for number in range(JOBS)]


def test_a_model_that_the_provider_does_not_know_stops_the_run_after_its_first_jobs(bench: Bench):
    made_up_programs(bench.folder, JOBS)
    stopped = bench.run(*RUN, "--model", "gpt-4.1-nano", expect=4)

    assert "all failed alike (rejected_request)" in stopped.stderr
    assert "model_not_found" in stopped.stderr
    assert "gradequeue resume batch" in stopped.stderr
    assert bench.standin.stats()["received"] <= 3
    progress = bench.progress("batch")
    assert progress is not None
    assert (progress.failed, progress.waiting) == (3, JOBS - 3)


def with_prices(bench: Bench) -> list[str]:
    """A provider that is not the bundled stand-in, so that calls have prices; the command without `--offline`."""
    prices = {"price_input_usd_per_mtok": 1.0, "price_output_usd_per_mtok": 5.0}
    (bench.folder / "profiles.json").write_text(json.dumps({"models": {"gpt-6.1-terra": prices}}))
    bench.environment |= {
        "GRADEQUEUE_MODEL_PROFILES": str(bench.folder / "profiles.json"),
        "OPENAI_BASE_URL": bench.standin.base_url,
        "OPENAI_API_KEY": "sk-standin",
    }
    return [part for part in RUN if part != "--offline"]


def test_a_days_cap_stops_two_batches_of_two_terminals_and_a_higher_one_lets_them_go_on(bench: Bench):
    made_up_programs(bench.folder, JOBS)
    command = [*with_prices(bench), "--model", "gpt-6.1-terra", "--max-tokens", "1000"]
    bench.standin.configure(latency_ms="200-400")
    bench.environment |= {"GRADEQUEUE_MAX_USD_PER_DAY": "0.03"}

    terminals = [bench.start(*command, "--name", name, "--out", f"{name}.jsonl") for name in ("one", "two")]
    said = [terminal.communicate()[1] for terminal in terminals]

    assert [terminal.returncode for terminal in terminals] == [4, 4]
    assert all("GRADEQUEUE_MAX_USD_PER_DAY" in words for words in said)
    states = [json.loads(bench.run("status", name, "--json").stdout) for name in ("one", "two")]
    assert [state["failed"] for state in states] == [0, 0]
    assert all(state["waiting"] > 0 for state in states)
    assert 0 < sum(state["cost_usd"] for state in states) <= 0.03

    bench.environment |= {"GRADEQUEUE_MAX_USD_PER_DAY": "5"}
    bench.run(*command, "--name", "one", "--out", "one.jsonl")
    progress = bench.progress("one")
    assert progress is not None
    assert (progress.succeeded, progress.failed) == (JOBS, 0)


def test_a_run_stops_at_its_cap_and_the_command_that_it_names_goes_on(bench: Bench):
    made_up_programs(bench.folder, JOBS)
    command = with_prices(bench)
    options = ["--model", "gpt-6.1-terra", "--max-tokens", "1000"]
    refused = bench.run(*command, "--model", "gpt-6-luna", "--max-cost", "1", expect=2)
    assert "price of gpt-6-luna" in refused.stderr

    stopped = bench.run(*command, *options, "--max-cost", "0.02", expect=4)
    assert "is reached" in stopped.stderr
    status = json.loads(bench.run("status", "batch", "--json").stdout)
    assert status["closed_by"] == "spend_cap"
    assert 0 < status["cost_usd"] <= 0.02
    assert (status["failed"], status["waiting"]) == (0, JOBS - status["succeeded"])

    going_on = next(line for line in stopped.stderr.replace("\n", " ").split(": ") if "--max-cost" in line).split()
    assert going_on[:3] == ["gradequeue", "resume", "batch"]
    bench.run("resume", "batch", "--max-cost", "5")
    bench.run(*command, *options)
    assert {line["state"] for line in result_lines(bench.folder)} == {"succeeded"}
