"""A model without budget holds up no other: real workers, a real provider with one limit per model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.scene import open_scene
from workers.contract.job import JobSpec
from workers.store.worker_reports import latest_budgets

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store import Store

pytestmark = pytest.mark.integration


def specs(model: str, count: int) -> list[JobSpec]:
    return [JobSpec(id=f"{model}-{n}", prompt=f"{model} {n}", schema="feedback", model=model) for n in range(count)]


def test_another_models_jobs_pass_a_crowd_that_waits_for_its_limit(store: Store, tmp_path: Path):
    with open_scene(store, tmp_path, latency_ms="50") as scene:
        scene.provider.configure(rpm=60, slice_seconds=2)
        scene.client.enqueue(specs("gpt-4o", 150), name="crowd", starts_carefully=False)  # two and a half minutes' work
        scene.wait_for("crowd", lambda progress: progress.running >= 12, "every slot is taken")

        scene.client.enqueue(specs("gpt-4o-mini", 5), name="others")
        scene.wait_for("others", lambda progress: progress.is_finished, "the others are through")

        assert scene.progress("crowd").succeeded < 60
        assert scene.provider.stats()["refused_total"] <= 2
        with store.snapshot() as connection:
            budgets = {row["model"]: row for row in latest_budgets(connection, within_seconds=30)}
        assert budgets["gpt-4o"]["requests_limit"] == 60
        assert budgets["gpt-4o"]["waiting"] >= 1
        scene.client.batch("crowd").cancel()
