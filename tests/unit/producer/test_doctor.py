from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.doctor import file_system_of, service_findings, setting_findings
from producer.embedded import Services
from workers.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_setting_says_where_it_came_from_and_secrets_stay_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / ".env").write_text("OPENAI_API_KEY=sk-secret\nDATABASE_URL=postgresql://me:hunter2@db:5432/grades\n")
    monkeypatch.setenv("GRADEQUEUE_CONCURRENCY", "7")
    findings = {each.subject: each for each in setting_findings(load_settings(offline=True), {"offline"})}
    assert findings["OPENAI_API_KEY"].source == ".env"
    assert findings["GRADEQUEUE_CONCURRENCY"].source == "environment"
    assert findings["GRADEQUEUE_OFFLINE"].source == "command line"
    assert findings["GRADEQUEUE_WINDOW"].source == "default"
    shown = " ".join(each.value for each in findings.values())
    assert "sk-secret" not in shown
    assert "hunter2" not in shown
    assert "postgresql://me:***@db:5432/grades" in shown


def test_missing_services_are_found_missing(folder: Path):
    settings = load_settings(data_dir=folder, openai_base_url="http://127.0.0.1:9/v1", openai_api_key="sk-x")
    services = Services("redis://127.0.0.1:9/0", "postgresql://127.0.0.1:9/none", None)
    found = {each.subject: each for each in service_findings(settings, services)}
    assert {name for name, each in found.items() if each.is_well is False} == {"broker", "store", "provider"}
    assert "OPENAI_BASE_URL" in found["provider"].value


def test_a_working_set_up_is_found_well(folder: Path, broker_url: str):
    services = Services(broker_url, f"sqlite:///{folder / 'x.db'}", None)
    found = list(service_findings(load_settings(data_dir=folder, offline=True), services))
    assert [each.is_well for each in found] == [True] * 5
    assert any("journal wal" in each.value for each in found)


def test_the_file_system_is_that_of_the_longest_mount_point(tmp_path: Path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    assert file_system_of(tmp_path / "data" / "x.db", mounts) == "nfs4"
    assert file_system_of(tmp_path.parent / "x.db", mounts) == "ext4"
    assert file_system_of(tmp_path, tmp_path / "none") is None
