"""PostgreSQL behind PgBouncer in transaction mode: sessions are shared, and nothing of ours stays on one."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from ops.bench.chaos.pooler import is_possible, pooler
from producer.cli.commands import cli
from tests.store.steps import answered, endings, enqueue, opening, publish, states, success
from tests.support.postgres import SERVER, fresh_schema
from tests.support.scene import open_scene
from tests.support.stores import new_store
from workers.store import Store
from workers.store.admission import Admission
from workers.store.engine import HEAD_REVISION
from workers.store.job_update import JobUpdate
from workers.store.migrations import upgrade
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

JOBS = 200
SERVER_CONNECTIONS = 2
"""Fewer than our threads use, so that they meet each other's sessions."""


@pytest.fixture
def pooled_url() -> Iterator[str]:
    """An empty schema behind a pooler of this test's own."""
    if not is_possible():
        pytest.skip("PgBouncer is not installed here")
    with fresh_schema() as url:
        schema = url.rpartition("%3D")[2]
        with pooler(SERVER, connections=SERVER_CONNECTIONS, schema=schema) as pooled:
            yield pooled


@pytest.fixture
def pooled_store(pooled_url: str) -> Iterator[Store]:
    store = Store.open(pooled_url)
    store.migrate()
    yield store
    store.close()


async def test_a_batch_is_graded_through_it(pooled_store: Store):
    store = pooled_store
    writers = [Writer(store, worker_id=f"w{number}", loop=asyncio.get_running_loop()) for number in range(3)]
    for writer in writers:
        writer.start()
    await asyncio.to_thread(enqueue, store, JOBS)
    ids = await asyncio.to_thread(publish, store)

    async def grade(number: int, job_id: str) -> bool:
        writer = writers[number % len(writers)]
        job: Any = await writer.claim(job_id)
        sent = opening(job, f"w{number % len(writers)}")
        assert await writer.open_attempt(sent) is Admission.MAY_SEND
        return await writer.persist(JobUpdate(closing=answered(sent.attempt_id), ending=success(job, number)))

    assert all(await asyncio.gather(*(grade(number, job_id) for number, job_id in enumerate(ids))))
    for writer in writers:
        await asyncio.to_thread(writer.stop, patience_seconds=5)
    assert states(store) == {"succeeded": JOBS}
    assert endings(store) == {"answered": JOBS}


def test_nothing_is_left_on_a_session_for_the_next_client(pooled_store: Store, pooled_url: str):
    for number in range(20):
        enqueue(pooled_store, 2, name=f"b{number}")
        states(pooled_store)

    with psycopg.connect(pooled_url, prepare_threshold=None) as stranger:
        for _ in range(5):
            found = stranger.execute(
                "SELECT (SELECT count(*) FROM pg_prepared_statements), current_setting('statement_timeout'), "
                "current_setting('idle_in_transaction_session_timeout'), current_setting('lock_timeout'), "
                "current_setting('transaction_read_only'), current_setting('transaction_isolation')"
            ).fetchone()
            stranger.rollback()
            assert found == (0, "0", "0", "0", "off", "read committed")


def test_each_transaction_of_ours_is_bounded_all_the_same(pooled_store: Store):
    asked = text(
        "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'), "
        "current_setting('lock_timeout')"
    )
    writing = pooled_store.run(lambda connection: tuple(connection.execute(asked).one()), lock_seconds=3)
    with pooled_store.snapshot() as connection:
        reading = tuple(connection.execute(asked).one())

    assert writing == ("30s", "30s", "3s")
    assert reading == ("30s", "10min", "0")


def test_worker_processes_and_commands_work_through_it(
    pooled_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DATABASE_URL", pooled_url)
    command = CliRunner()
    with closing(new_store(tmp_path / "file.db")) as source:
        enqueue(source, JOBS, name="moved")
    moved = command.invoke(cli, ["migrate", f"sqlite:///{tmp_path / 'file.db'}"])
    assert (moved.exit_code, f"jobs: {JOBS} rows, equal" in moved.output) == (0, True), moved.output
    assert command.invoke(cli, ["upgrade"]).exit_code == 0

    with closing(Store.open(pooled_url)) as store, open_scene(store, tmp_path, latency_ms="5", workers=2) as scene:
        scene.enqueue(60, "b")
        progress = scene.wait_for("b", lambda progress: progress.is_finished, "all is graded")
        assert (progress.succeeded, progress.attempts) == (60, {"answered": 60})
        assert b"prepared statement" not in scene.workers.logs()
    written = command.invoke(cli, ["results", "b", "--out", str(tmp_path / "results.jsonl")])
    assert (written.exit_code, len((tmp_path / "results.jsonl").read_text().splitlines())) == (0, 60), written.output


def test_an_upgrade_from_an_earlier_release_works_through_it(pooled_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", pooled_url)
    with closing(Store.open(pooled_url)) as store:
        upgrade(store, to="0011_provenance")
        done = CliRunner().invoke(cli, ["upgrade"])
        assert (done.exit_code, store.revision) == (0, HEAD_REVISION), done.output
