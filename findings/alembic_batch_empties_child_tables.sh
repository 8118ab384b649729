#!/usr/bin/env bash
# Guess: batch_alter_table on SQLite rebuilds one table and leaves the rows of all others alone.
# Truth: it drops the old table, and with foreign keys on (as an application that wants integrity sets
#   them) that drop deletes the rows of every child declared ON DELETE CASCADE. The migration succeeds
#   and the children are empty. A trigger on the rebuilt table is gone as well.
# Why: adding NOT NULL to a column of "batches" removes every grade under it. Turn the pragma off on
#   the connection before the transaction begins (inside one it does nothing), or add no constraint.
# Versions: alembic 1.20.1, SQLAlchemy 2.1.9. Source: alembic/operations/batch.py (ApplyBatchImpl._create)
#   and SQLite's "DROP TABLE": an implicit DELETE FROM comes first.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  alembic==1.20.1 sqlalchemy==2.1.9

"$work/venv/bin/python" - <<'PY'
import alembic
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations


def expect(holds, sentence):
    if not holds:
        raise SystemExit(f"CHANGED: {sentence}")


def migrate(foreign_keys):
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)

    @sa.event.listens_for(engine, "connect")
    def set_pragma(connection, _):
        connection.execute(f"PRAGMA foreign_keys = {foreign_keys}")

    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE batches (id INTEGER PRIMARY KEY, name TEXT)",
            "CREATE TABLE grades (id INTEGER PRIMARY KEY, points REAL,"
            " batch_id INTEGER NOT NULL REFERENCES batches (id) ON DELETE CASCADE)",
            "CREATE TRIGGER audit AFTER UPDATE ON batches BEGIN SELECT 1; END",
            "INSERT INTO batches VALUES (1, 'essays')",
            "INSERT INTO grades VALUES (1, 9.5, 1), (2, 8, 1), (3, 7, 1)",
        ):
            connection.exec_driver_sql(statement)
    with engine.begin() as connection:
        with Operations(MigrationContext.configure(connection)).batch_alter_table("batches") as batch:
            batch.alter_column("name", existing_type=sa.Text(), nullable=False)
    with engine.connect() as connection:
        count = [connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) for table in ("batches", "grades")]
        return *count, connection.scalar(sa.text("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"))


print(f"alembic {alembic.__version__}, SQLAlchemy {sa.__version__}")
with_keys, without_keys = migrate("ON"), migrate("OFF")
print("foreign keys on:  {} batch, {} grades, {} triggers after the migration".format(*with_keys))
print("foreign keys off: {} batch, {} grades, {} triggers after the migration".format(*without_keys))
expect(with_keys == (1, 0, 0), "with foreign keys on, the children or the trigger survive now.")
expect(without_keys == (1, 3, 0), "with foreign keys off, the children are lost, or the trigger survives.")
PY
