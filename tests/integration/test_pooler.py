"""PostgreSQL behind PgBouncer in transaction mode: sessions are shared, and nothing of ours stays on one."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import text

from ops.bench.processes import free_port
from tests.store.steps import answered, endings, enqueue, opening, publish, states, success
from tests.support.postgres import SERVER, fresh_schema
from tests.support.wait import wait_until
from workers.store import Store
from workers.store.admission import Admission
from workers.store.job_update import JobUpdate
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
JOBS = 200
SERVER_CONNECTIONS = 2
"""Fewer than our threads use, so that they meet each other's sessions."""


@pytest.fixture
def pooled_url() -> Iterator[str]:
    """An empty schema behind a pooler of this test's own."""
    if not os.access(PROGRAM, os.X_OK):
        pytest.skip("PgBouncer is not installed here")
    with fresh_schema() as url, TemporaryDirectory() as folder:
        server, schema, port = urlsplit(SERVER), url.rpartition("%3D")[2], free_port()
        Path(folder).chmod(0o755)  # for the user that it runs as
        config = Path(folder) / "pgbouncer.ini"
        config.write_text(
            "[databases]\n"
            f"pooled = host={server.hostname} port={server.port or 5432} dbname={server.path[1:]} "
            f"user={server.username} password={server.password or 'none'} "
            f"connect_query='SET search_path TO {schema}'\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\n"
            "max_client_conn = 100\n"
        )
        with subprocess.Popen(
            [PROGRAM, str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_not_as_root()
        ) as pooler:
            try:
                wait_until(lambda: _answers(port), "the pooler answers", 20)
                yield f"postgresql://anybody@127.0.0.1:{port}/pooled"
            finally:
                pooler.terminate()


def _not_as_root() -> dict[str, Any]:
    """PgBouncer refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _answers(port: int) -> bool:
    try:
        psycopg.connect(f"postgresql://anybody@127.0.0.1:{port}/pooled", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


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
