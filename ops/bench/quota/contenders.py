"""How each contender is started on the same jobs: one program each, that ends when its jobs are done or lost."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.bench.quota.scenario import MODEL

if TYPE_CHECKING:
    from pathlib import Path

    from ops.bench.quota.scenario import Scenario

NAMES = ("gradequeue", "gather", "autoretry", "countdown")
UNGATED = "ungated"
"""Ours, with batches whose first jobs hold up no others."""


@dataclass(frozen=True, slots=True)
class Start:
    """A command with its environment."""

    command: list[str]
    environment: dict[str, str]


def start_of(name: str, scenario: Scenario, *, base_url: str, broker_url: str, folder: Path) -> Start:
    """What to run for a contender; `folder` is empty and its own."""
    environment = {**os.environ, "GRADEQUEUE_STANDIN_URL": base_url}
    profiles = folder / "profiles.json"
    profiles.write_text(json.dumps({"models": {MODEL: {"charges_larger": True}}}))  # as OpenAI does, and the stand-in
    environment["GRADEQUEUE_MODEL_PROFILES"] = str(profiles)
    if scenario.is_known:
        told = {"GRADEQUEUE_RPM": scenario.rpm, "GRADEQUEUE_TPM": scenario.tpm}
        environment |= {setting: str(limit) for setting, limit in told.items() if limit}
    if name in (NAMES[0], UNGATED):
        rows = [{"id": f"job-{number}", "prompt": prompt(number)} for number in range(scenario.jobs)]
        program = "ops.bench.quota.ungated" if name == UNGATED else "producer.cli.main"
        jobs = folder / "jobs.jsonl"
        jobs.write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = [
            sys.executable, "-m", program, "run", str(jobs), "--schema", "feedback", "--model", MODEL,
            "--offline", "--processes", str(scenario.processes), "--concurrency", str(scenario.in_flight),
            "--max-tokens", str(scenario.max_tokens), "--data-dir", str(folder / "data"),
            "--out", str(folder / "grades.jsonl"),
        ]  # fmt: skip
        return Start(command, environment)
    module = "ops.bench.quota.gather_peer" if name == "gather" else "ops.bench.quota.celery_peer"
    arguments = [
        name, "--jobs", str(scenario.jobs), "--processes", str(scenario.processes), "--in-flight",
        str(scenario.in_flight), "--max-tokens", str(scenario.max_tokens), "--base-url", base_url,
        "--broker-url", broker_url,
    ]  # fmt: skip
    return Start([sys.executable, "-m", module, *arguments], environment)


def prompt(number: int) -> str:
    """A submission of about 1 KB, another one for each job."""
    return f"Give feedback on program {number}.\n" + "print('hello world')\n" * 48
