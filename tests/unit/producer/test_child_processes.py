"""What a child gets: the secrets of its role, a path without the working folder, and nothing by accident."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from producer.local.child_processes import Role, child_environment
from producer.local.inherited import python_module
from workers.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = {
    "OPENAI_API_KEY": "sk-secret",
    "DATABASE_URL": "postgresql://u:db-secret@h/d",
    "REDIS_URL": "redis://:redis-secret@h/0",
    "GRADEQUEUE_DASHBOARD_PASSWORD": "page-secret",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "CELERY_CONFIG_MODULE": "config-secret",
    "DJANGO_SETTINGS_MODULE": "django-secret",
}


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("role", "had"),
    [
        (Role.WORKER, {"sk-secret", "db-secret", "redis-secret"}),
        (Role.PAGE, {"db-secret", "redis-secret", "page-secret"}),
        (Role.STANDIN, set()),
    ],
)
def test_each_role_gets_its_own_secrets_alone(role: Role, had: set[str]):
    text = repr(child_environment(role, load_settings()))
    secrets = {word for value in SECRETS.values() for word in [value.split(":")[-1].partition("@")[0]]}
    assert {secret for secret in secrets if secret in text} == had


def test_no_part_of_the_working_folder_is_on_a_childs_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", "course", "/absolute", ""]))
    environment = child_environment(Role.STANDIN)
    assert environment["PYTHONPATH"] == "/absolute"
    assert environment["PYTHONSAFEPATH"] == "1"
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert "PYTHONPATH" not in child_environment(Role.STANDIN)
    assert python_module("ops.standin", "--port", "0")[1:] == ["-P", "-m", "ops.standin", "--port", "0"]


def test_a_child_reads_the_same_settings_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".env").write_text("GRADEQUEUE_RPM=7\nGRADEQUEUE_MODEL_PROFILES=profiles.json\nGRADEQUEUE_OFFLINE=1\n")
    ours = load_settings(concurrency=3, openai_api_key=SecretStr("sk-given"))
    told = child_environment(Role.WORKER, ours)
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    theirs = load_settings()
    withheld = {"dashboard_password", "nightly"}
    assert theirs.model_dump(exclude=withheld) == ours.model_dump(exclude=withheld)
    assert theirs.model_profiles == tmp_path / "profiles.json"
