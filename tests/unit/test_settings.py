from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.local.embedded import Services
from workers.settings import SettingsError, load_settings, setting_sources

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_secrets(folder: Path, text: str) -> None:
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(text)


def test_the_environment_wins_over_dotenv_and_dotenv_over_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write_secrets(
        folder, 'OPENAI_API_KEY = "from-secrets"\nREDIS_URL = "redis://secrets"\nDATABASE_URL = "sqlite:///s"\n'
    )
    (folder / ".env").write_text("OPENAI_API_KEY=from-dotenv\nREDIS_URL=redis://dotenv\n")
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")

    settings = load_settings()

    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "from-environment"
    assert settings.redis_url == "redis://dotenv"
    assert settings.database_url == f"sqlite:///{folder}/s", "children mean the same file from another folder"
    sources = setting_sources()
    assert sources["OPENAI_API_KEY"] == "environment"
    assert sources["REDIS_URL"] == ".env"
    assert sources["DATABASE_URL"] == ".streamlit/secrets.toml"


def test_settings_are_read_when_asked_for_and_not_at_import(monkeypatch: pytest.MonkeyPatch):
    assert load_settings().openai_base_url is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1234/v1")
    assert load_settings().openai_base_url == "http://localhost:1234/v1"


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    monkeypatch.setenv("OPENAI_API_KEY", "")
    settings = load_settings()
    assert settings.openai_base_url is None
    assert settings.openai_api_key is None


def test_a_bad_value_names_the_setting_and_never_the_value(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADEQUEUE_CALL_TIMEOUT", "sk-secret")
    with pytest.raises(SettingsError, match="GRADEQUEUE_CALL_TIMEOUT") as caught:
        load_settings()
    assert "sk-secret" not in str(caught.value)


def test_broken_secrets_are_named(folder: Path):
    write_secrets(folder, "this is = not [toml")
    with pytest.raises(SettingsError, match=r"secrets\.toml"):
        load_settings()


def test_no_password_in_an_address_is_shown_by_repr():
    settings = load_settings(
        redis_url="redis://:pa55word-1@broker:6379/0",
        database_url="postgresql://grader:pa55word-2@store/grades",
        openai_base_url="https://user:pa55word-3@gateway/v1",
        smtp_url="smtps://grader:pa55word-4@mail",
        notify="https://chat.example/hooks/pa55word-5",
    )
    services = Services(str(settings.redis_url), str(settings.database_url), None)

    assert "pa55word" not in repr(settings) + str(settings) + repr(services)


def test_the_key_is_not_shown_by_repr(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert "sk-secret" not in repr(load_settings())


@pytest.mark.parametrize(
    ("base_url", "offline", "provider"),
    [
        (None, False, "api.openai.com"),
        ("https://api.openai.com/v1/", False, "api.openai.com"),
        ("https://api.openai.com:443/v1", False, "api.openai.com"),
        ("https://openrouter.ai/api/v1", False, "openrouter.ai/api"),
        ("http://localhost:11434/v1", False, "localhost:11434"),
        ("http://localhost:8080/v1", False, "localhost:8080"),
        ("http://localhost/v1", False, "localhost:80"),
        ("https://localhost/v1", False, "localhost"),
        ("http://[::1]:8080/v1", False, "[::1]:8080"),
        ("https://user:secret@proxy.example/team-a/v1", False, "proxy.example/team-a"),
        ("https://proxy.example/team-a/v2", False, "proxy.example/team-a/v2"),
        ("https://proxy.example", False, "proxy.example/"),
        ("https://api.openai.com/v1", True, "standin"),
    ],
)
def test_the_provider_is_the_base_urls_host_port_and_path_or_the_standin(
    base_url: str | None, *, offline: bool, provider: str
):
    assert load_settings(openai_base_url=base_url, offline=offline).provider == provider


@pytest.mark.parametrize(
    "base_url",
    [
        *("not a url", "https://", "ftp://host/v1", "https://host:port/v1", f"https://host/{'x' * 300}"),
        *("https://host:0/v1", "https://host:70000/v1", "https://ho st/v1", "https://host/\x1b[31m/v1"),
    ],
)
def test_a_base_url_that_names_no_server_is_refused(base_url: str):
    with pytest.raises(SettingsError, match="OPENAI_BASE_URL"):
        _ = load_settings(openai_base_url=base_url).provider
