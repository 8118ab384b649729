"""The whole system as docker-compose.yml starts it, with a real broker, database, browser, beat and Flower.

One stack serves every test here: starting it takes longer than any of them.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from producer.client import Item
from tests.support.browser import PHONE, open_browser
from tests.support.page_stack import MARKER, PASSWORD, Stack, archive, batch_names, enter, finished, programs, upload
from tests.support.places import REPOSITORY
from tests.support.postgres import fresh_schema
from tests.support.wait import wait_until
from workers.contract.twins import TwinRule

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1200)]
QUICK = {
    "GRADEQUEUE_HEARTBEAT": "1",
    "GRADEQUEUE_DEAD_AFTER": "5",
    "GRADEQUEUE_FEEDER_PERIOD": "0.5",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no redis-server, and in CI there must be")
        pytest.skip("there is no redis-server on this machine")
    folder = tmp_path_factory.mktemp("stack")
    nightly = folder / "nightly"
    nightly.mkdir()
    (nightly / "nightly.toml").write_text("nightly = []\n")
    names = ("REDIS_PASSWORD", "POSTGRES_PASSWORD", "FLOWER_PASSWORD", "GRADEQUEUE_DASHBOARD_PASSWORD")
    with (
        fresh_schema() as database_url,
        Stack(
            folder=folder,
            variables={
                **dict.fromkeys(names, PASSWORD),
                "GRADEQUEUE_OFFLINE": "1",
                "GRADEQUEUE_NIGHTLY_FOLDER": str(nightly),
            },
            database_url=database_url,
            profiles=("offline",),
            overrides=QUICK,
        ) as running,
    ):
        yield running


def test_from_upload_to_download_through_a_refresh_and_a_restart_of_the_page(stack: Stack):
    students = programs(30)
    week = archive(
        {f"week1/{name}.py": text.encode() for name, text in students.items()}
        | {
            "week1/empty.py": b"",
            "week1/picture.py": b"\x89PNG\x00\x01",
            "../evil.py": b"x",
            "week1/wide.py": f"# {MARKER} Größe".encode("utf-16"),
            "week1/old.py": f"# {MARKER} Größe".encode("utf-8-sig"),
        }
    )
    bomb = archive({f"{number}.py": b"0" * (4 * 2**20) for number in range(130)})
    stack.standin.configure(latency_ms="1500-2500", faults=[])

    with stack.told(), open_browser() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(stack.page_url)
        page.get_by_label("Password", exact=True).fill("wrong")
        page.get_by_role("button", name="Enter").click()
        page.get_by_text("Wrong password").wait_for()
        assert page.get_by_text("Grade submissions").count() == 0
        enter(page, stack.page_url)
        upload(page, ("week1.zip", week), ("bomb.zip", bomb))
        page.get_by_text("4 left out").click()
        page.get_by_text("bomb.zip: unpacked it exceeds 512 MiB").wait_for()
        page.get_by_text("empty: not graded: what was handed in is empty").wait_for()
        page.get_by_text("picture: not graded: pictures only").wait_for()
        page.get_by_text("the path leads out of the archive").wait_for()
        template = page.get_by_role("textbox", name="Instructions")
        template.fill("Grade for me:\n{submission}")
        template.blur()
        page.get_by_text("Grade for me: [submission]").first.wait_for()
        page.get_by_text(f"# {MARKER} Größe").first.wait_for()
        page.get_by_label("Name of the batch").fill("week1")
        page.get_by_label("Name of the batch").blur()
        page.get_by_role("button", name="Grade 32 submissions").click()
        page.get_by_text("of 34 done").wait_for()
        page.reload()
        enter(page, page.url)
        page.get_by_text("of 34 done").wait_for()
        stack.restart("dashboard")
        enter(page, f"{stack.page_url}/batches?batch=week1")
        page.get_by_text("34 of 34 done").wait_for()
        page.get_by_text("these grades are not real").wait_for()
        downloads = {}
        for name in ("CSV", "JSONL"):
            with page.expect_download() as download:
                page.get_by_role("button", name=name, exact=True).click()
            downloads[name] = download.value.path().read_bytes().decode("utf-8-sig")

    lines = [json.loads(line) for line in downloads["JSONL"].splitlines()]
    graded = [line for line in lines if line["id"] not in {"empty", "picture"}]
    assert {line["id"] for line in graded} == {*students, "wide", "old"}
    assert {(line["state"], line["standin"]) for line in graded} == {("succeeded", True)}
    assert {line["failure"]["kind"] for line in lines if line not in graded} == {"not_graded"}
    table = list(csv.DictReader(io.StringIO(downloads["CSV"])))
    assert [row["id"] for row in table] == [line["id"] for line in lines]
    assert {url for url in asked if "127.0.0.1" not in url and not url.startswith(("blob:", "data:"))} == set()
    works = {TwinRule.EXACT.normal(text) for text in (*students.values(), f"# {MARKER} Größe")}
    assert stack.standin.calls_per_prompt().total() == len(works), "the same work once, and nobody twice"


def test_failures_are_explained_run_again_alone_and_html_stays_text(stack: Stack):
    evil = "<b id=evil>*bold*</b> [x](http://example.com)"
    stack.standin.configure(latency_ms="10-20", faults=["refusal=1.0"])
    with stack.client() as client:
        client.enqueue(
            [Item(evil, f"Grade {MARKER}"), Item("ben", f"Grade it {MARKER}")],
            name="evil *batch*", schema="feedback", model="standin", queue="interactive",
        )  # fmt: skip
    wait_until(lambda: finished(stack, "evil *batch*"), "both have failed")
    stack.standin.configure(latency_ms="10-20", faults=[])

    with stack.told(), open_browser(size=PHONE) as page:
        enter(page, f"{stack.page_url}/batches")
        page.get_by_role("button", name="evil *batch*").click()
        page.get_by_text(evil, exact=True).last.wait_for()
        page.get_by_role("tab", name="Problems (2)").click()
        page.get_by_text("2 declined by the model: The model declined this text").wait_for()
        assert page.locator("#evil").count() == 0
        assert page.locator("a[href*='example.com']").count() == 0
        page.get_by_role("button", name="Run the failed ones again").click()
        page.get_by_text("2 of 2 done").wait_for()
        wait_until(lambda: page.get_by_text("2 declined").count() == 0, "the failures are gone")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE[0], "nothing sticks out sideways on a phone"

    with stack.client() as client:
        assert {(row.state, row.round) for row in client.batch("evil *batch*").results()} == {("succeeded", 2)}


def test_what_has_not_finished_is_cancelled_after_a_question(stack: Stack):
    stack.standin.configure(latency_ms="60000", faults=[])
    with stack.client() as client:
        client.enqueue(
            [Item(f"s{number}", f"Grade {number} {MARKER}") for number in range(3)],
            name="unwanted", schema="feedback", model="standin", queue="interactive",
        )  # fmt: skip
    with stack.told(), open_browser() as page:
        enter(page, f"{stack.page_url}/batches?batch=unwanted")
        page.get_by_role("button", name="Cancel the rest").click()
        page.get_by_role("button", name="Cancel them").click()
        page.get_by_role("tab", name="Problems (3)").click()
        page.get_by_text("3 cancelled: It was cancelled").wait_for()
    stack.standin.configure(latency_ms="10-20", faults=[])

    with stack.client() as client:
        assert {row.failure_kind for row in client.batch("unwanted").failures()} == {"cancelled"}


def test_the_real_beat_regrades_at_night_once(stack: Stack):
    stack.standin.configure(latency_ms="10-20", faults=[])
    with stack.client() as client:
        client.enqueue(
            [Item(f"s{number}", f"Grade {number} {MARKER}") for number in range(10)],
            name="term", schema="feedback", model="standin",
        )  # fmt: skip
    wait_until(lambda: finished(stack, "term"), "the batch is graded")
    due = datetime.now(UTC) + timedelta(seconds=4)
    (stack.folder / "nightly" / "nightly.toml").write_text(
        f'[[nightly]]\nname = "night"\nat = "{due:%H:%M:%S}"\nbatches = ["term"]\nmodel = "standin-2"\n'
    )
    night = f"term-night-{due:%Y-%m-%d}"

    stack.restart("beat")
    wait_until(lambda: finished(stack, night), "the night's batch is graded")
    stack.restart("beat")  # it catches up on the night that is past, and finds it done
    wait_until(lambda: "jobs=0" in stack.log("beat").read_text(), "beat has looked again")

    assert [name for name in batch_names(stack) if "night" in name] == [night]
    with stack.client() as client:
        assert client.batch(night).progress().total == 10
        assert client.batch(night).progress().queue == "bulk"
        assert client.batch(night).origin().regrade_of == "term"


def test_flower_shows_states_asks_for_a_password_and_holds_no_text(stack: Stack):
    stack.standin.configure(latency_ms="10-20", faults=["refusal@1"])
    with stack.client() as client:
        client.enqueue(
            [Item(f"s{number}", f"Grade for Flower {number} {MARKER}") for number in range(5)],
            name="watched", schema="feedback", model="standin", queue="interactive",
        )  # fmt: skip
    wait_until(lambda: finished(stack, "watched"), "the batch is graded")
    with stack.client() as client:
        rows = list(client.batch("watched").results())
    states = {row.job_id: row.state for row in rows}

    def shown() -> dict[str, Any] | None:
        status, body = stack.flower("/api/tasks?limit=1000")
        tasks = {key.partition(":")[0]: task for key, task in json.loads(body).items()} if status == 200 else {}
        done = {"SUCCESS", "FAILURE"}
        return tasks if all(tasks.get(job, {}).get("state") in done for job in states) else None

    tasks = wait_until(shown, "Flower has heard of every task")
    assert {job: tasks[job]["state"] for job in states} == {
        job: "SUCCESS" if state == "succeeded" else "FAILURE" for job, state in states.items()
    }
    assert sorted(states.values()).count("failed") == 1
    for path in ("/", "/tasks", "/api/tasks", "/workers", "/broker"):
        assert stack.flower(path, auth=None)[0] == 401, path
        assert stack.flower(path, auth="operator:wrong")[0] == 401, path
    pages = [
        stack.flower(path)[1] for path in ("/workers", "/tasks", "/broker", "/api/workers", "/api/tasks", "/metrics")
    ]
    pages += [stack.flower(f"/task/{task['uuid']}")[1] for task in tasks.values()]
    text = "\n".join(pages)
    assert 'gradequeue_budget_waiting{account="standin"' in text
    assert MARKER not in text
    answers = [row.result["summary"] for row in rows if isinstance(row.result, dict)]
    assert answers
    assert not [answer for answer in answers if answer in text]
    assert ">Routing Key<" in stack.flower("/tasks")[1], "the column that shows the queue"
    worker = next(iter(json.loads(stack.flower("/api/workers?refresh=1")[1])))
    assert stack.flower(f"/api/worker/shutdown/{worker}", method="POST")[0] == 403


def test_a_rolling_restart_under_load_loses_nothing_and_asks_nobody_twice(stack: Stack):
    stack.standin.configure(latency_ms="800-1200", faults=[])
    prompts = [f"Grade under load {number} {MARKER}" for number in range(150)]
    stack.start("worker-bulk")  # as --scale worker-bulk=2
    before = stack.standin.calls_per_prompt()
    with stack.client() as client:
        client.enqueue(
            [Item(f"s{number}", prompt) for number, prompt in enumerate(prompts)],
            name="load", schema="feedback", model="standin",
        )  # fmt: skip
        batch = client.batch("load")
        wait_until(lambda: batch.progress().running >= 20, "workers are busy")
        stack.restart("worker-bulk")
        stack.restart("worker-interactive")
        wait_until(lambda: batch.progress().is_finished, "everything is graded")
        progress = batch.progress()

    assert (progress.succeeded, progress.failed) == (150, 0)
    sent = {ending: count for ending, count in progress.attempts.items() if ending != "not_sent"}  # given back before
    assert sent == {"answered": 150}
    calls = stack.standin.calls_per_prompt()
    assert sum(calls.values()) - sum(before.values()) == 150


def test_no_log_of_any_service_holds_what_students_wrote_or_a_password(stack: Stack):
    logs = {path.name: path.read_text() for path in (stack.folder / "logs").glob("*.log")}
    services = ("redis", "migrate", "beat", "flower", "dashboard", "worker-bulk", "worker-interactive")

    assert set(logs) >= {f"{name}.log" for name in services}
    for name in ("worker-bulk.log", "worker-interactive.log"):
        assert "job.finished" in logs[name], "what `docker compose logs` shows"
    assert not [name for name, text in logs.items() if MARKER in text or PASSWORD in text]
    assert (REPOSITORY / "docker-compose.yml").exists()
