"""Pausing and resuming as a person or a script types it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from producer.cli.commands import cli
from producer.local.data_folder import DataFolder
from tests.store.steps import enqueue
from tests.support.stores import new_store
from workers.contract.outcome import AccountState
from workers.store import Store
from workers.store.parks import park_account, parked_accounts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a batch `b` of two jobs that ask the model `m` of the account `p`."""
    home = DataFolder.of(tmp_path / "data")
    store = new_store(home.path / "gradequeue.db")
    enqueue(store, 2)
    store.close()
    return home.path


def run(folder: Path, *arguments: str, expect: int = 0) -> str:
    done = CliRunner().invoke(cli, [*arguments, "--data-dir", str(folder)])
    assert done.exit_code == expect, done.output
    return done.stdout


def told(folder: Path, *arguments: str, expect: int = 0) -> Any:
    return json.loads(run(folder, *arguments, "--json", expect=expect))


@pytest.mark.parametrize(("name", "kind"), [("b", "batch"), ("m", "model"), ("p", "account"), ("bulk", "queue")])
def test_a_pause_is_shown_by_status_and_may_be_said_twice(folder: Path, name: str, kind: str):
    assert told(folder, "pause", name) == {"kind": kind, "name": name, "paused": True, "changed": True}
    assert told(folder, "pause", name) == {"kind": kind, "name": name, "paused": True, "changed": False}
    status = told(folder, "status")
    assert [(each["kind"], each["name"]) for each in status["pauses"]] == [(kind, name)]
    assert f"gradequeue resume {name}" in status["closed"]

    assert told(folder, "resume", name) == {"kind": kind, "name": name, "paused": False, "changed": True}
    assert told(folder, "resume", name) == {"kind": kind, "name": name, "paused": False, "changed": False}
    assert (told(folder, "status")["pauses"], told(folder, "status")["closed"]) == ([], None)


def test_status_says_once_what_is_paused_and_how_it_goes_on(folder: Path):
    assert "paused: b; resume with: gradequeue resume b" in run(folder, "pause", "b")
    run(folder, "pause", "later", "--kind", "model")
    shown = CliRunner().invoke(cli, ["status", "--data-dir", str(folder)]).output
    assert shown.count("b is paused since") == 1
    assert shown.count("the model later is paused since") == 1


def test_errors_have_a_code_for_scripts(folder: Path):
    assert told(folder, "pause", "nobody", expect=2)["error"]["code"] == "unknown_target"
    assert told(folder, "resume", "b", "--kind", "queue", expect=2)["error"]["code"] == "unknown_target"
    run(folder, "pause", "b", "--kind", "model")
    assert told(folder, "pause", "b", expect=2)["error"]["code"] == "ambiguous_target"
    assert told(folder, "status", "nothing", expect=2)["error"]["code"] == "invalid_input"


def test_resuming_an_account_lifts_its_park_and_no_other(folder: Path):
    store = Store.open(DataFolder.of(folder).store_url)
    with store.transaction() as connection:
        for account in ("p", "q"):
            park_account(connection, account=account, state=AccountState.QUOTA_EXHAUSTED, message="empty")
    assert told(folder, "resume", "p")["changed"]
    with store.snapshot() as connection:
        assert [each.account for each in parked_accounts(connection)] == ["q"]
    assert told(folder, "resume") == {"kind": "account", "resumed": ["q"]}
    store.close()


def test_limits_and_weights_are_set_listed_and_shown_by_status(folder: Path):
    limited = {"model": "m", "account": None, "requests_per_minute": 600, "tokens_per_minute": None}
    assert told(folder, "limits", "m", "--rpm", "600") == {**limited, "calls_in_flight": None}
    assert told(folder, "limits", "m", "--in-flight", "8") == {**limited, "calls_in_flight": 8}
    assert told(folder, "limits") == {**limited, "calls_in_flight": 8}
    assert "m: at most 600 requests/min, 8 in flight" in run(folder, "status")
    assert told(folder, "limits", "b", "--weight", "3") == {"batch": "b", "weight": 3.0}
    assert told(folder, "status")["weight"] == 3.0

    run(folder, "limits", "m", "--rpm", "0", "--in-flight", "0")
    assert run(folder, "limits", "--json") == ""
    assert told(folder, "limits", "--rpm", "5", expect=2)["error"]["code"] == "invalid_input"
    assert told(folder, "limits", "b", "--rpm", "5", "--weight", "2", expect=2)["error"]["code"] == "invalid_input"
