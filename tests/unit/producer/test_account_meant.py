"""Commands take the name that settings give an account, or the one that batches of the store have."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING

import pytest

from producer.cli.steering import meant
from producer.inputs.nightly_file import NightlyEntry
from producer.local.accounts import account_meant, settings_of_batch, why_not_served
from producer.regrading.nightly import with_account
from tests.store.steps import enqueue
from workers.contract.errors import AmbiguousTarget, InvalidInput
from workers.settings import Settings, UnknownAccount, load_settings
from workers.store.pauses import PauseScope

if TYPE_CHECKING:
    from pathlib import Path

    from workers.store import Store

COURSE_B = "course-b@gateway.edu"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    file = tmp_path / "accounts.toml"
    file.write_text('[course-b]\nkey_variable = "B_KEY"\nbase_url = "https://gateway.edu/v1"\n')
    monkeypatch.setenv("GRADEQUEUE_ACCOUNTS", str(file))
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("B_KEY", raising=False)
    return load_settings()


def test_an_account_is_found_by_either_name_and_another_is_refused_with_the_list(store: Store, settings: Settings):
    enqueue(store, 1, provider="elsewhere:8080")
    with store.snapshot() as connection:
        for name, account in (
            ("course-b", COURSE_B), (COURSE_B, COURSE_B), ("default", "api.openai.com"), ("elsewhere:8080",) * 2,
        ):  # fmt: skip
            assert account_meant(connection, settings, name) == account
        with pytest.raises(
            UnknownAccount, match=r"api\.openai\.com, course-b, course-b@gateway\.edu, default, elsewhere"
        ):
            account_meant(connection, settings, "course-x")


@pytest.mark.usefixtures("settings")
def test_pause_and_resume_take_an_account_by_option_by_kind_and_by_its_bare_name(store: Store):
    account = (COURSE_B, PauseScope.ACCOUNT)
    assert meant(store, None, None, None, "course-b") == account
    assert meant(store, None, "course-b", "account", None) == account
    assert meant(store, None, "course-b", None, None) == account
    assert meant(store, None, "bulk", None, None) == ("bulk", None)
    for wrong in ((None, None, None), ("b", None, "course-b"), (None, "model", "course-b")):
        with pytest.raises(InvalidInput):
            meant(store, None, *wrong)
    with pytest.raises(UnknownAccount):
        meant(store, None, "course-x", "account", None)
    enqueue(store, 1, name="course-b")
    with pytest.raises(AmbiguousTarget, match="--kind"):
        meant(store, None, "course-b", None, None)


def test_a_batch_of_an_account_without_a_key_here_says_which_key_is_missing(settings: Settings):
    assert why_not_served(settings, COURSE_B) == "the account course-b has no key: B_KEY is not set"
    assert why_not_served(settings, "api.openai.com") is None
    assert why_not_served(settings, "course-b@elsewhere") is None, "the settings know another server by that name"


def test_settings_follow_a_batch_where_they_know_its_account(settings: Settings):
    assert settings_of_batch(settings, COURSE_B).provider_host == "gateway.edu"
    for other in ("course-b@elsewhere", "course-x@gateway.edu", "elsewhere:8080"):
        assert settings_of_batch(settings, other) is settings


def test_a_nightly_entry_has_the_account_of_its_kit_unless_it_says_one(tmp_path: Path):
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "kit.toml").write_text('account = "course-b"\nmodel = "m"\n')
    entry = NightlyEntry(name="n", at="02:30", batches=("*",), kit="kit")  # type: ignore[arg-type] # as TOML has it
    assert entry.at == time(2, 30)
    assert with_account(entry, tmp_path).account == "course-b"
    assert with_account(entry.model_copy(update={"account": "course-c"}), tmp_path).account == "course-c"
