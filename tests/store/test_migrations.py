"""The migrations make exactly the tables that the code knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from tests.support.postgres import fresh_schema
from workers.contract.errors import ServiceUnavailable
from workers.store import Store
from workers.store import migrations as package
from workers.store.engine import HEAD_REVISION
from workers.store.partial_index import know_conditions
from workers.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_code_works_with_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(Path(package.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD_REVISION


def test_no_difference_is_left_to_generate(store: Store):
    know_conditions(metadata)
    with store.snapshot() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_texts_are_compressed_with_lz4_where_the_server_knows_it(store: Store):
    if store.is_sqlite:
        pytest.skip("compresses nothing")
    with store.snapshot() as connection:
        methods = text("SELECT enumvals::text[] FROM pg_settings WHERE name = 'default_toast_compression'")
        if "lz4" not in (connection.execute(methods).scalar() or []):
            pytest.skip("this server has no lz4")
        found = connection.execute(
            text(
                "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attcompression = 'l'"
                " AND attrelid IN ('jobs'::regclass, 'outcomes'::regclass)"
            )
        )
        assert {tuple(row) for row in found} == {("jobs", "prompt"), ("outcomes", "result"), ("outcomes", "raw_output")}


def definitions(store: Store) -> set[str]:
    """Every table, constraint and index as the database itself words it."""
    with store.snapshot() as connection:
        if store.is_sqlite:  # SQLite keeps the words themselves, in which constraints may stand in another order
            rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'trigger'"))
            return {_in_any_order(row.sql) for row in rows if "alembic_version" not in row.sql}
        rows = connection.execute(
            text(
                """
                    SELECT replace(indexdef, schemaname || '.', '') FROM pg_indexes WHERE schemaname = current_schema()
                    UNION ALL
                    SELECT conrelid::regclass || pg_get_constraintdef(oid) FROM pg_constraint
                    WHERE connamespace = current_schema()::regnamespace
                    UNION ALL
                    SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
                    FROM information_schema.columns WHERE table_schema = current_schema()
                    """
            )
        )
        found = {" ".join(str(row[0]).split()) for row in rows}
    return {each for each in found if "alembic_version" not in each}


def _in_any_order(definition: str) -> str:
    parts = re.split(r",(?![^()]*\))", " ".join(definition.strip().removesuffix(")").split()))
    return ",".join([parts[0], *sorted(part.strip() for part in parts[1:])])


@pytest.fixture
def created(store: Store, tmp_path: Path) -> Iterator[Store]:
    """A store of the same kind whose tables were made from the metadata, without a migration."""
    if store.is_sqlite:
        made = Store.open(f"sqlite:///{tmp_path / 'created.db'}")
        metadata.create_all(made.engine)
        yield made
        made.close()
        return
    with fresh_schema() as url:
        made = Store.open(url)
        metadata.create_all(made.engine)
        yield made
        made.close()


def test_the_migrations_and_the_tables_give_the_same_definitions(store: Store, created: Store):
    assert definitions(store) == definitions(created)


def test_a_store_from_a_newer_version_is_refused_with_advice(store: Store):
    with store.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with pytest.raises(ServiceUnavailable, match="newer version"):
            store.migrate()
    finally:
        with store.transaction() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD_REVISION}'"))


def test_migrating_twice_changes_nothing(store: Store):
    before = definitions(store)
    store.migrate()
    assert definitions(store) == before
