"""Notifications as people meet them: the option, `status`, `doctor`, and the nights of `beat`."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from producer.cli.commands import cli
from producer.client import Item, JobClient
from producer.local.child_processes import Role, child_environment
from producer.local.doctor import setting_findings
from producer.local.notified import notification_looks
from producer.regrading.beat import Beat
from producer.regrading.nightly import run_night
from tests.support.nights import Clock, entry, utc
from tests.support.receivers import Hook, hook_server
from workers.contract.errors import ServiceUnavailable
from workers.contract.registry import builtin_registry
from workers.settings import SettingsError, load_settings
from workers.store import Store
from workers.store.control_tables import notifications, notify_targets
from workers.store.outbox import Notification, note_failed
from workers.store.tables import batches, jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
HOOK = "https://hooks.example/services/token"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobClient]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    store = Store.open(url)
    store.migrate()
    yield JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p")
    store.close()


def targets(client: JobClient) -> set[tuple[str, str]]:
    with client.store.snapshot() as connection:
        query = select(batches.c.name, notify_targets.c.target).join(batches, batches.c.id == notify_targets.c.batch_id)
        return {(row.name, row.target) for row in connection.execute(query)}


def told(client: JobClient) -> list[tuple[str, dict[str, object]]]:
    with client.store.snapshot() as connection:
        return [(row.happening, row.content) for row in connection.execute(select(notifications))]


def test_a_batch_keeps_who_is_told_and_takes_more(client: JobClient):
    def enqueue(*notify: str) -> None:
        client.enqueue([Item("a", "x")], name="b", schema="feedback", model="m", notify=notify)

    enqueue(HOOK)
    enqueue()
    enqueue("mailto:me@uni.example", HOOK)
    assert targets(client) == {("b", HOOK), ("b", "mailto:me@uni.example")}


def test_who_cannot_be_told_is_refused_before_anything_is_read(client: JobClient):
    done = CliRunner().invoke(cli, ["enqueue", "absent.jsonl", "--offline", "--notify", "me@uni.example"])
    assert done.exit_code == 2
    assert "'--notify': expects https://host/path or mailto:" in done.stderr
    assert client.batches() == []


def test_status_says_what_could_not_be_sent(client: JobClient):
    client.enqueue([Item("a", "x")], name="b", schema="feedback", model="m")
    client.note_night(entry="term", night="2026-12-01", reason="missed")
    assert "notifications" not in CliRunner().invoke(cli, ["status"]).stderr
    with client.store.transaction() as connection:
        row = connection.execute(select(notifications)).one()
        connection.execute(update(notifications).values(target=HOOK))
        sent = Notification(id=row.id, happening="", content={}, target=HOOK, happened_at=0.0)
        note_failed(connection, sent, "the receiver answered 410", is_final=True)
    assert "1 given up; the last failure: the receiver answered 410" in looks(client)["notifications"]
    said = " ".join(CliRunner().invoke(cli, ["status"]).stderr.split())
    assert "notifications: 0 to be sent, 1 given up; the last failure: the receiver answered 410" in said


def looks(client: JobClient, **settings: object) -> dict[str, str]:
    """Subject -> what was found, or `!` and what is wrong."""
    found = {}
    url = str(client.store.engine.url)
    for subject, look in notification_looks(load_settings(offline=True, **settings), url):
        try:
            found[subject] = look()
        except ValueError as problem:
            found[subject] = f"! {problem}"
    return found


def test_doctor_sends_a_test_message_and_says_what_is_missing(client: JobClient):
    with hook_server(Hook()) as hook:
        well = looks(client, notify=f"{hook.url},mailto:me@uni.example", notify_secret=SECRET)
        assert b'"type":"test"' in hook.received[0][1]
        unsigned = looks(client, notify=hook.url)
        assert len(hook.received) == 1
    assert well == {
        "notify http://127.0.0.1/...": "took a signed test message",
        "notify mailto:me@uni.example": "! mail needs GRADEQUEUE_SMTP_URL and GRADEQUEUE_MAIL_FROM",
    }
    assert "GRADEQUEUE_NOTIFY_SECRET is not set" in unsigned["notify http://127.0.0.1/..."]
    away = looks(client, smtp_url="smtp://me:hunter2@127.0.0.1:9")
    assert away["mail"] == "! the mail server was not reached (ConnectionRefusedError)"


@pytest.mark.usefixtures("client")
def test_no_secret_of_the_notifications_is_shown_or_given_to_the_page():
    settings = load_settings(
        offline=True, notify=HOOK, notify_secret=SECRET, smtp_url="smtps://me:hunter2@host", mail_from="me@uni.example"
    )
    shown = " ".join(each.value for each in setting_findings(settings))
    assert "https://hooks.example/..." in shown
    given = {role: repr(child_environment(role, settings)) for role in (Role.WORKER, Role.PAGE)}
    for secret in ("token", SECRET, "hunter2"):
        assert secret not in shown
        assert secret in given[Role.WORKER]
        assert secret not in given[Role.PAGE]


def test_a_setting_that_names_nobody_is_refused_where_it_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADEQUEUE_NOTIFY", "me@uni.example")
    with pytest.raises(SettingsError, match=r"GRADEQUEUE_NOTIFY: .*https://host/path"):
        load_settings()


DUE = utc("2026-11-23T01:30")


def graded(client: JobClient) -> None:
    client.enqueue([Item("a", "Grade")], name="cs-1", schema="feedback", model="old")
    with client.store.transaction() as connection:
        connection.execute(update(jobs).values(state="succeeded"))
        connection.execute(update(batches).values(created_at=DUE.timestamp() - 3600))


def test_the_operator_hears_of_the_nights_batches(client: JobClient, tmp_path: Path):
    graded(client)
    run_night(client, entry(), due=DUE, folder=tmp_path)
    assert targets(client) == {("cs-1-term-2026-11-23", "operator")}


def test_a_night_that_was_missed_or_refused_is_told_once(client: JobClient, tmp_path: Path):
    clock = Clock("2026-11-22T20:00")
    beat = Beat(client, (entry(catch_up_hours=4),), folder=tmp_path, now=clock)
    beat.look()
    assert told(client) == []
    clock.now = utc("2026-11-23T12:00")
    for _ in range(3):
        beat.look()
    missed = {"entry": "term", "night": "2026-11-23", "reason": "missed"}
    assert told(client) == [("nightly.skipped", missed)]

    refused = entry(name="other", model=None, template="absent.md")
    Beat(client, (refused,), folder=tmp_path, now=Clock("2026-11-23T01:30")).look()
    assert ("nightly.skipped", missed | {"entry": "other", "reason": "refused"}) in told(client)


def test_a_store_that_is_away_while_a_night_is_told_stops_no_beat(
    client: JobClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def away(*_arguments: object, **_given: object) -> None:
        raise ServiceUnavailable("store", "gone")

    monkeypatch.setattr(JobClient, "note_night", away)
    entries = (entry(name="first", model=None, template="absent.md"), entry(name="second"))
    graded(client)
    Beat(client, entries, folder=tmp_path, now=Clock("2026-11-23T01:30")).look()
    assert "nightly.not_told entry=first service=store" in caplog.text
    assert client.find_batch("cs-1-second-2026-11-23") is not None
