"""Commands that leave jobs waiting say so, with the command that starts a worker in the same data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from producer.cli.commands import cli

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
    assert expected in done.output.replace("\n", "")
