"""One conformance suite: every test that takes `store` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.support.postgres import fresh_schema
from tests.support.stores import new_store
from workers.store import Store
from workers.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection


@contextmanager
def migrated_schema() -> Iterator[str]:
    """The URL of a schema of its own, as the newest migration leaves it."""
    with fresh_schema() as url:
        store = Store.open(url)
        store.migrate()
        store.close()
        yield url


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """One schema for the whole tier: migrating costs more than most tests here."""
    with migrated_schema() as url:
        yield url


@pytest.fixture(scope="module")
def postgresql_store(postgresql_url: str) -> Iterator[Store]:
    store = Store.open(postgresql_url)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path / "store.db")
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store of either kind. Its tables stay as they are: see `expendable_store`."""
    chosen: Store = request.getfixturevalue(f"{request.param}_store")
    if request.param == "postgresql":
        # again where it meets the last transaction of a thread that the test before has left behind
        chosen.run(_empty)
    return chosen


def _empty(connection: Connection) -> None:
    """What TRUNCATE does, without new files for 26 tables and their indexes: 2 ms of the server's CPU instead of 66."""
    connection.execute(text("LOCK TABLE " + ", ".join(metadata.tables)))
    connection.execute(text("SET LOCAL session_replication_role = replica"))  # no trigger counts it
    for name in metadata.tables:
        connection.execute(text(f"DELETE FROM {name}"))


@pytest.fixture(params=["sqlite", "postgresql"])
def expendable_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The same for a test that drops tables, triggers or the whole schema: nobody uses it afterwards."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_store")
        return
    with migrated_schema() as url:
        store = Store.open(url)
        yield store
        store.close()
