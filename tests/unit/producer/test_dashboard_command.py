"""`gradequeue dashboard`: on loopback unless there is a password, and without the API key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from producer.cli import dashboard as command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("password", "address"), [("", "127.0.0.1"), ("secret", "0.0.0.0")])  # noqa: S104 - expected
def test_it_listens_on_loopback_unless_a_password_is_set_and_holds_no_key(
    password: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    started: dict[str, Any] = {}

    def serve(told: list[str], environment: dict[str, str], _services: object) -> int:
        started.update(command=told, environment=environment)
        return 0

    monkeypatch.setattr(command, "serve_page", serve)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    monkeypatch.setenv("GRADEQUEUE_DASHBOARD_PASSWORD", password)

    done = CliRunner().invoke(command.dashboard, ["--port", "9876", "--offline", "--data-dir", str(tmp_path / "data")])

    assert done.exit_code == 0, done.output
    assert f"--server.address={address}" in started["command"]
    assert "--server.port=9876" in started["command"]
    assert "OPENAI_API_KEY" not in started["environment"]
    assert started["environment"]["GRADEQUEUE_OFFLINE"] == "1"
    assert "sk-hidden" not in done.output
