"""One conformance suite: every test that takes `store` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.support.postgres import fresh_schema
from workers.store import Store
from workers.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: migrating costs more than most tests here."""
    file = tmp_path_factory.mktemp("template") / "store.db"
    store = Store.open(f"sqlite:///{file}")
    store.migrate()
    store.close()
    return file


@pytest.fixture(scope="module")
def postgresql_store() -> Iterator[Store]:
    with fresh_schema() as url:
        store = Store.open(url)
        store.migrate()
        yield store
        store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path, migrated_file: Path) -> Iterator[Store]:
    file = tmp_path / "store.db"
    shutil.copy(migrated_file, file)
    store = Store.open(f"sqlite:///{file}")
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store of either kind."""
    chosen: Store = request.getfixturevalue(f"{request.param}_store")
    if request.param == "postgresql":
        # again where it meets the last transaction of a thread that the test before has left behind
        chosen.run(lambda connection: connection.execute(text("TRUNCATE " + ", ".join(metadata.tables))))
    return chosen
