"""A store moved from a SQLite file to PostgreSQL: every row, in chunks that can be resumed, compared at the end.

The file takes no change while this runs. Until all of it is there and equal, the copy's version is `MOVING`, so that no
process starts on it; then it has the file's identity, so that messages in the broker and data folders stay valid.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Table, Text, cast, exists, func, select, text

from workers.contract.errors import InvalidInput
from workers.store.control_tables import backfills
from workers.store.engine import HEAD_REVISION, MOVING
from workers.store.identity import read_store_id
from workers.store.lane_tables import submissions  # noqa: F401 - or its module's tables would stay behind
from workers.store.pages import Key, is_beyond, read_in_turn
from workers.store.tables import leases, metadata, now_seconds, store_identity, workers
from workers.store.tallies import TALLIES, recount
from workers.store.worker_reports import SILENT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Column, Connection, Row, Select

    from workers.store.engine import Store

CHUNK_ROWS = 2000
_NOT_MOVED = frozenset({leases.name, store_identity.name, backfills.name, *(each.name for each in TALLIES)})
"""Of a process that ended, of the copy itself, or counted by the copy's triggers as rows come in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One table that is equal in both stores."""

    table: str
    rows: int
    digest: str
    """Over every row, whatever their order."""


def moved_tables() -> list[Table]:
    """Every table that is moved, each behind those that it refers to."""
    return [table for table in metadata.sorted_tables if table.name not in _NOT_MOVED]


def move_store(source: Store, target: Store, *, on_table: Callable[[Moved], None] = lambda _moved: None) -> list[Moved]:
    """Copy the file's rows to an empty PostgreSQL store, or finish a copy of it that broke off, and compare.

    Raises `InvalidInput` when the kinds of the stores are others, the target holds something else, a worker of the
    source lives, or a row differs in the end.
    """
    if not source.is_sqlite or target.is_sqlite:
        raise InvalidInput("a store is moved from a SQLite file to PostgreSQL: name the file's URL first")
    source.migrate()
    with source.transaction() as reading:  # nobody else writes
        _refuse_live_workers(reading)
        store_id = read_store_id(reading)
        _begin(target, store_id)
        for table in moved_tables():
            _copy(reading, target, table)
        moved = []
        for table in moved_tables():
            moved.append(_compared(reading, target, table))
            on_table(moved[-1])
        last_ids = {
            column: reading.execute(select(func.max(column))).scalar() or 0
            for table in moved_tables()
            if (column := table.autoincrement_column) is not None
        }
    _finish(target, store_id, last_ids)
    return moved


def _refuse_live_workers(connection: Connection) -> None:
    living = (workers.c.stopped_at.is_(None)) & (workers.c.heartbeat_at > now_seconds() - SILENT_SECONDS)
    found = connection.execute(select(workers.c.hostname, workers.c.pid).where(living)).first()
    if found is not None:
        raise InvalidInput(
            f"a worker uses the store (process {found.pid} on {found.hostname}); stop every worker and page, "
            f"or wait {SILENT_SECONDS:.0f} s after one that was killed"
        )


def _begin(target: Store, store_id: str) -> None:
    """Make the target's tables and mark them as a copy of this store, or find that mark."""
    if target.revision is None:
        target.migrate()
    if target.revision == MOVING:
        with target.snapshot() as connection:
            of_store = connection.execute(text("SELECT store_id FROM moving LIMIT 1")).scalar()
        if of_store != store_id:
            raise InvalidInput("the PostgreSQL store is the unfinished copy of another file; name an empty database")
        return
    if target.revision != HEAD_REVISION:
        target.prepare()  # says which of the two is behind
    with target.transaction() as connection:
        for table in metadata.sorted_tables:
            is_ours = table.name in {store_identity.name, backfills.name}
            if not is_ours and connection.execute(select(exists(select(text("1")).select_from(table)))).scalar():
                raise InvalidInput(f"the PostgreSQL store is not empty ({table.name}); name an empty database")
        connection.execute(text("CREATE TABLE moving (store_id TEXT, name TEXT PRIMARY KEY, place TEXT)"))
        connection.execute(
            text("INSERT INTO moving VALUES (:store, :name, NULL)"),
            [{"store": store_id, "name": table.name} for table in moved_tables()],
        )
        connection.execute(text("UPDATE alembic_version SET version_num = :moving"), {"moving": MOVING})


def _rows_of(table: Table) -> Select[Any]:
    """Every column, JSON as the text that is stored: parsing and writing it again might change it."""
    return select(
        *(cast(each, Text).label(each.name) if isinstance(each.type, JSON) else each for each in table.columns)
    )


def _copy(reading: Connection, target: Store, table: Table) -> None:
    """Go on behind the last row that the target has; a chunk and its place are one transaction."""
    with target.snapshot() as connection:
        kept = connection.execute(text("SELECT place FROM moving WHERE name = :name"), {"name": table.name}).scalar()
    for rows, place in _chunks(reading, table, behind=None if kept is None else json.loads(kept)):
        with target.transaction() as connection:
            _write(connection, table, rows)
            connection.execute(
                text("UPDATE moving SET place = :place WHERE name = :name"),
                {"place": json.dumps(place), "name": table.name},
            )


def _chunks(connection: Connection, table: Table, *, behind: Sequence[object] | None) -> Iterator[tuple[Any, Any]]:
    """Some rows and the key of the last one, in the order of the database that is read."""
    key = [Key(each) for each in table.primary_key.columns]

    def key_of(row: Row[Any]) -> list[object]:
        return [getattr(row, each.name) for each in table.primary_key.columns]

    def read(last: Row[Any] | None, most: int) -> Sequence[Row[Any]]:
        chunk = _rows_of(table).order_by(*table.primary_key.columns).limit(most)
        place = behind if last is None else key_of(last)
        return connection.execute(chunk if place is None else chunk.where(is_beyond(key, place))).all()

    for rows in read_in_turn(read, size=CHUNK_ROWS):
        yield rows, key_of(rows[-1])


def _write(connection: Connection, table: Table, rows: Any) -> None:
    """One COPY: the triggers that count run once for all of its rows."""
    columns = ", ".join(f'"{each.name}"' for each in table.columns)
    cursor = connection.connection.cursor()
    with cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)


def _compared(reading: Connection, target: Store, table: Table) -> Moved:
    with target.snapshot() as connection:
        there = _digest(connection, table)
    here = _digest(reading, table)
    if here != there:
        raise InvalidInput(
            f"the copy of {table.name} differs from the file ({here[0]} rows in the file, {there[0]} in the copy): "
            "the file changed since the copy was begun; empty the PostgreSQL database and begin again"
        )
    return Moved(table=table.name, rows=here[0], digest=here[1])


def _digest(connection: Connection, table: Table) -> tuple[int, str]:
    """How many rows, and the sum of their hashes: databases sort texts in different orders."""
    count, total = 0, 0
    for rows, _place in _chunks(connection, table, behind=None):
        count += len(rows)
        total += sum(int.from_bytes(hashlib.sha256(repr(tuple(row)).encode()).digest()) for row in rows)
    return count, f"{total % 2**256:064x}"


def _finish(target: Store, store_id: str, last_ids: dict[Column[int], int]) -> None:
    """Numbers go on behind the last one, counts are checked, and only then may processes start."""
    with target.transaction() as connection:
        connection.execute(text("SELECT set_config('statement_timeout', '0', true)"))  # a million rows are counted
        if differences := recount(connection):
            raise InvalidInput(f"the copy's counters differ from its rows in {', '.join(differences)}; report this")
        for column, last in last_ids.items():
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:name, :column), :last, :is_used)"),
                {"name": column.table.name, "column": column.name, "last": max(1, last), "is_used": last > 0},
            )
        connection.execute(store_identity.update().values(id=store_id))
        connection.execute(text("DROP TABLE moving"))
        connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD_REVISION})
