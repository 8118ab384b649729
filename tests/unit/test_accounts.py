"""Accounts beside that of OPENAI_API_KEY: named in a file, with keys that only workers hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.local.child_processes import Role, child_environment
from workers.contract.account import account_name, account_of, account_provider
from workers.contract.wire import broker_queue
from workers.settings import Settings, SettingsError, UnknownAccount, load_settings, provider_line
from workers.settings.serving import account_caps, same_accounts, served_accounts, unserved_accounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "sk-of-course-b"
TWO = """
[course-b]
key_variable = "COURSE_B_KEY"
base_url = "http://127.0.0.1:9/v1"
rpm = 500
max_usd_per_day = 5.0

[course-c]
key_file = "c.key"
"""

Named = "Callable[..., Settings]"


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings with this file of accounts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def load(content: str = TWO, **overrides: object) -> Settings:
        file = tmp_path / "accounts.toml"
        file.write_text(content)
        return load_settings(accounts=file, **overrides)

    return load


def names(settings: Settings) -> list[str]:
    return [each.provider for each in served_accounts(settings)]


def test_an_account_is_its_name_before_its_server():
    account = account_of("course-b", "gateway.edu/v2")
    assert (account, account_name(account), account_provider(account)) == (
        "course-b@gateway.edu/v2", "course-b", "gateway.edu/v2",
    )  # fmt: skip
    for provider in ("api.openai.com", "localhost:8080/a@b", "standin"):
        assert (account_of(None, provider), account_name(provider), account_provider(provider)) == (
            provider, None, provider,
        )  # fmt: skip


def test_no_two_accounts_share_a_queue():
    accounts = ("api.openai.com", "a@api.openai.com", "b@api.openai.com", "a-api.openai.com")
    assert len({broker_queue("bulk", account, "store") for account in accounts}) == len(accounts)


def test_settings_speak_of_one_account_at_a_time(named: Named, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COURSE_B_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-default")
    default = named()
    other = default.of_account("course-b")

    assert (default.provider, default.base_url, default.minute_limits) == ("api.openai.com", None, (None, None))
    assert (other.provider, other.base_url, other.minute_limits) == (
        "course-b@127.0.0.1:9", "http://127.0.0.1:9/v1", (500, None),
    )  # fmt: skip
    assert other.provider_host == "127.0.0.1"
    assert other.api_key is not None
    assert other.api_key.get_secret_value() == SECRET
    assert other.of_account("default").provider == default.provider
    assert named(account="course-b").provider == other.provider


def test_a_key_is_found_in_the_settings_files_too_and_shown_nowhere(named: Named, tmp_path: Path):
    (tmp_path / ".env").write_text(f"COURSE_B_KEY={SECRET}\n")
    (tmp_path / "c.key").write_text("sk-of-course-c\n")
    settings = named(account="course-b")

    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == SECRET
    assert settings.of_account("course-c").api_key is not None
    for text in (repr(settings), repr(settings.named_accounts), provider_line(settings)):
        assert SECRET not in text
    assert provider_line(settings).endswith("paid with COURSE_B_KEY from .env")


def test_an_unknown_account_is_refused_with_the_names_there_are(named: Named):
    with pytest.raises(
        UnknownAccount, match=r"no account 'course-x'; .*accounts.toml names: course-b, course-c, default"
    ):
        named(account="course-x")
    with pytest.raises(UnknownAccount, match="set GRADEQUEUE_ACCOUNTS"):
        load_settings(account="course-b")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('[default]\nkey_variable = "K"\n', "which is the account of OPENAI_API_KEY"),
        ('["Course B"]\nkey_variable = "K"\n', "1 to 40 of a-z"),
        ('[b]\nkey = "sk-secret"\n', "a key does not belong in this file"),
        ("[b]\nrpm = 5\n", "has no key"),
        ('[b]\nkey_variable = "K"\nkey_file = "k"\n', "say one"),
        ('[b]\nkey_variable = "K"\nrmp = 5\n', "b. rmp|rmp: unknown field"),
        ('[b]\nbase_url = "gateway.edu"\n', "is no server's address"),
        ("b = 1\n", "must hold named fields"),
        ("[b\n", "is not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name_without_its_values(named: Named, content: str, sentence: str):
    with pytest.raises(SettingsError, match=sentence) as refused:
        named(content)
    assert "accounts.toml" in str(refused.value)
    assert "sk-secret" not in str(refused.value)


def test_a_worker_serves_the_accounts_whose_keys_it_has_and_names_the_others(
    named: Named, monkeypatch: pytest.MonkeyPatch
):
    assert names(named()) == ["api.openai.com"]  # none has a key: as without the file
    monkeypatch.setenv("COURSE_B_KEY", SECRET)
    settings = named()
    assert names(settings) == ["course-b@127.0.0.1:9"]
    assert unserved_accounts(settings).keys() == {"default", "course-c"}
    assert "c.key cannot be read" in unserved_accounts(settings)["course-c"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-default")
    assert names(named(account="course-b")) == ["api.openai.com", "course-b@127.0.0.1:9"]
    assert names(named(offline=True)) == ["standin"]


def test_nothing_changes_without_a_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    settings = load_settings(max_usd_per_day=3.0)
    assert names(settings) == ["api.openai.com"]
    assert (unserved_accounts(settings), account_caps(settings)) == ({}, ({"api.openai.com": 3.0}, None))


def test_the_cap_of_a_day_holds_for_all_accounts_together(named: Named, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COURSE_B_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-default")
    assert account_caps(named(max_usd_per_day=20.0)) == ({"api.openai.com": 20.0, "course-b@127.0.0.1:9": 5.0}, 20.0)
    assert account_caps(named()) == ({"api.openai.com": None, "course-b@127.0.0.1:9": 5.0}, None)


def test_one_key_under_two_names_is_found(named: Named, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("COURSE_B_KEY", SECRET)
    assert same_accounts(named()) == []  # at two servers it is two accounts
    assert same_accounts(named('[course-b]\nkey_variable = "COURSE_B_KEY"\n')) == [("default", "course-b")]
    assert same_accounts(named('[a]\nbase_url = "http://h/v1"\n[b]\nbase_url = "http://h/v1"\n')) == []


def test_keys_reach_workers_alone(named: Named, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COURSE_B_KEY", SECRET)
    settings = named(account="course-b")
    worker = child_environment(Role.WORKER, settings)
    assert (worker["COURSE_B_KEY"], "GRADEQUEUE_ACCOUNT" in worker) == (SECRET, False)
    for role in (Role.PAGE, Role.STANDIN):
        assert SECRET not in child_environment(role, settings).values()


def test_the_file_may_not_lie_among_submissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    (submissions / "accounts.toml").write_text(TWO)
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(SettingsError, match="lies among the submissions"):
        load_settings(inputs=[submissions], accounts=submissions / "accounts.toml")
