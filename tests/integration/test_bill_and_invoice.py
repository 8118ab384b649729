"""The ledger against the stand-in's own invoice, which has its own prices: over worker kills and lost answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ops.bench.chaos.audit import open_calls
from producer.gradebook.bill import Bill, read_bill_of
from tests.support.scene import Scene, open_scene
from workers.contract.job import JobParameters, JobSpec
from workers.store.worker_reports import day_caps_kept

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store import Store
    from workers.store.progress import Progress

pytestmark = pytest.mark.integration

MODEL = "gpt-6.1-terra"
PRICES = {
    "price_input_usd_per_mtok": 1.0, "price_cached_input_usd_per_mtok": 0.05, "price_cache_write_usd_per_mtok": 1.25,
    "price_output_usd_per_mtok": 5.0, "long_prompt_tokens": 272_000, "long_prompt_input_factor": 2,
    "long_prompt_output_factor": 1.5,
}  # fmt: skip
"""Bundled ones hold for the provider's own host alone."""
COUNT = 24


def grade(scene: Scene, name: str, **changes: object) -> Progress:
    """A batch with short prompts, one above 272,000 tokens, and efforts that cost differently."""
    scene.provider.configure(**changes)
    texts = ["x" * 1_100_000 if number == 7 else f"{name} {number} " * 400 for number in range(COUNT)]
    specs = [
        JobSpec(
            id=str(number), prompt=text, schema="feedback", model=MODEL,
            parameters=JobParameters(max_tokens=3_000, effort=("low", "high")[number % 2], max_retries=9),
        )
        for number, text in enumerate(texts)
    ]  # fmt: skip
    scene.client.enqueue(specs, name=name)
    return scene.progress(name)


def bill_of(scene: Scene, name: str) -> Bill:
    return read_bill_of(scene.store, batch=name)


def test_the_bill_is_the_invoice_and_its_interval_holds_what_nobody_saw_end(store: Store, tmp_path: Path):
    profiles = tmp_path / "profiles.json"
    profiles.write_text(json.dumps({"models": {MODEL: PRICES}}))
    changes = {"GRADEQUEUE_MODEL_PROFILES": str(profiles)}
    with open_scene(store, tmp_path, latency_ms="50-100", workers=2, **changes) as scene:
        grade(scene, "calm")
        scene.wait_for("calm", lambda progress: progress.is_finished, "all is graded")
        calm, billed = bill_of(scene, "calm"), scene.provider.invoice()
        with store.snapshot() as connection:
            assert day_caps_kept(connection) == {scene.client.provider: {None: 2}}, (
                "who works for the stand-in keeps no cap"
            )

        assert billed["unpriced"] == 0
        assert calm.low_usd == calm.high_usd == pytest.approx(billed["usd"], rel=0.001)
        assert sum(line.answered for line in calm.lines) == billed["requests"] == COUNT
        assert sum(line.surcharge_usd for line in calm.lines) > 0
        assert sum(line["reasoning_tokens"] for line in billed["lines"]) == calm.usage.reasoning_tokens > 0

        # on a busy machine a calm call may take as long as what is cut off here
        scene.workers.environment = {**scene.workers.environment, "GRADEQUEUE_CALL_TIMEOUT": "4"}
        for pid in scene.workers.pids:
            scene.workers.kill(pid)
        scene.workers.restart_dead()
        grade(scene, "rough", faults=["hang=0.05", "reset_body=0.05"], latency_ms="1000-2000", bill_abandoned=True)
        one = scene.workers.pids[0]
        scene.kill_while(lambda: open_calls(store).get(one), "calls of one worker are in flight", pids=[one])
        scene.workers.restart_dead()
        scene.wait_for("rough", lambda progress: progress.is_finished, "all is graded in spite of it")
        rough, usd = bill_of(scene, "rough"), scene.provider.invoice()["usd"] - billed["usd"]

        assert sum(line.open for line in rough.lines) > 0
        assert rough.high_usd is not None
        assert rough.low_usd <= usd * 1.001
        assert usd <= rough.high_usd * 1.001
