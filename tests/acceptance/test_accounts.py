"""Two accounts side by side: one worker serves both, each from its own key, and a parked one stops nobody else.

The worker tells a webhook of the park and of the batches' ends, because it runs anyway.
"""

from __future__ import annotations

import base64
import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_run import made_up_programs
from tests.support.receivers import Hook, hook_server
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.command_line import Bench, StandinServer

pytestmark = pytest.mark.acceptance

JOBS = 20
SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
KEYS = {"OPENAI_API_KEY": "sk-key-of-the-default", "COURSE_B_KEY": "sk-key-of-course-b"}
INPUT = ("submissions.jsonl", "--template", "prompt.md", "--schema", "error_report", "--model", "gpt-4.1-mini")


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hook_server(Hook()) as hook:
        yield hook


def test_a_parked_account_stops_no_other_and_each_pays_for_its_own(
    bench: Bench, start_standin: Callable[..., StandinServer], hook: Hook
):
    other = start_standin("--latency-ms", "20-60")
    (bench.folder / "accounts.toml").write_text(
        f'[course-b]\nkey_variable = "COURSE_B_KEY"\nbase_url = "{other.base_url}"\n'
    )
    bench.environment = {
        **KEYS,
        "OPENAI_BASE_URL": bench.standin.base_url,
        "GRADEQUEUE_ACCOUNTS": str(bench.folder / "accounts.toml"),
        "GRADEQUEUE_PARK_PROBE": "600",
        "GRADEQUEUE_NOTIFY": hook.url,
        "GRADEQUEUE_NOTIFY_SECRET": SECRET,
    }
    made_up_programs(bench.folder, JOBS)
    refused = bench.run("enqueue", *INPUT, "--account", "course-x", expect=2)
    assert "there is no account 'course-x'" in refused.stderr
    assert "course-b, default" in " ".join(refused.stderr.split())

    other.configure(faults=["insufficient_quota=1.0"])
    for account in ("course-b", "default"):
        bench.run("enqueue", *INPUT, "--account", account, "--name", f"of-{account}", "--notify", hook.url)
    worker = bench.start("worker", "--queues", "bulk")
    wait_until(lambda: succeeded(bench, "of-default") == JOBS, lambda: f"the default is served\n{bench.logs()[-3000:]}")
    assert succeeded(bench, "of-course-b") == 0
    status = " ".join(bench.run("status").stderr.split())
    assert "course-b@127.0.0.1" in status
    assert "is parked (quota_exhausted)" in status
    assert bench.standin.stats()["answered"] == JOBS

    other.configure(faults=[])
    resumed = json.loads(bench.run("resume", "--account", "course-b", "--json").stdout)
    assert resumed["changed"]
    wait_until(lambda: succeeded(bench, "of-course-b") == JOBS, lambda: f"the rest is served\n{bench.logs()[-3000:]}")
    assert (bench.standin.stats()["answered"], other.stats()["answered"]) == (JOBS, JOBS)
    billed = json.loads(bench.run("bill", "--account", "course-b", "--json").stdout)
    assert [(line["batch"], line["answered"]) for line in billed] == [("of-course-b", JOBS)]
    # the operator and who waits for the batch have one address here, which is told of the park once
    told = sorted([("account.parked", None), ("batch.ended", "of-default"), ("batch.ended", "of-course-b")], key=str)
    wait_until(lambda: len(hook.received) >= len(told), lambda: f"all is told\n{happenings(hook)}")
    assert happenings(hook) == told
    assert len({headers["webhook-id"] for headers, _body in hook.received}) == len(told)
    worker.send_signal(signal.SIGINT)  # as Ctrl-C: the last one to leave stops the embedded broker
    said = worker.communicate()[1] + bench.logs()
    assert not any(key in said for key in KEYS.values())


def happenings(hook: Hook) -> list[tuple[str, str | None]]:
    """What was told, and of which batch."""
    bodies = [json.loads(body) for _headers, body in hook.received]
    return sorted([(body["type"], body["data"].get("batch")) for body in bodies], key=str)


def succeeded(bench: Bench, batch: str) -> int:
    progress = bench.progress(batch)
    assert progress is not None
    assert progress.failed == 0
    return progress.succeeded
