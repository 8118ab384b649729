"""Commands that leave jobs waiting say so, with the command that starts a worker in the same data folder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from producer.cli.commands import cli
from producer.cli.serving_notice import say_when_nobody_works

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("offline", [["--offline"], []])
def test_enqueue_says_how_to_start_a_worker_when_none_runs(
    tmp_path: Path, offline: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    (tmp_path / "rows.csv").write_text("id,submission\nann,print(1)\n")
    (tmp_path / "t.md").write_text("Grade.\n{submission}\n")
    data_dir = tmp_path / "data"
    arguments = ["enqueue", str(tmp_path / "rows.csv"), "--template", str(tmp_path / "t.md"), "--schema", "feedback"]
    done = CliRunner().invoke(cli, [*arguments, "--model", "m", *offline, "--data-dir", str(data_dir)])
    assert done.exit_code == 0, done.output
    expected = f"gradequeue worker --queues bulk{' --offline' if offline else ''} --data-dir {data_dir}"
    assert f"start one with: {expected} (Ctrl-C stops it)" in done.output.replace("\n", "")


def test_where_a_run_brings_its_own_broker_the_same_run_is_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("REDIS_URL", raising=False)
    progress = SimpleNamespace(waiting=1, live_workers=0, queue="bulk", provider="standin")
    batch: Any = SimpleNamespace(progress=lambda: progress)
    monkeypatch.setattr("producer.local.accounts.why_not_served", lambda *_given: None)
    say_when_nobody_works(batch, tmp_path)
    told = " ".join(capsys.readouterr().err.split())
    assert "no worker serves them; run the same `gradequeue run` command again" in told
    assert told.endswith("(Ctrl-C stops it)")
