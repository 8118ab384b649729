"""Flower's configuration: closed without a password, each task with its queue. The stack's test asks it for real."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

CONFIGURATION = Path(__file__).parents[2] / "ops" / "deploy" / "flowerconfig.py"


@pytest.mark.integration
@pytest.mark.parametrize("auth", ["", "operator", "operator:", ":secret"])
def test_without_user_and_password_flower_does_not_start(auth: str, tmp_path: Path):
    environment = {
        "PATH": os.environ["PATH"],
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "GRADEQUEUE_FLOWER_AUTH": auth,
        "PYTHONPATH": str(CONFIGURATION.parents[2]),
        "GRADEQUEUE_DATA_DIR": str(tmp_path),
    }

    done = subprocess.run(
        [sys.executable, "-m", "ops.deploy.flower_app"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode not in {0, None}
    assert "GRADEQUEUE_FLOWER_AUTH is not set" in done.stdout + done.stderr


def test_it_is_read_only_persistent_and_shows_each_task_s_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADEQUEUE_FLOWER_AUTH", "operator:secret")
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path))

    configuration = runpy.run_path(str(CONFIGURATION))
    worker = SimpleNamespace(hostname="interactive-a1b2c3@host")
    shown = configuration["format_task"](SimpleNamespace(worker=worker, routing_key=None, args="x", kwargs="y"))
    early = configuration["format_task"](SimpleNamespace(worker=None, routing_key=None, args="x", kwargs="y"))

    assert configuration["read_only"] is True
    assert configuration["persistent"] is True
    assert configuration["basic_auth"] == ["operator:secret"]
    assert configuration["tasks_columns"].split(",")[:4] == ["uuid", "routing_key", "state", "runtime"]
    assert (shown.routing_key, shown.args, shown.kwargs) == ("interactive", None, None)
    assert early.routing_key is None
