"""The examples in docs/ run as they stand, against the stand-in; a fault shows that they handle it as they say."""

from __future__ import annotations

import asyncio
import runpy
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ops.standin.server import Standin, running
from workers.completion import openai_client

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = running()

    def on_loop(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)

    started = on_loop(context.__aenter__())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", started.base_url)
    monkeypatch.setattr(openai_client, "_client", None)
    yield started
    on_loop(context.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def run(name: str) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_every_example_is_tested_here_and_listed():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text()

    assert names == {"exam_grading.py", "concurrent_batch.py", "fallback_model.py", "repair.py"}
    assert all(f"`{name}`" in listed for name in names)


def test_exam_grading_shows_points_and_feedback(standin: Standin, capsys: pytest.CaptureFixture[str]):
    run("exam_grading.py")

    assert capsys.readouterr().out.startswith("points: ")
    assert standin.stats()["answered"] == 1


def test_a_batch_keeps_its_results_and_its_failures(standin: Standin, capsys: pytest.CaptureFixture[str]):
    standin.configure(faults=["rejected@2"], latency_ms=20)

    run("concurrent_batch.py")

    lines = capsys.readouterr().out.splitlines()
    failed = [line for line in lines if "not graded (rejected_request)" in line]
    assert len(lines) == 12
    assert len(failed) == 2
    assert lines[-2:] == failed
    assert standin.stats()["most_in_flight"] <= 5


def test_the_second_model_speaks_when_the_first_cannot(standin: Standin, capsys: pytest.CaptureFixture[str]):
    standin.configure(faults=["rejected@1"])

    run("fallback_model.py")

    first, second = capsys.readouterr().out.splitlines()
    assert "gpt-6.1-terra cannot be reached (rejected_request)" in first
    assert second.startswith("gpt-6-luna: ")


def test_the_second_model_is_not_asked_when_the_account_is_blocked(standin: Standin):
    standin.configure(faults=["insufficient_quota@1"])

    with pytest.raises(openai_client.OpenAITransportError, match="credit or spend limit"):
        run("fallback_model.py")

    assert standin.stats()["received"] == 1


def test_a_repair_mends_the_first_answer(standin: Standin, capsys: pytest.CaptureFixture[str]):
    standin.configure(faults=["invalid_output@1"])

    run("repair.py")

    assert "was not filled in" not in capsys.readouterr().out
    assert standin.stats()["received"] == 2


def test_a_repair_that_fails_says_what_did_not_fit(standin: Standin, capsys: pytest.CaptureFixture[str]):
    standin.configure(faults=["not_json@2"])

    run("repair.py")

    assert capsys.readouterr().out.startswith("Review was not filled in (invalid_output):")
    assert standin.stats()["received"] == 2
