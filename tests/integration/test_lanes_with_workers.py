"""Batches at the stand-in, by real workers that are killed: every job ends once, and the ledger is the invoice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from producer.gradebook.bill import read_bill_of
from tests.support.scene import Scene, open_scene
from tests.support.wait import wait_until
from workers.contract.job import JobSpec
from workers.store.lane_tables import submissions

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store import Store

pytestmark = pytest.mark.integration

MODEL = "gpt-6.1-terra"
PRICES = {
    "price_input_usd_per_mtok": 1.0, "price_cached_input_usd_per_mtok": 0.05, "price_cache_write_usd_per_mtok": 1.25,
    "price_output_usd_per_mtok": 5.0,
}  # fmt: skip
COUNT = 40


def states(scene: Scene) -> set[str]:
    with scene.store.snapshot() as connection:
        return set(connection.execute(select(submissions.c.state)).scalars())


def test_a_batch_outlives_the_workers_that_handed_it_over(store: Store, tmp_path: Path):
    profiles = tmp_path / "profiles.json"
    profiles.write_text(json.dumps({"models": {MODEL: PRICES}}))
    with open_scene(store, tmp_path, GRADEQUEUE_MODEL_PROFILES=str(profiles)) as scene:
        scene.provider.configure(batch_seconds="8")
        specs = [
            JobSpec(id=str(number), prompt=f"work {number} " * 40, schema="feedback", model=MODEL)
            for number in range(COUNT)
        ]
        scene.client.enqueue(specs, name="b", price="lowest", starts_carefully=False)
        wait_until(lambda: states(scene) == {"created"}, lambda: scene.workers.logs().decode()[-3000:])
        look = scene.progress("b")
        assert (look.running, [each.handed_over for each in look.lanes]) == (COUNT, [COUNT])
        scene.workers.kill(scene.workers.pids[0])
        scene.workers.restart_dead()
        progress = scene.wait_for("b", lambda progress: progress.is_finished, "every answer is stored")

        assert progress.succeeded == COUNT
        assert dict(progress.attempts) == {"answered": COUNT}
        bill, invoice = read_bill_of(store, batch="b"), scene.provider.invoice()
        assert {str(line.lane) for line in bill.lines} == {line["lane"] for line in invoice["lines"]} == {"batch"}
        assert bill.low_usd == bill.high_usd == pytest.approx(invoice["usd"], rel=0.001)
        wait_until(lambda: states(scene) == {"settled"}, "nothing is left at the provider")


def test_a_server_without_lanes_is_asked_once_and_everything_goes_live(store: Store, tmp_path: Path):
    with open_scene(store, tmp_path, latency_ms="5") as scene:
        scene.provider.configure(lanes="none")
        specs = [
            JobSpec(id=str(number), prompt=f"w {number}", schema="feedback", model="standin") for number in range(5)
        ]
        scene.client.enqueue(specs, name="b", price="lowest", starts_carefully=False)
        progress = scene.wait_for("b", lambda progress: progress.is_finished, "all is graded live")

        assert progress.succeeded == 5, (progress, scene.workers.logs().decode()[-4000:])
        assert scene.workers.logs().count(b"lane.unavailable") == 3  # batch, and both windows
