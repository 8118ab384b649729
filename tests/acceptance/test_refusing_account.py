"""An account that refuses every request with a code that no list knows: it is parked, and no job fails for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_run import RUN, TWO, made_up_programs, result_lines
from tests.support.scene import open_scene
from tests.support.wait import wait_until
from workers.store.parks import parked_accounts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import Bench
    from workers.store import Store

pytestmark = pytest.mark.acceptance

JOBS = 120
PROVEN = 3


def test_it_is_parked_with_its_cause_and_the_rest_waits(bench: Bench):
    made_up_programs(bench.folder, PROVEN)  # a batch without a success is closed by its first failures alike
    bench.run(*RUN)
    made_up_programs(bench.folder, PROVEN + JOBS)
    bench.standin.configure(faults=["unlisted_400=1.0"])

    stopped = bench.run(*RUN, *TWO, expect=4)

    status = bench.run("status").stderr
    for said in (stopped.stderr, status):
        assert "standin is parked (refusing) since" in said
        assert "jobs in a row were refused" in said
        assert "workspace_on_hold" in said
        assert "gradequeue resume" in said
    progress = bench.progress("batch")
    assert progress is not None
    assert (progress.failed, progress.waiting) == (0, JOBS)

    bench.standin.configure(faults=[])
    bench.run("resume")
    bench.run(*RUN)
    states = Counter(line["state"] for line in result_lines(bench.folder))
    assert states == {"succeeded": PROVEN + JOBS}


def test_a_few_bad_requests_among_good_ones_park_nobody(bench: Bench):
    made_up_programs(bench.folder, 200)
    text = (bench.folder / "submissions.jsonl").read_text()
    for number in range(0, 200, 8):
        text = text.replace(f"print({number})  # ", f"print({number})  # [[standin:rejected*9]]")
    (bench.folder / "submissions.jsonl").write_text(text)

    bench.run(*RUN, expect=1)

    states = Counter(line["state"] for line in result_lines(bench.folder))
    assert states == {"succeeded": 175, "failed": 25}


def test_workers_find_out_themselves_that_it_serves_again(store: Store, tmp_path: Path):
    with open_scene(store, tmp_path, workers=2, GRADEQUEUE_PARK_PROBE="2") as scene:
        scene.enqueue(PROVEN, "refused")
        scene.wait_for("refused", lambda seen: seen.is_finished, "the batch has a success")
        scene.provider.configure(faults=["unlisted_400=1.0"], latency_ms="20")
        scene.enqueue(PROVEN + 57, "refused")
        wait_until(lambda: parked(store), lambda: "the account is parked", 90.0)
        scene.wait_for("refused", lambda seen: not seen.running and not seen.failed, "who failed before waits again")
        calls = scene.provider.stats()["received"]
        scene.wait_for("refused", lambda _seen: scene.provider.stats()["received"] > calls, "it was probed")
        assert scene.progress("refused").failed == 0, "a probe that is refused fails no job"

        scene.provider.configure(faults=[])

        ended = scene.wait_for("refused", lambda seen: seen.is_finished, "the rest was graded")
        assert (ended.succeeded, ended.failed) == (60, 0)


def parked(store: Store) -> bool:
    with store.snapshot() as connection:
        return bool(parked_accounts(connection))
