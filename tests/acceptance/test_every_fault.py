"""Every fault a provider has, through the whole system: each job ends in the right state, and says what to do."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from producer.client import JobClient
from tests.acceptance.test_run import RUN, TEMPLATE, ledger, made_up_programs, result_lines
from workers.contract.job import JobSpec
from workers.contract.registry import builtin_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_line import Bench

pytestmark = pytest.mark.acceptance

# With one retry, two faulty calls in a row exhaust a job's attempts; what says that nobody was there (503) spends none,
# twice. A fault that ends its job lasts, because a machine that answers nobody for seconds makes an outage of it, which
# excuses the job; the last round finds the provider well.
ENDS: dict[str, str] = {
    "rate_limit*2": "succeeded",
    "slow_down*1": "succeeded",
    "server_error*1": "succeeded",
    "reset_before*1": "succeeded",
    "unavailable*2": "succeeded",
    "server_error": "provider_unavailable",
    "hang": "provider_unavailable",
    "reset_body": "provider_unavailable",
    "html": "provider_unavailable",
    "broken_json": "provider_unavailable",
    "error_200": "provider_unavailable",
    "no_choices*1": "invalid_output",
    "null_content*1": "invalid_output",
    "invalid_output*1": "invalid_output",
    "not_json*1": "invalid_output",
    "refusal*1": "refused",
    "truncated*1": "truncated",
    "content_filter*1": "content_filtered",
    "context_overflow*1": "context_too_long",
    "rejected*1": "rejected_request",
    "too_large*1": "rejected_request",
    "wait_in_details*1": "succeeded",
    "wait_in_words*1": "succeeded",
    "gateway_cooldown*1": "succeeded",
    "gateway_rate_limit*1": "succeeded",
    "upstream_timeout*1": "succeeded",
    "conflict*1": "succeeded",
    "packed_flood*1": "succeeded",
    "endless*1": "succeeded",
    "fenced*1": "succeeded",
    "length_whole*1": "succeeded",
    "odd_metadata*1": "succeeded",
    "fenced_cut*1": "truncated",
    "context_full*1": "truncated",
    "gateway_policy*1": "content_filtered",
    "context_size*1": "context_too_long",
    "unsupported_parameter*1": "rejected_request",
}
FAULTY_EACH = 4


def faulty_programs(shared_data: Path, folder: Path) -> dict[str, str]:
    """300 real programs, some with a fault's mark; returns how each is to end."""
    lines = (shared_data / "nus_python_q3.jsonl").read_text().splitlines()[:300]
    faults: list[str | None] = [fault for fault in ENDS for _ in range(FAULTY_EACH)]
    faults += [None] * (len(lines) - len(faults))
    Random(0).shuffle(faults)  # noqa: S311 - faulty calls all at once would be an outage, which excuses its jobs
    expected, rows = {}, []
    for number, (line, fault) in enumerate(zip(lines, faults, strict=True)):
        program = json.loads(line)
        mark = f"# {number} [[standin:{fault}]]\n" if fault else f"# {number}\n"
        rows.append({"id": program["id"], "code": mark + program["code"]})
        expected[program["id"]] = ENDS[fault] if fault else "succeeded"
    (folder / "submissions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "prompt.md").write_text(TEMPLATE)
    return expected


@contextmanager
def other_answers(bench: Bench) -> Iterator[None]:
    """Further jobs for the same worker, a few a second: a provider that answers them is not away."""
    client = JobClient(store=bench.store, publisher=None, registry=builtin_registry(), provider="standin")
    ended = threading.Event()

    def enqueue() -> None:
        for number in count():
            job = JobSpec(id=str(number), prompt=f"another {number}", schema="error_report", model="standin")
            client.enqueue([job], name="others", starts_carefully=False)
            if ended.wait(0.3):
                return

    thread = threading.Thread(target=enqueue)
    thread.start()
    yield
    ended.set()
    thread.join()
    client.batch("others").cancel()


def endings(folder: Path) -> dict[str, str]:
    return {
        line["id"]: line["failure"]["kind"] if "failure" in line else line["state"] for line in result_lines(folder)
    }


def test_300_programs_with_every_fault_end_as_they_should_and_retry_reruns_just_the_failures(
    shared_data: Path, bench: Bench
):
    expected = faulty_programs(shared_data, bench.folder)
    bench.environment |= {"GRADEQUEUE_CALL_TIMEOUT": "5"}
    bench.standin.configure(rpm=30000)  # a provider without limits in its headers is called carefully after a refusal
    options = (*RUN, "--max-retries", "1", "--retry-delay", "0.1s", "--concurrency", "16")

    with other_answers(bench):
        ran = bench.run(*options, expect=1)

    assert endings(bench.folder) == expected
    kinds = Counter(kind for kind in expected.values() if kind != "succeeded")
    for kind, jobs in kinds.items():
        assert f"failed: {kind}" in ran.stdout
        assert str(jobs) in ran.stdout
    told = bench.run("failures", "batch", expect=1).stdout
    for kind in kinds:
        assert f"gradequeue retry batch --kind {kind}" in told

    bench.run("retry", "batch", "--kind", "truncated", "--kind", "refused")
    before = bench.standin.calls_per_prompt()
    bench.run(*options, expect=1)
    called = bench.standin.calls_per_prompt() - before
    assert sum(called.values()) == kinds["truncated"] + kinds["refused"]
    left = {job: kind for job, kind in endings(bench.folder).items() if kind != "succeeded"}
    assert left == {job: kind for job, kind in expected.items() if kind not in {"succeeded", "truncated", "refused"}}

    bench.standin.configure(marks=False)
    bench.run("retry", "batch")
    bench.run(*options)
    assert set(endings(bench.folder).values()) == {"succeeded"}
    rounds = {line["id"]: line["round"] for line in result_lines(bench.folder)}
    assert {rounds[job] for job, kind in expected.items() if kind == "succeeded"} == {1}
    assert {rounds[job] for job, kind in expected.items() if kind != "succeeded"} == {2}


@pytest.mark.parametrize(("fault", "state"), [("insufficient_quota", "quota_exhausted"), ("bad_key", "auth_failed")])
def test_an_answer_about_the_account_parks_it_and_fails_no_job(bench: Bench, fault: str, state: str):
    made_up_programs(bench.folder, 40)
    bench.standin.configure(faults=[f"{fault}=1.0"])

    stopped = bench.run(*RUN, expect=4)

    assert state in stopped.stderr
    assert "gradequeue resume" in stopped.stderr
    assert not (bench.folder / "grades.jsonl").exists()
    progress = bench.progress("batch")
    assert progress is not None
    assert (progress.waiting, progress.failed, progress.running) == (40, 0, 0)
    calls = sum(bench.standin.calls_per_prompt().values())
    again = bench.run(*RUN, expect=4)
    assert state in again.stderr
    assert sum(bench.standin.calls_per_prompt().values()) == calls, "a parked account was called"

    bench.standin.configure(faults=[])
    assert "resumed" in bench.run("resume").stdout
    bench.run(*RUN)
    assert {line["state"] for line in result_lines(bench.folder)} == {"succeeded"}
    assert {line["attempts"] for line in result_lines(bench.folder)} == {1}
    assert ledger(bench)["answered"] == 40


def test_a_fallback_model_answers_when_the_first_keeps_failing_and_the_outcome_says_so(bench: Bench):
    made_up_programs(bench.folder, 3, "[[standin:server_error*2]]")
    bench.run(
        *RUN, "--model", "gpt-4o", "--max-retries", "1", "--retry-delay", "0.1s", "--fallback-model", "gpt-4.1-mini"
    )
    lines = result_lines(bench.folder)
    assert {line["model"] for line in lines} == {"gpt-4o"}
    assert all(line["model_answered"].startswith("gpt-4.1-mini") for line in lines)


def test_a_repair_mends_an_invalid_answer_without_spending_a_retry(bench: Bench):
    made_up_programs(bench.folder, 3, "[[standin:invalid_output*1]]")
    bench.run(*RUN, "--max-retries", "0", "--allow-repair")
    assert {line["state"] for line in result_lines(bench.folder)} == {"succeeded"}
    assert ledger(bench) == {"answered": 6}


def test_grades_of_the_standin_are_marked_whatever_the_base_url(bench: Bench):
    made_up_programs(bench.folder, 2)
    bench.environment |= {"OPENAI_API_KEY": "sk-any", "OPENAI_BASE_URL": bench.standin.base_url}
    command = [part for part in RUN if part != "--offline"]
    bench.run(*command, "--model", "gpt-4o")
    lines = result_lines(bench.folder)
    assert {line["provider"] for line in lines} == {urlsplit(bench.standin.base_url).netloc}
    assert all(line["standin"] is True for line in lines)
