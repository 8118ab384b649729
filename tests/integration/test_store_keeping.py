"""`export`, `purge`, and the backups that docs/backup.md describes."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from producer.cli.commands import cli
from tests.store.steps import (
    answered,
    claim,
    claimed,
    endings,
    enqueue,
    failure,
    new_job,
    outcome_rows,
    persist,
    publish,
    register,
    send,
    states,
    success,
)
from tests.store.test_retention import MARKER, YEAR, graded
from tests.support.postgres import fresh_schema
from tests.support.stores import new_store
from workers.store import Store
from workers.store.feed import unpublish_all
from workers.store.liveness import free_dead, read_pulses
from workers.store.steering import retry_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Where the command line looks for it."""
    store = new_store(tmp_path / "gradequeue.db")
    yield store
    store.close()


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Result]:
    def run(*arguments: str, expect: int = 0, stdin: str | None = None) -> Result:
        done = CliRunner().invoke(cli, [*arguments, "--data-dir", str(tmp_path)], input=stdin)
        assert done.exit_code == expect, done.output
        return done

    return run


def two_rounds(store: Store) -> None:
    """A job that failed and was retried, one that waits."""
    enqueue(store, [new_job("=1+1", prompt="p"), new_job("waiting")])
    ids = publish(store, at_most=1)
    [job] = claim(store, ids).values()
    persist(store, closing=answered(send(store, job) or ""), ending=failure(job))
    retry_failed(store, "b")
    publish(store, at_most=1)
    [again] = claim(store, ids).values()
    persist(store, closing=answered(send(store, again) or ""), ending=success(again, 4))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_export_holds_every_round(store: Store, command: Callable[..., Result], tmp_path: Path):
    two_rounds(store)
    command("export", "--out", str(tmp_path / "out.jsonl"))

    told = [
        (line["id"], line["round"], line["state"], line.get("result"), line.get("failure", {}).get("kind"))
        for line in lines(tmp_path / "out.jsonl")
    ]
    assert told == [
        ("=1+1", 1, "failed", None, "refused"),
        ("=1+1", 2, "succeeded", {"grade": 4}, None),
        ("waiting", 1, "ready", None, None),
    ]


def test_the_ledger_is_exported_with_its_costs(store: Store, command: Callable[..., Result], tmp_path: Path):
    two_rounds(store)
    command("export", "b", "--ledger", "--out", str(tmp_path / "out.jsonl"))

    rows = lines(tmp_path / "out.jsonl")
    assert [(row["round"], row["ending"], row["cost_usd"], row["prompt_tokens"]) for row in rows] == [
        (1, "answered", 0.5, 10),
        (2, "answered", 0.5, 10),
    ]
    assert rows[0]["opened_at"].endswith("+00:00")


def test_a_csv_export_opens_in_a_spreadsheet_without_computing_anything(
    store: Store, command: Callable[..., Result], tmp_path: Path
):
    two_rounds(store)
    command("export", "--format", "csv", "--out", str(tmp_path / "out.csv"))

    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["'=1+1", "'=1+1", "waiting"]
    assert [row["result.grade"] for row in rows] == ["", "4", ""]
    assert rows[0]["failure.kind"] == "refused"


def test_an_export_goes_over_page_borders_without_a_gap(
    store: Store, command: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from workers.store import history

    monkeypatch.setattr(history, "PAGE", 3)
    enqueue(store, 10, name="a")
    enqueue(store, 5, name="b")
    two_rounds_of_all(store)
    command("export", "--out", str(tmp_path / "out.jsonl"))
    command("export", "--ledger", "--out", str(tmp_path / "ledger.jsonl"))

    found = [(line["batch"], line["id"], line["round"]) for line in lines(tmp_path / "out.jsonl")]
    assert found == [
        (name, f"{name}{n}", r) for name, count in (("a", 10), ("b", 5)) for n in range(count) for r in (1, 2)
    ]
    assert len({line["attempt_id"] for line in lines(tmp_path / "ledger.jsonl")}) == 15


def two_rounds_of_all(store: Store) -> None:
    for job in claim(store, publish(store)).values():
        persist(store, closing=answered(send(store, job) or ""), ending=failure(job))
    for name in ("a", "b"):
        retry_failed(store, name)
    for job in claim(store, publish(store)).values():
        persist(store, ending=success(job))


@pytest.mark.usefixtures("store")
def test_an_export_of_a_batch_that_is_not_there_writes_nothing(command: Callable[..., Result], tmp_path: Path):
    done = command("export", "nowhere", "--out", str(tmp_path / "out.jsonl"), expect=2)
    assert "nowhere" in done.output
    assert not (tmp_path / "out.jsonl").exists()


def test_purge_asks_and_does_nothing_without_a_yes(store: Store, command: Callable[..., Result]):
    graded(store, 3)
    command("purge", "--older-than", "180d", "--dry-run")
    command("purge", "--older-than", "180d", stdin="n\n", expect=1)
    with store.snapshot() as connection:
        from workers.store.retention import count_aged

        assert count_aged(connection, older_than_seconds=YEAR / 2).finished == 3
    done = command("purge", "--older-than", "180d", "--yes")
    assert "3 jobs" in done.output


def test_purge_names_old_jobs_that_have_not_ended(store: Store, command: Callable[..., Result]):
    from tests.store.steps import move_clock

    claimed(store)
    move_clock(store, "jobs", "enqueued_at", YEAR)
    move_clock(store, "batches", "created_at", YEAR)
    done = command("purge", "--older-than", "180d", "--yes")
    assert "1 older jobs are unfinished and were skipped" in done.output
    assert states(store) == {"running": 1}


@pytest.mark.usefixtures("store")
def test_purge_wants_an_age_it_can_read(command: Callable[..., Result]):
    assert "--older-than" in command("purge", "--older-than", "soon", expect=2).output


def in_the_middle(store: Store) -> None:
    """A store with finished, running and waiting jobs."""
    register(store, "w1", silent_seconds=100)
    done, _running = claimed(store, 2)
    persist(store, closing=answered(send(store, done) or ""), ending=success(done))
    enqueue(store, 3)
    publish(store, at_most=1)


def goes_on(store: Store) -> None:
    """A restored store is worked on by new workers until nothing is left."""
    with store.snapshot() as connection:
        pulses = read_pulses(connection)
    dead = {worker: pulse.heartbeat_at for worker, pulse in pulses.items()}
    store.run(lambda connection: free_dead(connection, dead, at_most=100))
    store.run(unpublish_all)
    for job in claim(store, publish(store), "w9").values():
        persist(store, ending=success(job))
    assert states(store) == {"succeeded": 5}


@pytest.mark.parametrize("way", ["vacuum into", "backup"])
def test_an_online_backup_of_sqlite_is_whole_and_goes_on(store: Store, tmp_path: Path, way: str):
    in_the_middle(store)
    copy = tmp_path / "copy.db"
    with store.transaction() as connection:  # a worker writes meanwhile
        connection.exec_driver_sql("UPDATE jobs SET prompt = 'not yet committed'")
        source = sqlite3.connect(tmp_path / "gradequeue.db")
        if way == "backup":
            with sqlite3.connect(copy) as target:
                source.backup(target)
            target.close()
        else:
            source.execute(f"VACUUM INTO '{copy}'")
        source.close()
        connection.rollback()
    restored = Store.open(f"sqlite:///{copy}")
    restored.migrate()
    with restored.snapshot() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs WHERE prompt = 'not yet committed'").scalar() == 0
    assert states(restored) == states(store)
    assert endings(restored) == endings(store)
    goes_on(restored)
    restored.close()


def test_a_dump_of_postgresql_is_whole_and_goes_on():
    if shutil.which("pg_dump") is None or shutil.which("psql") is None:
        pytest.skip("pg_dump and psql are not installed")
    with fresh_schema() as url, fresh_schema() as other:
        original = Store.open(url)
        original.migrate()
        in_the_middle(original)
        schema, other_schema = (each.rpartition("%3D")[2] for each in (url, other))
        server = url.partition("?")[0]
        dump = subprocess.run(
            ["pg_dump", "--no-owner", "--schema", schema, server], capture_output=True, text=True, check=True
        ).stdout
        # into a schema of another name, because the original stands beside it
        script = f"DROP SCHEMA {other_schema};\n" + dump.replace(schema, other_schema)
        subprocess.run(
            ["psql", "--quiet", "--set", "ON_ERROR_STOP=1", server],
            input=script,
            text=True,
            check=True,
            capture_output=True,
        )
        restored = Store.open(other)
        restored.migrate()
        assert states(restored) == states(original)
        assert [tuple(row) for row in outcome_rows(restored)] == [tuple(row) for row in outcome_rows(original)]
        goes_on(restored)
        restored.close()
        original.close()


def test_no_prompt_is_in_an_export(store: Store, command: Callable[..., Result], tmp_path: Path):
    enqueue(store, [new_job("a", prompt=MARKER)])
    command("export", "--out", str(tmp_path / "a.jsonl"))
    command("export", "--ledger", "--out", str(tmp_path / "b.jsonl"))
    assert MARKER not in (tmp_path / "a.jsonl").read_text() + (tmp_path / "b.jsonl").read_text()
