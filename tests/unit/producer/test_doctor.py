from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from producer.local.doctor import file_system_of, service_findings, setting_findings
from producer.local.embedded import Services
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


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("me:hunter2@cache:6379", "not shown"),
        (":hunter2@cache:6379/0", "not shown"),
        ("hunter2", "not shown"),
        ("redis:hunter2@cache", "not shown"),
        ("redis://cache:6379/0?password=hunter2&db=1", "redis://cache:6379/0?password=***&db=1"),
        ("https://host/v1?api-key=hunter2", "https://host/v1?api-key=***"),
        ("redis://me:hunter2@cache:6379/0", "redis://me:***@cache:6379/0"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_no_form_of_a_url_shows_its_password(url: str, shown: str):
    values = " ".join(each.value for each in setting_findings(load_settings(offline=True, redis_url=url)))
    assert "hunter2" not in values
    assert shown in values


def test_missing_services_are_found_missing(folder: Path):
    settings = load_settings(data_dir=folder, openai_base_url="http://127.0.0.1:9/v1", openai_api_key="sk-x")
    services = Services("redis://127.0.0.1:9/0", "postgresql://127.0.0.1:9/none", None)
    found = {each.subject: each for each in service_findings(settings, services)}
    assert {name for name, each in found.items() if each.is_well is False} == {
        "broker",
        "store",
        "provider",
    }
    assert "OPENAI_BASE_URL" in found["provider"].value


def test_a_working_set_up_is_found_well(folder: Path, broker_url: str):
    services = Services(broker_url, f"sqlite:///{folder / 'x.db'}", None)
    found = list(service_findings(load_settings(data_dir=folder, offline=True), services, recounts=True))
    assert [each.is_well for each in found] == [True] * 7
    assert {each.subject for each in found} >= {"size", "counters"}
    assert any("journal wal" in each.value for each in found)


def test_the_file_system_is_that_of_the_longest_mount_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mounted = [
        SimpleNamespace(mountpoint="/", fstype="ext4"),
        SimpleNamespace(mountpoint=str(tmp_path), fstype="nfs4"),
        SimpleNamespace(mountpoint=f"{tmp_path}/dat", fstype="tmpfs"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounted)
    assert file_system_of(tmp_path / "data" / "x.db") == "nfs4"
    assert file_system_of(tmp_path.parent / "x.db") == "ext4"
    mounted.clear()
    assert file_system_of(tmp_path) is None


def test_the_file_system_of_a_real_folder_is_known(tmp_path: Path):
    assert file_system_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("REDIS_URL", "unix:///run/b.sock?db=0&password=hunter2"),
        ("REDIS_URL", "rediss://me:hunter2@broker:6380/0?ssl_password=hunter2"),
        ("REDIS_URL", "redis://:hunter2@broker:not-a-port/0"),
        ("DATABASE_URL", "postgresql://db/grades?user=me&password=hunter2"),
        ("DATABASE_URL", "postgresql://me:hunter2@db:99999/grades"),
        ("OPENAI_BASE_URL", "https://me:hunter2@gateway/v1"),
    ],
)
def test_a_password_is_hidden_wherever_the_url_holds_it(
    name: str, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(name, url)
    [found] = [each for each in setting_findings(load_settings(data_dir=folder)) if each.subject == name]
    assert "hunter2" not in found.value
