"""A store of an earlier release: who upgrades it, who is refused, and what an upgrade that broke off leaves."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlalchemy import event, text

from producer import JobClient
from producer.cli.commands import cli
from tests.support.postgres import fresh_schema
from workers.contract.errors import ServiceUnavailable
from workers.settings import Settings
from workers.store import Store, engine, migrations
from workers.store.engine import HEAD_REVISION
from workers.store.migrations import backfills, upgrade, waiting_steps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

EARLIER = "0011_provenance"
RESULTS = 7


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A database without a table."""
    with ExitStack() as stack:
        is_file = request.param == "sqlite"
        store = Store.open(f"sqlite:///{tmp_path / 'store.db'}" if is_file else stack.enter_context(fresh_schema()))
        stack.callback(store.close)
        yield store


@pytest.fixture
def earlier(empty: Store) -> Store:
    """A store as an earlier release made it, with results that have no points of their own."""
    upgrade(empty, to=EARLIER)
    with empty.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO batches (id, name, provider, queue, created_at, opened, origin)"
                f" VALUES (1, 'b', 'p', 'bulk', 1.0, {RESULTS}, '{{}}')"
            )
        )
        for number in range(RESULTS):
            _insert_result(connection, number)
    return empty


def _insert_result(connection: Connection, number: int) -> None:
    connection.execute(
        text(
            "INSERT INTO jobs (id, batch_id, item_id, position, enqueued_at, schema_name, schema_fingerprint, prompt,"
            " prompt_hash, content_hash, model, parameters, metadata, state, round, claim, publish_number, snoozes,"
            f" cancel_requested) VALUES ('j{number}', 1, 's{number}', {number}, 1.0, 's', 'f', 'p', 'h', 'c', 'm',"
            " '{}', '{}', 'succeeded', 1, 1, 1, 0, false)"
        )
    )
    connection.execute(
        text(
            "INSERT INTO outcomes (job_id, round, batch_id, claim, finished_at, result, is_standin)"
            f" VALUES ('j{number}', 1, 1, 1, 1.0, :result, false)"
        ),
        {"result": json.dumps({"score": number})},
    )


def points(store: Store) -> list[float | None]:
    with store.snapshot() as connection:
        return list(connection.execute(text("SELECT points FROM outcomes ORDER BY job_id")).scalars())


def test_a_process_upgrades_a_file_at_its_start_and_a_servers_store_not(earlier: Store):
    if earlier.is_sqlite:
        earlier.prepare()
        assert (earlier.revision, points(earlier)) == (HEAD_REVISION, [float(n) for n in range(RESULTS)])
        return
    with pytest.raises(ServiceUnavailable, match=r"earlier version .*run `gradequeue upgrade` once"):
        earlier.prepare()
    assert earlier.revision == EARLIER
    upgrade(earlier)
    earlier.prepare()
    assert points(earlier) == [float(n) for n in range(RESULTS)]


def test_a_program_that_enqueues_is_refused_by_a_servers_store_that_waits_for_its_upgrade(earlier: Store):
    if earlier.is_sqlite:
        pytest.skip("a file is upgraded")
    settings = Settings(database_url=earlier.engine.url.render_as_string(hide_password=False))
    with pytest.raises(ServiceUnavailable, match="gradequeue upgrade"):
        JobClient.connect(settings)


def test_a_newer_store_is_refused_by_who_starts_and_by_upgrade(earlier: Store):
    with earlier.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refused in (earlier.prepare, lambda: upgrade(earlier), lambda: waiting_steps(earlier)):
        with pytest.raises(ServiceUnavailable, match="newer version"):
            refused()


def test_a_backfill_that_broke_off_goes_on_where_it_stopped_and_writes_between(
    earlier: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backfills, "CHUNK_ROWS", 2)
    places: list[str] = []

    def breaking(connection: Connection, place: str) -> str | None:
        places.append(place)
        if len(places) == 3:
            raise ConnectionAbortedError
        return backfills.fill_points(connection, place)

    monkeypatch.setattr(backfills, "FILLS", {"points": breaking})
    with suppress(ConnectionAbortedError):
        upgrade(earlier)
    assert (earlier.revision, points(earlier)) == (HEAD_REVISION, [0.0, 1.0, 2.0, 3.0, None, None, None])
    with earlier.transaction() as connection:
        _insert_result(connection, RESULTS)

    earlier.migrate()
    assert points(earlier) == [float(n) for n in range(RESULTS + 1)]
    assert places == ["", '["j1", 1]', '["j3", 1]', '["j3", 1]', '["j5", 1]', '["j7", 1]']
    with earlier.snapshot() as connection:
        assert backfills.waiting_backfills(connection) == []


def test_an_upgrade_that_broke_off_keeps_the_migrations_that_were_done(earlier: Store, monkeypatch: pytest.MonkeyPatch):
    original = migrations.command.upgrade

    def breaking(config: Any, revision: str) -> None:
        if revision.startswith("0014"):
            raise ConnectionAbortedError
        original(config, revision)

    monkeypatch.setattr(migrations.command, "upgrade", breaking)
    with suppress(ConnectionAbortedError):
        upgrade(earlier)
    monkeypatch.undo()
    assert waiting_steps(earlier)[0].revision.startswith("0014")
    upgrade(earlier)
    assert (earlier.revision, waiting_steps(earlier)) == (HEAD_REVISION, [])


def test_a_migration_may_take_longer_than_any_statement_of_a_worker(earlier: Store, monkeypatch: pytest.MonkeyPatch):
    if earlier.is_sqlite:
        pytest.skip("SQLite limits no statement")
    monkeypatch.setattr(engine, "STATEMENT_SECONDS", 0.05)

    @event.listens_for(earlier.engine, "before_cursor_execute")
    def _slow(_connection: object, cursor: Any, statement: str, *_rest: object) -> None:
        if "CREATE TABLE standings" in statement:
            cursor.execute("SELECT pg_sleep(0.2)")

    with pytest.raises(ServiceUnavailable, match="statement timeout"), earlier.transaction() as connection:
        connection.execute(text("SELECT pg_sleep(0.2)"))
    upgrade(earlier, to="0012_standings")
    assert earlier.revision == "0012_standings"


def test_a_migration_that_reads_or_indexes_a_table_that_grows_says_who_waits(
    empty: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(migrations, "run_backfills", lambda _store: None)
    upgrade(empty, to="0001")
    growing = ("jobs", "attempts", "outcomes", "flags", "standings", "decisions")
    statements: list[str] = []

    @event.listens_for(empty.engine, "before_cursor_execute")
    def _remember(_connection: object, _cursor: Any, statement: str, *_rest: object) -> None:
        statements.append(" ".join(statement.split()))

    for step in waiting_steps(empty):
        with empty.snapshot() as connection:
            there = {table for table in growing if empty.engine.dialect.has_table(connection, table)}
        statements.clear()
        upgrade(empty, to=step.revision)
        slow = [
            each
            for each in statements
            for table in there
            if each.startswith(("LOCK TABLE", f"UPDATE {table} ", "INSERT INTO job_tallies"))
            or (each.startswith("CREATE") and " INDEX " in each and f" ON {table} " in each)
        ]
        assert bool(step.locks) == bool(slow), step.revision


def test_upgrade_says_what_it_would_do_and_who_waits_and_then_does_it(earlier: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", earlier.engine.url.render_as_string(hide_password=False))
    run = CliRunner()
    checked = run.invoke(cli, ["upgrade", "--check"])
    assert checked.exit_code == 4
    assert "0013_tallies: Tallies" in checked.output
    assert "claims and outcomes wait while every job" in checked.output
    assert earlier.revision == EARLIER
    told = json.loads(run.invoke(cli, ["upgrade", "--check", "--json"]).stdout)
    assert [bool(step["locks"]) for step in told["steps"]][:2] == [False, True]

    assert run.invoke(cli, ["upgrade"]).exit_code == 0
    again = run.invoke(cli, ["upgrade", "--check"])
    assert (again.exit_code, "Nothing to do" in again.output) == (0, True)
    assert points(earlier) == [float(n) for n in range(RESULTS)]


def test_upgrade_makes_an_empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
    assert CliRunner().invoke(cli, ["upgrade", "--check"]).exit_code == 4
    assert CliRunner().invoke(cli, ["upgrade"]).exit_code == 0
    assert CliRunner().invoke(cli, ["upgrade", "--check"]).exit_code == 0
